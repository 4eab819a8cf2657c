"""Images as rows of an array: decoded, brought to one shape, put in their place and read back.

What the workers do who fill HDF5 files. It imports little: a worker that starts Polars and all
formats takes twice the memory and three times as long to start.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from xxhash import xxh3_128_digest

from imagemill import images, packs
from imagemill.arrays.file import opened
from imagemill.errors import BuildError

GZIP_LEVEL = 4
CACHED = 256 << 10  # bytes that are written, read back and compared at once

Mode = Literal["L", "RGB"]
CHANNELS: dict[Mode, int] = {"L": 1, "RGB": 3}

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

JPEG = b"\xff\xd8\xff"

STORE, SOURCE = "store", "source"
KINDS = (STORE, SOURCE, "JPEG", "PNG", "WEBP")
"""Where an image is, or the format of a source's file that is presumed to be bare."""

DIGEST = 32  # bytes of a sha256
HASH = 16  # bytes of a row's, see ``hashed``


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
        height, width, channels = self.shape
        return height * width * channels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a row."""
        return self.height, self.width, CHANNELS[self.mode]


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
    rows: NDArray[np.int64]
    """(N, 6). Of each image: number in ``KINDS``, number in ``packs``, offset and length there;
    its width and height where it is a JPEG that meets the contract, else 0."""
    packs: Sequence[str]
    digests: bytes
    """sha256 of each image's file, one behind the other."""
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

    hashes: bytes
    """Of each row, as ``hashed`` returns them."""
    pieces: Sequence[bytes]
    """What is still to be written."""


def fill(batch: Batch, form: Form) -> Done:
    """Make rows, and write them where they belong or hand them over, a piece a chunk."""
    images = fitted(_decoded(batch, form), form)
    if batch.offsets:
        return Done(_filled(batch, form, images), ())
    pieces = [made.tobytes() for made in _pieces(images, len(batch.rows), form.chunk, form)]
    hashes = b"".join(hashed(_rows(piece, form)) for piece in pieces)
    if form.compression == "gzip":
        full = form.chunk * form.volume
        pieces = [zlib.compress(each.ljust(full, b"\0"), GZIP_LEVEL) for each in pieces]
    return Done(hashes, pieces)


def _rows(piece: bytes, form: Form) -> NDArray[np.uint8]:
    return np.frombuffer(piece, np.uint8).reshape(-1, form.volume)


def _pieces(
    images: Iterator[NDArray[Any]], count: int, step: int, form: Form
) -> Iterator[NDArray[np.uint8]]:
    """Yield ``count`` rows, ``step`` at a time."""
    for start in range(0, count, step):
        made = np.empty((min(step, count - start), form.volume), np.uint8)
        for row in made:
            np.copyto(row, next(images), casting="unsafe")  # the lowest byte
        yield made


def _filled(batch: Batch, form: Form, images: Iterator[NDArray[Any]]) -> bytes:
    """Write rows where they belong; return the hash of each as it is read back.

    Some chunks at a time, which the processor's cache holds until they are compared. Raises
    ``BuildError`` where they are read back otherwise.
    """
    chunks = max(1, CACHED // (form.chunk * form.volume))
    hashes = []
    at = 0
    array = opened(batch.path, batch.array)
    for number, made in enumerate(_pieces(images, len(batch.rows), chunks * form.chunk, form)):
        array.write(made, batch.offsets[number * chunks : (number + 1) * chunks], form.chunk)
        found = array.read(batch.row + at, len(made), form.shape)
        if not np.array_equal(_words(made), _words(found)):
            raise differing(f"rows of {batch.array}")
        hashes.append(hashed(found))
        at += len(made)
    return b"".join(hashes)


def hashed(rows: NDArray[np.uint8]) -> bytes:
    """Return the XXH3 (128 bits) of each row's pixels, one behind the other.

    Pixels are told apart by it everywhere here (``measure.pixels``); the file has a sha256.
    """
    return b"".join(map(xxh3_128_digest, rows))


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


Decoded = Image.Image | images.Levels


def _decoded(batch: Batch, form: Form) -> Iterator[Decoded]:
    origin = batch.origin
    with packs.Reader(origin.sources) as sources, packs.Reader(origin.store) as store:
        for at, (number, pack, offset, length, *side) in enumerate(batch.rows.tolist()):
            kind = KINDS[number]
            digest = batch.digests[DIGEST * at : DIGEST * (at + 1)].hex()
            reader = store if kind == STORE else sources
            data = reader.content(digest, batch.packs[pack], offset, length)
            if kind not in (STORE, SOURCE):
                bare(data, kind)
            yield shown(data, origin.limits, tuple(side) if side[0] else None, form.mode)


def shown(data: bytes, limits: images.Limits, ready: tuple[int, int] | None, mode: Mode) -> Decoded:
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


TOGETHER = 4  # grey images, as the bands of one whose resizing looks at each band by itself


def fitted(found: Iterator[Decoded], form: Form) -> Iterator[NDArray[Any]]:
    """Yield the pixels of images in the shape of a row: the lowest byte of each number."""
    side = form.width, form.height
    method = FILTERS[form.filter]
    while some := list(islice(found, TOGETHER)):
        shapes = {_shape(each) for each in some}
        if shapes == {form.shape}:
            yield from (np.asarray(each).reshape(-1) for each in some)
        elif len(some) == TOGETHER and len(shapes) == 1 and form.mode == "L":
            # Four at once take two thirds of the time, and get the same pixels.
            yield from _bands(images.banded(some).resize(side, method))
        else:
            for each in some:
                image = each if isinstance(each, Image.Image) else images.of_levels(each)
                # Which gives an image of that side as it is.
                yield np.frombuffer(image.resize(side, method).tobytes(), np.uint8)


def _shape(found: Decoded) -> tuple[int, ...]:
    """Return height, width and channels."""
    if isinstance(found, Image.Image):
        return found.height, found.width, len(found.getbands())
    return found.shape


def _bands(four: Image.Image) -> Iterator[NDArray[np.uint32]]:
    """Yield each band in the lowest byte of numbers; Pillow's own way takes a third longer."""
    pixels = np.frombuffer(four.tobytes(), "<u4")
    for band in range(TOGETHER):
        yield pixels >> np.uint32(8 * band)
