"""A file of arrays that workers fill: written in its place, and read as HDF5 does."""

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5f, h5p, h5s
from numpy.typing import NDArray


class Array:
    """One array of a file, whose chunks have their places: written there, read as HDF5 does."""

    def __init__(self, path: Path, array: str) -> None:
        unlocked = h5p.create(h5p.FILE_ACCESS)
        unlocked.set_file_locking(False, True)
        # No cache: it would only copy each row once more.
        uncached = h5p.create(h5p.DATASET_ACCESS)
        uncached.set_chunk_cache(0, 0, 1.0)
        self._path = path
        self._handle = os.open(path, os.O_WRONLY)
        self._file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, unlocked)
        self._array = h5d.open(self._file, array.encode(), uncached)

    def write(self, rows: NDArray[np.uint8], offsets: Sequence[int], chunk: int) -> None:
        """Write rows where their chunks belong."""
        for number, offset in enumerate(offsets):
            piece = rows[number * chunk : (number + 1) * chunk]
            put(self._handle, piece.data, offset, self._path)

    def read(self, start: int, count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Return ``count`` rows of that shape from ``start`` on, each as one run."""
        whole = (count, *shape)
        rows = np.empty(whole, np.uint8)
        there = self._array.get_space()
        there.select_hyperslab((start, 0, 0, 0), whole)
        self._array.read(h5s.create_simple(whole), there, rows)
        return rows.reshape(count, -1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        os.close(self._handle)


class _Held(threading.local):
    """What a thread has open."""

    array: Array | None = None
    key: tuple[str, str, int] | None = None


_held = _Held()


def opened(path: Path, name: str) -> Array:
    """Return an array, which stays open: HDF5 reads where all chunks are when it opens one.

    An open file keeps its number, so that another of its name is known as another.
    """
    key = str(path), name, path.stat().st_ino
    if _held.array is None or _held.key != key:
        close()
        _held.array, _held.key = Array(path, name), key
    return _held.array


def close() -> None:
    """Close what this thread has open."""
    if _held.array is not None:
        _held.array.close()
    _held.array = _held.key = None


def put(handle: int, data: bytes | memoryview, offset: int, path: Path) -> None:
    """Write ``data`` at ``offset``. Raises ``OSError`` where the disk has filled up."""
    length = data.nbytes if isinstance(data, memoryview) else len(data)
    if os.pwrite(handle, data, offset) != length:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def read(path: Path, array: str, start: int, end: int) -> NDArray[np.uint8]:
    """Return rows of an array, as h5py reads them."""
    with h5py.File(path, "r") as file:
        rows: NDArray[np.uint8] = file[array][start:end]
    return rows
