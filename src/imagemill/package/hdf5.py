"""HDF5: arrays of images and of labels for each split, and a label map.

``<split>_images`` uint8 (N, height, width, channels), or, with ``store: encoded``, the files
themselves: ``<split>_encoded`` uint8 (bytes of all,) and ``<split>_offsets`` int64 (N + 1,), image
n being ``encoded[offsets[n]:offsets[n + 1]]``. Beside them ``<split>_labels`` int64 (N,), and where
each row is from: ``<split>_samples`` text (N,), ``<split>_copies`` int32 (N,), which is 0 for the
image itself. ``label_map`` has rows ``number,label``. Rows are shuffled once, by a hash, so that
reading in order mixes the labels.
"""

import errno
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
import polars as pl
from h5py import h5d, h5p, h5s, h5t
from PIL import Image
from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.package import contract
from imagemill.package.checksums import Files
from imagemill.package.labels import Lot
from imagemill.package.renditions import AT_ONCE, PLACE, Place, Shelf, values
from imagemill.packs import BUFFER
from imagemill.progress import progress
from imagemill.tables import CONTENTS

FILE = "dataset.h5"
BATCH_BYTES = 2 << 20  # that a worker hands over at once, about; few are in memory at a time
SLACK = 1 << 20  # bytes that HDF5 may need for what it notes of its own, besides 64 a chunk
GZIP_LEVEL = 4
RAW = (*PLACE, "width", "height")
"""Columns that pixels are made of."""

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
CHANNELS = {"L": 1, "RGB": 3}


class Config(Section):
    """What an image is in the file."""

    store: Literal["raw", "encoded"]
    """raw: pixels of one shape; encoded: each file as it is packaged, of any shape."""
    width: Annotated[int, Field(ge=1)]
    """Of raw images, as all below."""
    height: Annotated[int, Field(ge=1)]
    mode: Literal["L", "RGB"]
    """L: one channel, of a JPEG its luma; RGB: three."""
    filter: Literal["bilinear", "bicubic", "lanczos"]
    """With which an image of another shape is resized."""
    compression: Literal["none", "gzip", "lzf"]
    chunk_images: Annotated[int, Field(ge=1)]
    """Images in one chunk, which is read and unpacked as a whole."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a raw image."""
        return self.height, self.width, CHANNELS[self.mode]


@dataclass(frozen=True)
class _Batch:
    """Images to read, which follow one another in the file."""

    shelf: Shelf
    rows: Sequence[tuple[Any, ...]]
    """``Place``; of raw images also width and height."""
    path: Path
    array: str
    """Name of the array that they belong to."""
    row: int
    """Number of the first."""
    offsets: Sequence[int]
    """Bytes of the file where the pieces go; none where the one who asked writes them."""


@dataclass(frozen=True)
class _Done:
    """What a worker hands over."""

    packaged: list[str]
    """sha256 of each image."""
    pieces: Sequence[bytes]
    """What is still to be written."""


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[pl.DataFrame, Files]:
    """Write ``out/dataset.h5`` and read it back; return ``tables.CONTENTS``, and the file."""
    kind = "images" if config.store == "raw" else "encoded"
    row = pl.int_range(pl.len()).over("part")
    listed = lot.rows.with_columns(pl.format("{}_{}/{}", "part", pl.lit(kind), row).alias("member"))
    with replacing(out / FILE) as part:
        _reserve(part, _columns(listed) + SLACK, _least(listed, config))
        with h5py.File(part, "w", libver="v112") as file:
            for (split,), rows in listed.group_by("part", maintain_order=True):
                _create(file, str(split), rows, config)
                _write_columns(file, str(split), rows)
            lines = [f"{number},{label}".encode() for number, label in enumerate(lot.labels)]
            _write_column(file, "label_map", np.array(lines))
        _reserve(part, part.stat().st_size)
        hashes: list[str] = []
        behind = _Behind(part)
        for (split,), rows in listed.group_by("part", maintain_order=True):
            if config.store == "raw":
                hashes += _fill_raw(part, str(split), rows, shelf, config, engine, behind)
            else:
                _fill_encoded(part, str(split), rows, shelf, engine, behind)
        if config.store == "raw":
            volume = pl.lit(int(np.prod(config.shape)), pl.Int64).alias("bytes")
            listed = listed.with_columns(pl.Series("packaged", hashes, pl.String), volume)
        if _is_packed(config):
            verify(part, listed, engine)
        else:
            _verify_columns(part, listed)
        digest = None if _is_packed(config) else behind.digest()
    return listed, {FILE: digest}


def _is_packed(config: Config) -> bool:
    """Tell whether HDF5 compresses the images, so that their place is not known beforehand."""
    return config.store == "raw" and config.compression != "none"


class _Behind:
    """Hashes a file behind those who fill it from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = sha256()
        self._at = 0

    def reach(self, end: int) -> None:
        """Hash up to ``end``; all before is there."""
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._at)
            while self._at < end and (data := file.read(min(BUFFER, end - self._at))):
                self._hash.update(data)
                self._at += len(data)

    def digest(self) -> str:
        """Return the sha256 of the whole file."""
        self.reach(self._path.stat().st_size)
        return self._hash.hexdigest()


def _columns(listed: pl.DataFrame) -> int:
    """Return the bytes of labels, offsets and provenance, about."""
    names = listed["sample"].str.len_bytes().max()
    return len(listed) * (int(names) + 20)  # type: ignore[arg-type]


def _least(listed: pl.DataFrame, config: Config) -> int:
    """Return the bytes of all that is to be written; of images that are packed, none are known."""
    if config.store == "raw":
        images = 0 if _is_packed(config) else len(listed) * int(np.prod(config.shape))
    else:
        images = int(listed["bytes"].sum())
    return images + _columns(listed)


def _reserve(path: Path, length: int, whole: int = 0) -> None:
    """Raise ``OSError`` where the disk or a quota has no room for a file of this length.

    HDF5 must not find out: it may end the process when it cannot write what it holds. That it may
    be ``whole`` long is only asked of the limit of a file's length.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        if whole:
            os.ftruncate(handle, whole)
        os.posix_fallocate(handle, 0, length)
    finally:
        os.close(handle)


def _cut(path: Path) -> None:
    """Take away what was reserved of a file and not used: HDF5 notes where it ends.

    Byte 28 of a superblock of version 2 or 3 is the end-of-file address (HDF5 File Format
    Specification 3.0, II.A).
    """
    with path.open("r+b") as file:
        (end,) = struct.unpack_from("<Q", file.read(36), 28)
        file.truncate(end)


def _create(file: h5py.File, split: str, rows: pl.DataFrame, config: Config) -> None:
    """Create the array of a split's images, with room in the file where that is known."""
    if config.store == "encoded":
        _allocate(file, f"{split}_encoded", (int(rows["bytes"].sum()),), None)
        return
    shape = (len(rows), *config.shape)
    chunk = (min(config.chunk_images, len(rows)), *config.shape)
    if config.compression == "none":
        _allocate(file, f"{split}_images", shape, chunk)
        return
    options: dict[str, Any] = {"compression": config.compression}
    options |= {"compression_opts": GZIP_LEVEL} if config.compression == "gzip" else {}
    file.create_dataset(
        f"{split}_images", shape, np.uint8, chunks=chunk, track_times=False, **options
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


def _offsets(path: Path, name: str) -> list[int]:
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
    offsets = [offset for _, offset in sorted(found)]
    if any(after - before < length for before, after in pairwise(offsets)):
        raise BuildError(f"package: {FILE}: chunks of {name} are out of order. Build again.")
    return offsets


def _fill_raw(
    path: Path,
    split: str,
    rows: pl.DataFrame,
    shelf: Shelf,
    config: Config,
    engine: Engine,
    behind: _Behind,
) -> list[str]:
    """Write one split's pixels and return the sha256 of each image's."""
    name = f"{split}_images"
    chunk = min(config.chunk_images, len(rows))
    volume = chunk * int(np.prod(config.shape))
    step = max(1, BATCH_BYTES // volume)
    ready = not _is_packed(config)
    offsets = _offsets(path, name) if ready else []
    batches = (
        _Batch(shelf, values(part, RAW), path, name, number * step * chunk, at)
        for number, part in enumerate(rows.iter_slices(step * chunk))
        for at in (offsets[number * step : (number + 1) * step],)
    )
    slack = SLACK + 64 * (len(rows) // chunk + 1)
    work = partial(pixels, config=config, chunk=chunk)
    hashes: list[str] = []
    with ExitStack() as stack, progress("package: hdf5", len(rows), "images") as advance:
        # Closed while workers write to it; they never do where this process does.
        file = None if ready else stack.enter_context(h5py.File(path, "r+", libver="v112"))
        for done in engine.map(work, batches):
            if file is not None:
                _reserve(path, file.id.get_filesize() + sum(map(len, done.pieces)) + slack)
                _put(file[name], len(hashes), done, config, chunk)
                file.flush()  # while there is room
            hashes += done.packaged
            if ready:
                behind.reach(offsets[(len(hashes) - 1) // chunk])
            advance(len(done.packaged))
    if not ready:
        _cut(path)
    return hashes


def _put(array: h5py.Dataset, at: int, done: _Done, config: Config, chunk: int) -> None:
    """Write pieces at the row ``at``: chunks that workers have packed, or pixels."""
    if config.compression == "gzip":
        for number, piece in enumerate(done.pieces):
            array.id.write_direct_chunk((at + number * chunk, 0, 0, 0), piece)
        return
    images = np.frombuffer(b"".join(done.pieces), np.uint8)
    array[at : at + len(done.packaged)] = images.reshape(-1, *config.shape)


def pixels(batch: _Batch, config: Config, chunk: int) -> _Done:
    """Decode a batch, and write it where it belongs or hand it over, a piece a chunk."""
    images = _fitted(_decoded(batch, config), config)
    pieces = iter(lambda: b"".join(islice(images, chunk)), b"")
    if batch.offsets:
        return _Done(_read_back(batch, _write_at(batch.path, batch.offsets, pieces)), ())
    found = list(pieces)
    volume = int(np.prod(config.shape))
    hashes = [sha256(image).hexdigest() for piece in found for image in _cut_up(piece, volume)]
    if config.compression == "gzip":
        full = chunk * volume
        found = [zlib.compress(each.ljust(full, b"\0"), GZIP_LEVEL) for each in found]
    return _Done(hashes, found)


def _cut_up(piece: bytes, length: int) -> Iterator[bytes]:
    return (piece[at : at + length] for at in range(0, len(piece), length))


def _decoded(batch: _Batch, config: Config) -> Iterator[Image.Image]:
    with batch.shelf.open() as shelf:
        for *place, width, height in batch.rows:
            at = Place(*place)
            side = (width, height) if at.suffix == "jpg" and width else None
            yield contract.shown(shelf.bytes(at), batch.shelf.limits, side, config.mode)


BANDS = "CMYK"  # whose resizing looks at each band by itself


def _fitted(images: Iterator[Image.Image], config: Config) -> Iterator[bytes]:
    """Yield the pixels of images in the shape of the file."""
    side = config.width, config.height
    method = FILTERS[config.filter]
    while some := list(islice(images, len(BANDS))):
        size = some[0].size
        if len(some) == len(BANDS) and size != side and all(_is_grey(each, size) for each in some):
            # Four grey images at once take two thirds of the time, and get the same pixels.
            four = Image.merge(BANDS, some).resize(side, method)
            yield from (four.tobytes("raw", band) for band in BANDS)
            continue
        for image in some:
            yield (image if image.size == side else image.resize(side, method)).tobytes()


def _is_grey(image: Image.Image, size: tuple[int, int]) -> bool:
    return image.mode == "L" and image.size == size


def _read_back(batch: _Batch, pieces: Sequence[bytes]) -> list[str]:
    """Return the sha256 of each image that was just written, as h5py reads it.

    Raises ``BuildError`` where that is not what was written.
    """
    with h5py.File(batch.path, "r") as file:
        found = file[batch.array][batch.row : batch.row + len(batch.rows)]
    flat, at = found.reshape(-1), 0
    for piece in pieces:
        if not np.array_equal(flat[at : at + len(piece)], np.frombuffer(piece, np.uint8)):
            raise _other(f"rows of {batch.array}")
        at += len(piece)
    return [sha256(image).hexdigest() for image in found]


def _other(what: str) -> BuildError:
    return BuildError(
        f"package: {FILE}: {what} read back differ from what was written; "
        "the disk or memory is at fault. Build again."
    )


def _write_at(path: Path, offsets: Sequence[int], pieces: Iterable[bytes]) -> list[bytes]:
    """Write each piece where it belongs, as it comes; return them all."""
    written = []
    handle = os.open(path, os.O_WRONLY)
    try:
        for offset, piece in zip(offsets, pieces, strict=True):
            if os.pwrite(handle, piece, offset) != len(piece):  # the disk has filled up
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            written.append(piece)
    finally:
        os.close(handle)
    return written


def _fill_encoded(
    path: Path, split: str, rows: pl.DataFrame, shelf: Shelf, engine: Engine, behind: _Behind
) -> None:
    """Write one split's files, one behind the other."""
    name = f"{split}_encoded"
    (start,) = _offsets(path, name)
    step = max(1, BATCH_BYTES // max(1, int(rows["bytes"].mean())))  # type: ignore[arg-type]
    starts = (rows["bytes"].cum_sum() - rows["bytes"] + start).to_list()
    batches = (
        _Batch(shelf, values(part), path, name, at - start, [at])
        for number, part in enumerate(rows.iter_slices(step))
        for at in (starts[number * step],)
    )
    done = 0
    with progress("package: hdf5", len(rows), "images") as advance:
        for count in engine.map(joined, batches):
            done += count
            behind.reach(starts[done - 1])
            advance(count)


def joined(batch: _Batch) -> int:
    """Write the files of a batch, one behind the other; return how many. ``row`` is a byte here.

    Raises ``BuildError`` where one reads back otherwise than it should.
    """
    with batch.shelf.open() as shelf:
        found = list(shelf.unchecked(batch.rows))
        _write_at(batch.path, batch.offsets, [b"".join(found)])
        ends = list(accumulate(map(len, found), initial=0))
        with h5py.File(batch.path, "r") as file:
            held = file[batch.array][batch.row : batch.row + ends[-1]].tobytes()
        for place, (start, end) in zip(batch.rows, pairwise(ends), strict=True):
            at = Place(*place)
            if sha256(held[start:end]).hexdigest() != at.packaged:
                shelf.bytes(at)  # which says so where the source is damaged
                raise _other(f"rows of {batch.array}")
    return len(found)


def _write_columns(file: h5py.File, split: str, rows: pl.DataFrame) -> None:
    if f"{split}_encoded" in file:
        ends = np.cumsum([0, *rows["bytes"]], dtype=np.int64)
        _write_column(file, f"{split}_offsets", ends)
    _write_column(file, f"{split}_labels", rows["class"].to_numpy().astype(np.int64))
    _write_column(file, f"{split}_samples", np.array([s.encode() for s in rows["sample"]]))
    _write_column(file, f"{split}_copies", rows["copy"].to_numpy().astype(np.int32))


def _write_column(file: h5py.File, name: str, values: Any) -> None:
    file.create_dataset(name, data=values, track_times=False)


def reread(folder: Path, engine: Engine) -> int:
    """Read back what ``write`` wrote to ``folder``, as ``verify`` does; return how many images."""
    row = pl.col("member").str.extract(r"(\d+)$").cast(pl.Int64)
    part = pl.col("member").str.extract(r"^(.*)_(?:images|encoded)/\d+$").alias("part")
    listed = CONTENTS.read(folder).with_columns(part).sort("part", row)
    verify(folder / FILE, listed, engine)
    return len(listed)


def verify(path: Path, listed: pl.DataFrame, engine: Engine) -> None:
    """Read the file back; raise ``BuildError`` unless every row is as ``listed`` says."""
    _verify_columns(path, listed)
    for (split,), rows in listed.group_by("part", maintain_order=True):
        found = [each for part in engine.map(hashes, _slices(path, str(split))) for each in part]
        if found != rows["packaged"].to_list():
            raise _other(f"rows of {split}")


def _verify_columns(path: Path, listed: pl.DataFrame) -> None:
    with h5py.File(path, "r") as file:
        for (split,), rows in listed.group_by("part", maintain_order=True):
            for at in range(0, len(rows), AT_ONCE):
                if not _are_columns(file, str(split), at, rows.slice(at, AT_ONCE)):
                    raise _other(f"rows of {split}")
        numbered = dict(_label_map(file))
        given = dict(listed.select("class", "label").unique().iter_rows())
        if not given.items() <= numbered.items():
            raise _other("the rows of label_map")


def _are_columns(file: h5py.File, split: str, at: int, rows: pl.DataFrame) -> bool:
    """Tell whether labels and provenance of rows from ``at`` on are those of ``rows``."""
    end = at + len(rows)
    names = [each.decode() for each in file[f"{split}_samples"][at:end]]
    return (
        np.array_equal(file[f"{split}_labels"][at:end], rows["class"])
        and np.array_equal(file[f"{split}_copies"][at:end], rows["copy"])
        and names == rows["sample"].to_list()
    )


def _label_map(file: h5py.File) -> Iterator[tuple[int, str]]:
    for line in file["label_map"][:]:
        number, _, label = line.decode().partition(",")
        yield int(number), label


@dataclass(frozen=True)
class _Slice:
    """Rows of one split, whole chunks of them."""

    path: Path
    split: str
    start: int
    end: int


def _slices(path: Path, split: str) -> list[_Slice]:
    with h5py.File(path, "r") as file:
        if f"{split}_images" in file:
            images = file[f"{split}_images"]
            count, step = len(images), images.chunks[0]
            volume = int(np.prod(images.shape[1:]))
        else:
            count, step = len(file[f"{split}_offsets"]) - 1, 1
            volume = len(file[f"{split}_encoded"]) // max(1, count)
    step *= max(1, BATCH_BYTES // max(1, volume * step))
    return [_Slice(path, split, at, min(at + step, count)) for at in range(0, count, step)]


def hashes(rows: _Slice) -> list[str]:
    """Return the sha256 of each image of a slice, as h5py reads it."""
    with h5py.File(rows.path, "r") as file:
        if f"{rows.split}_images" in file:
            images = file[f"{rows.split}_images"][rows.start : rows.end]
            return [sha256(image).hexdigest() for image in images]
        offsets = file[f"{rows.split}_offsets"][rows.start : rows.end + 1].tolist()
        held = file[f"{rows.split}_encoded"][offsets[0] : offsets[-1]].tobytes()
    cut = [at - offsets[0] for at in offsets]
    return [sha256(held[start:end]).hexdigest() for start, end in pairwise(cut)]
