"""The file before its images are in it: room on the disk, arrays, columns, and where chunks lie."""

import os
import struct
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from imagemill.errors import BuildError
from imagemill.package.hdf5.settings import FILE, Config
from imagemill.package.lots import AT_ONCE, Lot

SLACK = 1 << 20  # bytes that HDF5 may need for what it notes of its own, besides 64 a chunk


def lay_out(path: Path, lot: Lot, config: Config) -> None:
    """Make a file with all but the images of ``lot``, as long as it will be where that is known."""
    reserve(path, 0, _columns(lot) + SLACK, _least(lot, config))
    with h5py.File(path, "w", libver="v112") as file:
        for split, rows in lot.parts():
            _create(file, split, rows, config)
            _write_columns(file, split, rows, config)
        lines = [f"{number},{label}".encode() for number, label in enumerate(lot.labels)]
        file.create_dataset("label_map", data=np.array(lines), track_times=False)


def _longest(lot: Lot) -> int:
    """Return the bytes of the longest sample's name."""
    lengths = lot.images["sample"].str.len_bytes()
    return max(int(lengths.gather(part.rows["image"]).max()) for part in lot.slices())  # type: ignore[arg-type]


def _columns(lot: Lot) -> int:
    """Return the bytes of labels, offsets and provenance, about."""
    return len(lot) * (_longest(lot) + 20)


def _least(lot: Lot, config: Config) -> int:
    """Return the bytes of all that is to be written; of images that are packed, none are known."""
    if config.store == "raw":
        images = 0 if config.is_packed else len(lot) * config.volume
    else:
        images = int(lot.rows["bytes"].sum())
    return images + _columns(lot)


def reserve(path: Path, start: int, end: int, whole: int = 0) -> None:
    """Raise ``OSError`` where the disk or a quota has no room for these bytes of a file.

    HDF5 must not find out: it may end the process when it cannot write what it holds. That the
    file may be ``whole`` long is only asked of the limit of a file's length.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        if whole:
            os.ftruncate(handle, whole)
        os.posix_fallocate(handle, start, end - start)
    finally:
        os.close(handle)


def cut(path: Path) -> None:
    """Take away what was reserved of a file and not used: HDF5 notes where it ends.

    Byte 28 of a superblock of version 2 or 3 is the end-of-file address (HDF5 File Format
    Specification 3.0, II.A).
    """
    with path.open("r+b") as file:
        (end,) = struct.unpack_from("<Q", file.read(36), 28)
        file.truncate(end)


def _create(file: h5py.File, split: str, rows: Lot, config: Config) -> None:
    """Create the array of a split's images, with room in the file where that is known."""
    if config.store == "encoded":
        _allocate(file, f"{split}_encoded", (int(rows.rows["bytes"].sum()),), None)
        return
    shape = (len(rows), *config.shape)
    chunk = (config.chunk(len(rows)), *config.shape)
    if config.compression == "none":
        _allocate(file, f"{split}_images", shape, chunk)
        return
    file.create_dataset(
        f"{split}_images", shape, np.uint8, chunks=chunk, track_times=False, **config.filters
    )


def _allocate(
    file: h5py.File, name: str, shape: tuple[int, ...], chunk: tuple[int, ...] | None
) -> None:
    """Create an array whose bytes have their place at once, so that workers can write there."""
    how = h5p.create(h5p.DATASET_CREATE)
    if chunk is not None:
        how.set_chunk(chunk)
    how.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    how.set_fill_time(h5d.FILL_TIME_NEVER)
    how.set_obj_track_times(False)
    h5d.create(file.id, name.encode(), h5t.STD_U8LE, h5s.create_simple(shape), how)


def offsets(path: Path, name: str) -> list[int]:
    """Return where in the file each chunk of an array lies, in order; or where all of it does.

    Raises ``BuildError`` where chunks share a place, which no reading back would find.
    """
    with h5py.File(path, "r") as file:
        array = file[name].id
        if file[name].chunks is None:
            return [array.get_offset()]
        found: list[tuple[int, int]] = []
        array.chunk_iter(lambda chunk: found.append((chunk.chunk_offset[0], chunk.byte_offset)))
        length = int(np.prod(file[name].chunks))
    places = [offset for _, offset in sorted(found)]
    if any(after - before < length for before, after in pairwise(places)):
        raise BuildError(f"package: {FILE}: chunks of {name} are out of order. Build again.")
    return places


def _write_columns(file: h5py.File, split: str, rows: Lot, config: Config) -> None:
    image = rows.rows["image"]
    if config.store == "encoded":
        ends = np.cumsum([0, *rows.rows["bytes"]], dtype=np.int64)
        file.create_dataset(f"{split}_offsets", data=ends, track_times=False)
    labels = rows.images["class"].gather(image).to_numpy().astype(np.int64)
    file.create_dataset(f"{split}_labels", data=labels, track_times=False)
    _write_samples(file, split, rows)
    copies = rows.rows["copy"].to_numpy().astype(np.int32)
    file.create_dataset(f"{split}_copies", data=copies, track_times=False)


def _write_samples(file: h5py.File, split: str, rows: Lot) -> None:
    """Write the samples' names, some at a time."""
    dtype = np.dtype(f"S{_longest(rows)}")
    array = file.create_dataset(f"{split}_samples", (len(rows),), dtype, track_times=False)
    for number, part in enumerate(rows.slices()):
        names = part.images["sample"].gather(part.rows["image"]).to_list()
        at = number * AT_ONCE
        array[at : at + len(names)] = np.array([name.encode() for name in names], dtype)
