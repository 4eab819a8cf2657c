"""HDF5: arrays of images and of labels for each split, and a label map.

``<split>_images`` uint8 (N, height, width, channels), or, with ``store: encoded``, the files
themselves: ``<split>_encoded`` uint8 (bytes of all,) and ``<split>_offsets`` int64 (N + 1,), image
n being ``encoded[offsets[n]:offsets[n + 1]]``. Beside them ``<split>_labels`` int64 (N,), and where
each row is from: ``<split>_samples`` text (N,), ``<split>_copies`` int32 (N,), which is 0 for the
image itself. ``label_map`` has rows ``number,label``. Rows are shuffled once, by a hash, so that
reading in order mixes the labels.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.package import contract
from imagemill.package.renditions import Place, Shelf, tasks
from imagemill.progress import progress
from imagemill.tables import CONTENTS

FILE = "dataset.h5"
BATCH_BYTES = 4 << 20  # that a worker hands over at once, about; few are in memory at a time
GZIP_LEVEL = 4
CHANNELS = {"L": 1, "RGB": 3}


class Config(Section):
    """What an image is in the file."""

    store: Literal["raw", "encoded"]
    """raw: pixels of one shape; encoded: each file as it is packaged, of any shape."""
    width: Annotated[int, Field(ge=1)]
    """Of raw images, as all below."""
    height: Annotated[int, Field(ge=1)]
    mode: Literal["L", "RGB"]
    """L: one channel; RGB: three."""
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
    places: Sequence[Place]


@dataclass(frozen=True)
class _Read:
    """What a worker hands over: the bytes for the file, in one or several pieces."""

    pieces: list[bytes]
    packaged: list[str]
    """sha256 of each image."""


def write(
    listed: pl.DataFrame, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[pl.DataFrame, set[str]]:
    """Write ``out/dataset.h5`` and read it back; return ``tables.CONTENTS``, and the file."""
    kind = "images" if config.store == "raw" else "encoded"
    row = pl.int_range(pl.len()).over("part")
    listed = listed.with_columns(pl.format("{}_{}/{}", "part", pl.lit(kind), row).alias("member"))
    hashes: list[str] = []
    with replacing(out / FILE) as part:
        with h5py.File(part, "w", libver="v112") as file:
            for (split,), rows in listed.group_by("part", maintain_order=True):
                if config.store == "raw":
                    hashes += _write_raw(file, str(split), rows, shelf, config, engine)
                else:
                    _write_encoded(file, str(split), rows, shelf, engine)
                _write_columns(file, str(split), rows)
            _write_label_map(file, listed)
        if config.store == "raw":
            volume = pl.lit(int(np.prod(config.shape)), pl.Int64).alias("bytes")
            listed = listed.with_columns(pl.Series("packaged", hashes, pl.String), volume)
        verify(part, listed, engine)
    return listed, {FILE}


def _write_raw(
    file: h5py.File, split: str, rows: pl.DataFrame, shelf: Shelf, config: Config, engine: Engine
) -> list[str]:
    """Write one split and return the sha256 of each image's raw pixels."""
    chunk = min(config.chunk_images, len(rows))
    options: dict[str, dict[str, Any]] = {
        "none": {},
        "gzip": {"compression": "gzip", "compression_opts": GZIP_LEVEL},
        "lzf": {"compression": "lzf"},
    }
    shape = (len(rows), *config.shape)
    packed = {"chunks": (chunk, *config.shape), **options[config.compression]}
    target = file.create_dataset(f"{split}_images", shape, np.uint8, track_times=False, **packed)
    most = max(1, BATCH_BYTES // (chunk * int(np.prod(config.shape)))) * chunk
    work = partial(pixels, config=config, chunk=chunk)
    hashes: list[str] = []
    for read in _worked(rows, shelf, most, work, engine):
        if config.compression == "gzip":  # whole chunks, packed by the workers
            for number, piece in enumerate(read.pieces):
                target.id.write_direct_chunk((len(hashes) + number * chunk, 0, 0, 0), piece)
        else:
            count = len(read.packaged)
            images = np.frombuffer(read.pieces[0], np.uint8).reshape(count, *config.shape)
            target[len(hashes) : len(hashes) + count] = images
        hashes += read.packaged
    return hashes


def _worked(
    rows: pl.DataFrame, shelf: Shelf, most: int, work: Any, engine: Engine
) -> Iterator[_Read]:
    batches = (_Batch(shelf, tasks(part)) for part in rows.iter_slices(most))
    with progress("package: hdf5", len(rows), "images") as advance:
        for read in engine.map(work, batches):
            advance(len(read.packaged))
            yield read


def pixels(batch: _Batch, config: Config, chunk: int) -> _Read:
    """Decode a batch: one piece of raw pixels, or a piece a chunk where they are packed."""
    with batch.shelf.open() as shelf:
        found = [
            _fitted(shelf.bytes(place), batch.shelf, config).tobytes() for place in batch.places
        ]
    hashes = [sha256(each).hexdigest() for each in found]
    if config.compression != "gzip":
        return _Read([b"".join(found)], hashes)
    full = chunk * int(np.prod(config.shape))
    pieces = (b"".join(found[n : n + chunk]) for n in range(0, len(found), chunk))
    return _Read([zlib.compress(each.ljust(full, b"\0"), GZIP_LEVEL) for each in pieces], hashes)


def _fitted(data: bytes, shelf: Shelf, config: Config) -> NDArray[np.uint8]:
    image = contract.opened(data, shelf.limits)
    if image.mode != config.mode:
        image = image.convert(config.mode)
    side = config.width, config.height
    resized = image if image.size == side else image.resize(side, Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(config.shape)


def _write_encoded(
    file: h5py.File, split: str, rows: pl.DataFrame, shelf: Shelf, engine: Engine
) -> None:
    """Write the files of one split, one behind the other."""
    lengths = rows["bytes"].to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    target = file.create_dataset(
        f"{split}_encoded", (int(offsets[-1]),), np.uint8, track_times=False
    )
    most = max(1, BATCH_BYTES // max(1, int(lengths.mean())))
    at = 0
    for read in _worked(rows, shelf, most, joined, engine):
        target[at : at + len(read.pieces[0])] = np.frombuffer(read.pieces[0], np.uint8)
        at += len(read.pieces[0])
    _write_column(file, f"{split}_offsets", offsets)


def joined(batch: _Batch) -> _Read:
    """Return the files of a batch, one behind the other."""
    with batch.shelf.open() as shelf:
        found = [shelf.bytes(place) for place in batch.places]
    return _Read([b"".join(found)], [place.packaged for place in batch.places])


def _write_columns(file: h5py.File, split: str, rows: pl.DataFrame) -> None:
    _write_column(file, f"{split}_labels", rows["class"].to_numpy().astype(np.int64))
    _write_column(file, f"{split}_samples", [each.encode() for each in rows["sample"]])
    _write_column(file, f"{split}_copies", rows["copy"].to_numpy().astype(np.int32))


def _write_label_map(file: h5py.File, listed: pl.DataFrame) -> None:
    labels = listed.select("class", "label").unique().sort("class").iter_rows()
    _write_column(file, "label_map", [f"{number},{label}".encode() for number, label in labels])


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
    for (split,), rows in listed.group_by("part", maintain_order=True):
        with h5py.File(path, "r") as file:
            names = [each.decode() for each in file[f"{split}_samples"][:]]
            same = (
                file[f"{split}_labels"][:].tolist() == rows["class"].to_list()
                and file[f"{split}_copies"][:].tolist() == rows["copy"].to_list()
                and names == rows["sample"].to_list()
            )
        found = [each for part in engine.map(hashes, _slices(path, str(split))) for each in part]
        if not same or found != rows["packaged"].to_list():
            raise BuildError(
                f"package: {FILE}: rows of {split} read back differ from what was written; "
                "the disk or memory is at fault. Build again."
            )


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
