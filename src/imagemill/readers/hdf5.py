"""``dataset.h5``, without h5py once it is open: rows are read where they lie in the file.

Only arrays that HDF5 has compressed are read by h5py, which each process opens for itself.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from imagemill.readers.contents import Contents, Pixels, Provenance, Rows, in_order, ranges
from imagemill.readers.errors import PackageError
from imagemill.readers.extents import Extents, Stamp, check, remember, stamp

Shape = tuple[int, int, int]

HELD = 8  # unpacked chunks that a process remembers


def opened(path: Path) -> Contents:
    """Open a file of the package stage; see ``imagemill.package.hdf5`` for its layout."""
    said = stamp(path)
    try:
        with h5py.File(path, "r") as file:
            return _contents(path, said, file)
    except (OSError, KeyError) as error:
        raise PackageError(
            f"{path} cannot be read as a package in HDF5 ({error}); fetch it again, or build it "
            "again."
        ) from error


def _contents(path: Path, said: Stamp, file: h5py.File) -> Contents:
    splits = in_order(name.removesuffix("_labels") for name in file if name.endswith("_labels"))
    labels = [file[f"{split}_labels"][:].astype(np.int64) for split in splits]
    lines = [line.decode().split(",", 1) for line in file["label_map"][:]]
    counts = {split: len(each) for split, each in zip(splits, labels, strict=True)}
    encoded = all(f"{split}_encoded" in file for split in splits)
    return Contents(
        "hdf5",
        _encoded(path, said, file, splits) if encoded else _pixels(path, said, file, splits),
        np.concatenate(labels),
        {int(number): name for number, name in lines},
        ranges(counts),
        _Samples(path, said, tuple(splits)),
    )


@dataclass(frozen=True)
class _Samples:
    """Reads where the rows are from."""

    path: Path
    said: Stamp
    splits: tuple[str, ...]

    def __call__(self) -> Provenance:
        check(self.path, self.said)
        with h5py.File(self.path, "r") as file:
            names = [name.decode() for split in self.splits for name in file[f"{split}_samples"][:]]
            copies = [file[f"{split}_copies"][:].astype(np.int32) for split in self.splits]
        return names, np.concatenate(copies)


def _encoded(path: Path, said: Stamp, file: h5py.File, splits: list[str]) -> Extents:
    starts, lengths = [], []
    for split in splits:
        ends = file[f"{split}_offsets"][:]
        starts.append(ends[:-1] + file[f"{split}_encoded"].id.get_offset())
        lengths.append(np.diff(ends))
    offset, length = np.concatenate(starts), np.concatenate(lengths)
    return Extents([path], np.zeros(len(offset), np.int32), offset, length, [said])


def _pixels(path: Path, said: Stamp, file: h5py.File, splits: list[str]) -> Pixels:
    arrays = [file[f"{split}_images"] for split in splits]
    places = [_places(array) for array in arrays]
    shape: Shape = tuple(arrays[0].shape[1:])
    if any(each is None for each in places):
        counts = [len(array) for array in arrays]
        step = arrays[0].chunks[0] if arrays[0].chunks else 1
        return Packed(path, said, [f"{split}_images" for split in splits], counts, step, shape)
    offset = np.concatenate([each for each in places if each is not None])
    length = np.full(len(offset), int(np.prod(shape)))
    return Raw(Extents([path], np.zeros(len(offset), np.int32), offset, length, [said]), shape)


def _places(array: h5py.Dataset) -> NDArray[np.int64] | None:
    """Return where each image's pixels lie in the file; null where they are packed."""
    volume, count = int(np.prod(array.shape[1:])), len(array)
    if array.chunks is None:
        start: int | None = array.id.get_offset()
        return None if start is None else np.arange(count, dtype=np.int64) * volume + start
    if array.id.get_create_plist().get_nfilters() or array.chunks[1:] != array.shape[1:]:
        return None
    step = array.chunks[0]
    starts = np.full(-(-count // step), -1, np.int64)

    def found(chunk: Any) -> None:
        starts[chunk.chunk_offset[0] // step] = chunk.byte_offset

    array.id.chunk_iter(found)
    if (starts < 0).any():
        return None
    row = np.arange(count, dtype=np.int64)
    return np.asarray(starts[row // step] + volume * (row % step))


class Raw(Pixels):
    """Arrays as they are: the pixels of a row are a run of bytes in the file."""

    def __init__(self, extents: Extents, shape: Shape) -> None:
        self._extents, self.shape = extents, shape

    def starts(self) -> Rows:
        """Return the first row: there is one file."""
        return self._extents.starts()

    def identity(self) -> bytes:
        """Return what lies where."""
        return self._extents.identity()

    def fill(self, rows: Rows, out: NDArray[np.uint8]) -> None:
        """Put rows into ``out``."""
        self._extents.fill(rows, out)


class Packed(Pixels):
    """Arrays that HDF5 has compressed; whole chunks are unpacked and the last ones remembered."""

    def __init__(
        self,
        path: Path,
        said: Stamp,
        names: list[str],
        counts: list[int],
        step: int,
        shape: Shape,
    ) -> None:
        self.shape = shape
        self._path, self._said, self._names, self._step = path, said, names, step
        self._ends = np.cumsum(counts)
        self._file: tuple[int, h5py.File] | None = None
        self._held: dict[tuple[int, int], NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_held": {}}

    def starts(self) -> Rows:
        """Return the first row of each chunk."""
        begins = [0, *self._ends[:-1].tolist()]
        parts = [
            np.arange(b, e, self._step, dtype=np.int64)
            for b, e in zip(begins, self._ends.tolist(), strict=True)
        ]
        return np.concatenate(parts)

    def identity(self) -> bytes:
        """Return the arrays' names and lengths."""
        return repr((self._names, self._ends.tolist())).encode()

    def fill(self, rows: Rows, out: NDArray[np.uint8]) -> None:
        """Put rows into ``out``."""
        part = np.searchsorted(self._ends, rows, side="right")
        inside = rows - np.where(part > 0, self._ends[part - 1], 0)
        chunk = inside // self._step
        for at in np.lexsort((inside, part)):
            held = self._chunk(int(part[at]), int(chunk[at]))
            out[at] = held[int(inside[at]) % self._step]

    def _chunk(self, part: int, number: int) -> NDArray[np.uint8]:
        key = part, number
        found = self._held.pop(key, None)  # nothing that a thread beside could take away meanwhile
        if found is None:
            first = number * self._step
            found = self._opened()[self._names[part]][first : first + self._step]
        remember(self._held, key, found, HELD)
        return found

    def _opened(self) -> h5py.File:
        """Return the file, opened by this process: HDF5's state does not survive a fork."""
        if self._file is None or self._file[0] != os.getpid():
            check(self._path, self._said)
            self._file = os.getpid(), h5py.File(self._path, "r")
        return self._file[1]
