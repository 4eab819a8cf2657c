"""RecordIO for insightface's ``arcface_torch``: ``<split>/train.rec``, ``train.idx``, ``property``.

A record is a header of MXNet's (flag, label, two ids) and an image's bytes. Record 0 says where
images end and identities begin: its label is (images + 1, images + 1 + classes). Records 1 to n are
the images, sorted by class; behind them one a class has the range of its images as its label.
One file a split, so that a change rewrites it whole.
"""

import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.package.checksums import Files
from imagemill.package.lots import Lot
from imagemill.package.shards import NEXT
from imagemill.package.shelf import Place, Shelf, values
from imagemill.packs import BUFFER
from imagemill.progress import progress

MAGIC = 0xCED7230A
RECORD, INDEX, PROPERTY = "train.rec", "train.idx", "property"
BATCH = 128  # images that a worker hands over at once
_HEADER = struct.Struct("<IfQQ")  # flag, label, id, id2
_FRAME = struct.Struct("<II")  # magic, length
_LONGEST = 1 << 29  # bytes: the upper bits of a length say that a record is cut


class Config(Section):
    """There is nothing to choose."""


@dataclass(frozen=True)
class _Batch:
    shelf: Shelf
    places: Sequence[tuple[Any, ...]]
    """Values of ``Place``."""


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[pl.DataFrame, Files]:
    """Write the records of each split of ``lot``; return ``tables.CONTENTS``, and the files."""
    del config
    listed = lot.frame().sort("part", "class", maintain_order=True)
    number = pl.int_range(1, pl.len() + 1).over("part")
    listed = listed.with_columns(
        pl.format("{}/{}/{}", "part", pl.lit(RECORD), number).alias("member")
    )
    files: Files = {}
    for (part,), rows in listed.group_by("part", maintain_order=True):
        folder = out / NEXT / str(part)
        folder.mkdir(parents=True, exist_ok=True)
        _write_part(folder, rows, shelf, engine)
        _write_property(folder, rows, len(lot.labels))
        _verify(folder, rows)
        files |= {f"{part}/{name}": None for name in (RECORD, INDEX, PROPERTY)}
    return listed, files


def _write_part(folder: Path, rows: pl.DataFrame, shelf: Shelf, engine: Engine) -> None:
    count, classes = len(rows), _ranges(rows)
    offsets: list[int] = []
    with (folder / RECORD).open("wb", buffering=BUFFER) as file:
        _put(file, offsets, _labelled(count + 1, count + 1 + len(classes)))
        batches = (_Batch(shelf, values(part)) for part in rows.iter_slices(BATCH))
        labels = iter(rows["class"])
        with progress("package: recordio", count, "images") as advance:
            for images in engine.map(read, batches):
                for image in images:
                    header = _HEADER.pack(0, next(labels), len(offsets), 0)
                    _put(file, offsets, header + image)
                advance(len(images))
        for first, last in classes:
            _put(file, offsets, _labelled(first, last))
    lines = (f"{number}\t{offset}\n" for number, offset in enumerate(offsets))
    (folder / INDEX).write_text("".join(lines))


def _write_property(folder: Path, rows: pl.DataFrame, labels: int) -> None:
    """Say how many labels there are, of which a split may lack some, and the side of all images.

    A trainer makes so many outputs, and each record's label must be one of them.
    """
    sides = rows.select("width", "height").unique()
    side = f"{sides['height'][0]},{sides['width'][0]}" if len(sides) == 1 else "0,0"
    (folder / PROPERTY).write_text(f"{labels},{side}\n")


def _ranges(rows: pl.DataFrame) -> list[tuple[int, int]]:
    """Return the first record of each class, and the one behind its last."""
    counts = rows.group_by("class", maintain_order=True).len()["len"].to_list()
    ends = [1]
    for count in counts:
        ends.append(ends[-1] + count)
    return list(itertools.pairwise(ends))


def _labelled(first: int, second: int) -> bytes:
    """Return a record without image, whose label is two numbers."""
    return _HEADER.pack(2, 0, 0, 0) + struct.pack("<ff", first, second)


def _put(file: BinaryIO, offsets: list[int], record: bytes) -> None:
    if len(record) >= _LONGEST:
        raise BuildError(f"package: recordio takes no image of {len(record):,} bytes")
    offsets.append(file.tell())
    file.write(_FRAME.pack(MAGIC, len(record)))
    file.write(record)
    file.write(bytes(-len(record) % 4))


def read(batch: _Batch) -> list[bytes]:
    """Return the images of a batch."""
    with batch.shelf.open() as shelf:
        return [shelf.bytes(Place(*place)) for place in batch.places]


def records(folder: Path) -> Iterator[tuple[float, bytes]]:
    """Yield class and image of every record, as the index finds them."""
    offsets = [int(line.split("\t")[1]) for line in (folder / INDEX).read_text().splitlines()]
    with (folder / RECORD).open("rb") as file:
        for offset in offsets:
            file.seek(offset)
            magic, length = _FRAME.unpack(file.read(_FRAME.size))
            if magic != MAGIC:
                raise BuildError(f"package: {folder / RECORD}: no record at byte {offset:,}")
            flag, label, _, _ = _HEADER.unpack(file.read(_HEADER.size))
            if not flag:
                yield label, file.read(length - _HEADER.size)


def _verify(folder: Path, rows: pl.DataFrame) -> None:
    expected = list(rows.select("class", "packaged").iter_rows())
    found = [(int(label), sha256(image).hexdigest()) for label, image in records(folder)]
    if found != expected:
        raise BuildError(
            f"package: {folder.name}/{RECORD}: records read back differ from what was written; "
            "the disk or memory is at fault. Build again."
        )
