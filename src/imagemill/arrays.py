"""Images as rows of an array: decoded, brought to one shape, put in their place and read back.

What the workers do who fill HDF5 files. It imports little: a worker that starts Polars and all
formats takes twice the memory and three times as long to start.
"""

import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from h5py import h5d, h5f, h5p, h5s
from numpy.typing import NDArray
from PIL import Image

from imagemill import images, packs
from imagemill.errors import BuildError

GZIP_LEVEL = 4

Mode = Literal["L", "RGB"]
CHANNELS: dict[Mode, int] = {"L": 1, "RGB": 3}

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

JPEG = b"\xff\xd8\xff"

STORE, SOURCE = "store", "source"


class PresumedWronglyError(Exception):
    """An image that was presumed to leave as it is does not; ``render`` says what all become."""


@dataclass(frozen=True)
class Form:
    """What every row is."""

    width: int
    height: int
    mode: Mode
    filter: str
    """Of ``FILTERS``; with which an image of another shape is resized."""
    compression: Literal["none", "gzip", "lzf"]
    chunk: int
    """Rows that are written together."""

    @property
    def volume(self) -> int:
        """Bytes of a row."""
        return self.height * self.width * CHANNELS[self.mode]


@dataclass(frozen=True)
class Origin:
    """The packs that images are read from."""

    sources: Path
    store: Path
    """Of those that are not the sources' own."""
    limits: images.Limits


@dataclass(frozen=True)
class Batch:
    """Rows to make, which follow one another in the file."""

    origin: Origin
    rows: Sequence[tuple[Any, ...]]
    """Of each image: where it is (``STORE``, ``SOURCE``, or the format of a source's file that is
    presumed to be bare), the sha256 of its file, pack, offset and length there; its width and
    height where it is a JPEG that meets the contract, else null."""
    path: Path
    array: str
    """Name of the array that they belong to."""
    row: int
    """Number of the first."""
    offsets: Sequence[int]
    """Where in the file its chunks lie; none where the one who asked writes them."""


@dataclass(frozen=True)
class Done:
    """What a worker hands over."""

    digests: bytes
    """sha256 of each row, one behind the other."""
    pieces: Sequence[bytes]
    """What is still to be written."""


def fill(batch: Batch, form: Form) -> Done:
    """Make rows, and write them where they belong or hand them over, a piece a chunk."""
    made = np.empty((len(batch.rows), form.volume), np.uint8)
    for row, image in zip(made, fitted(_decoded(batch, form), form), strict=True):
        row[:] = np.frombuffer(image, np.uint8)
    if batch.offsets:
        _write(batch, made, form.chunk)
        found = np.empty_like(made)
        _read(batch, found, form)
        if not np.array_equal(_words(made), _words(found)):
            raise differing(f"rows of {batch.array}")
        return Done(hashed(found), ())
    digests = hashed(made)
    pieces = [made[at : at + form.chunk].tobytes() for at in range(0, len(made), form.chunk)]
    if form.compression == "gzip":
        full = form.chunk * form.volume
        pieces = [zlib.compress(each.ljust(full, b"\0"), GZIP_LEVEL) for each in pieces]
    return Done(digests, pieces)


def hashed(rows: NDArray[np.uint8]) -> bytes:
    """Return the sha256 of each row, one behind the other."""
    return b"".join(sha256(row.data).digest() for row in rows)


def _words(rows: NDArray[np.uint8]) -> NDArray[np.generic]:
    """Return the same bytes as larger numbers, of which fewer are to be compared."""
    flat = rows.reshape(-1)
    return flat.view(np.uint64) if len(flat) % 8 == 0 else flat


def differing(what: str) -> BuildError:
    """Return the error of what reads back otherwise than it was written."""
    return BuildError(
        f"package: dataset.h5: {what} read back differ from what was written; "
        "the disk or memory is at fault. Build again."
    )


def _decoded(batch: Batch, form: Form) -> Iterator[Image.Image]:
    origin = batch.origin
    with packs.Reader(origin.sources) as sources, packs.Reader(origin.store) as store:
        for kind, digest, pack, offset, length, side in batch.rows:
            reader = store if kind == STORE else sources
            data = reader.content(digest, pack, offset, length)
            if kind not in (STORE, SOURCE):
                bare(data, kind)
            yield shown(data, origin.limits, side, form.mode)


def shown(
    data: bytes, limits: images.Limits, ready: tuple[int, int] | None, mode: Mode
) -> Image.Image:
    """Return the upright image of a file in ``mode``; the luma of a JPEG that meets the contract.

    ``ready`` is the side of one that is known to. Raises ``BuildError`` when it cannot be read.
    """
    try:
        if ready is None and data.startswith(JPEG):
            header = images.header(data, limits)
            ready = (header.width, header.height) if images.meets_contract(header) else None
        if ready is not None:
            return images.decode_ready(data, ready, mode)
        image = images.read(data, limits)[1]
    except images.Unreadable as error:
        raise unreadable(data, error) from error
    return image if image.mode == mode else image.convert(mode)


def bare(data: bytes, name: str) -> bytes:
    """Return an image of that format, which meets the contract, if it leaves as it is.

    Raises ``PresumedWronglyError`` if it does not.
    """
    try:
        stripped = images.strip_metadata(data, name)
    except images.Unreadable as error:
        raise PresumedWronglyError from error
    if stripped is not data and stripped != data:
        raise PresumedWronglyError
    return data


def unreadable(data: bytes, error: images.Unreadable) -> BuildError:
    """Return the error of a file that was measured and cannot be read now."""
    return BuildError(
        f"package: image {sha256(data).hexdigest()} cannot be read ({error.reason}), though it "
        "was measured. Its pack has changed on disk; run `dvc checkout` and build again."
    )


BANDS = "CMYK"  # whose resizing looks at each band by itself


def fitted(found: Iterator[Image.Image], form: Form) -> Iterator[bytes]:
    """Yield the pixels of images in the shape of a row."""
    side = form.width, form.height
    method = FILTERS[form.filter]
    while some := list(islice(found, len(BANDS))):
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


def _write(batch: Batch, rows: NDArray[np.uint8], chunk: int) -> None:
    """Write rows where their chunks belong."""
    handle = os.open(batch.path, os.O_WRONLY)
    try:
        for number, offset in enumerate(batch.offsets):
            piece = rows[number * chunk : (number + 1) * chunk]
            put(handle, piece.data, offset, batch.path)
    finally:
        os.close(handle)


def put(handle: int, data: bytes | memoryview, offset: int, path: Path) -> None:
    """Write ``data`` at ``offset``. Raises ``OSError`` where the disk has filled up."""
    length = data.nbytes if isinstance(data, memoryview) else len(data)
    if os.pwrite(handle, data, offset) != length:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _read(batch: Batch, rows: NDArray[np.uint8], form: Form) -> None:
    """Read rows as HDF5 does, past its cache, which would only copy them once more."""
    uncached = h5p.create(h5p.DATASET_ACCESS)
    uncached.set_chunk_cache(0, 0, 1.0)
    file = h5f.open(os.fsencode(batch.path), h5f.ACC_RDONLY)
    try:
        array = h5d.open(file, batch.array.encode(), uncached)
        shape = (len(rows), form.height, form.width, CHANNELS[form.mode])
        there = array.get_space()
        there.select_hyperslab((batch.row, 0, 0, 0), shape)
        array.read(h5s.create_simple(shape), there, rows.reshape(shape))
    finally:
        file.close()


def read(path: Path, array: str, start: int, end: int) -> NDArray[np.uint8]:
    """Return rows of an array, as h5py reads them."""
    with h5py.File(path, "r") as file:
        rows: NDArray[np.uint8] = file[array][start:end]
    return rows
