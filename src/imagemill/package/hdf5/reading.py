"""The file read back, and compared with the manifest."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import polars as pl

from imagemill import arrays
from imagemill.arrays import differing
from imagemill.arrays import file as files
from imagemill.engine import Engine
from imagemill.package.hdf5.filling import BATCH_BYTES
from imagemill.package.lots import Lot

Columns = Iterable[pl.DataFrame]
"""sample, copy and class of the rows of a split, some at a time."""


def columns(rows: Lot) -> Iterator[pl.DataFrame]:
    """Yield what the file must say of rows."""
    for part in rows.slices():
        said = part.images.select("sample", "class")[part.rows["image"]]
        yield said.hstack([part.rows["copy"]])


def verify_columns(path: Path, split: str, rows: Columns) -> None:
    """Raise ``BuildError`` unless labels and provenance of a split are those of ``rows``."""
    with h5py.File(path, "r") as file:
        at = 0
        for part in rows:
            if not _are_columns(file, split, at, part):
                raise differing(f"rows of {split}")
            at += len(part)
        if at != len(file[f"{split}_labels"]):
            raise differing(f"rows of {split}")


def _are_columns(file: h5py.File, split: str, at: int, rows: pl.DataFrame) -> bool:
    """Tell whether labels and provenance of rows from ``at`` on are those of ``rows``."""
    end = at + len(rows)
    names = [each.decode() for each in file[f"{split}_samples"][at:end]]
    return (
        np.array_equal(file[f"{split}_labels"][at:end], rows["class"])
        and np.array_equal(file[f"{split}_copies"][at:end], rows["copy"])
        and names == rows["sample"].to_list()
    )


def verify_labels(path: Path, given: dict[int, str]) -> None:
    """Raise ``BuildError`` unless the file's ``label_map`` has the labels that rows have."""
    with h5py.File(path, "r") as file:
        if not given.items() <= dict(_label_map(file)).items():
            raise differing("the rows of label_map")


def _label_map(file: h5py.File) -> Iterator[tuple[int, str]]:
    for line in file["label_map"][:]:
        number, _, label = line.decode().partition(",")
        yield int(number), label


def verify_images(path: Path, split: str, packaged: bytes, engine: Engine) -> None:
    """Raise ``BuildError`` unless the images of a split have these hashes, one behind the other."""
    at = 0
    for found in engine.map(hashes, _slices(path, split)):
        if found != packaged[at : at + len(found)]:
            raise differing(f"rows of {split}")
        at += len(found)
    if at != len(packaged):
        raise differing(f"rows of {split}")


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


def hashes(rows: _Slice) -> bytes:
    """Return the hash of each image of a slice, as h5py reads it, one behind the other."""
    with h5py.File(rows.path, "r") as file:
        if f"{rows.split}_images" in file:
            return arrays.hashed(file[f"{rows.split}_images"][rows.start : rows.end])
        offsets = file[f"{rows.split}_offsets"][rows.start : rows.end + 1].tolist()
    held = files.read(rows.path, f"{rows.split}_encoded", offsets[0], offsets[-1])
    cut = [at - offsets[0] for at in offsets]
    return b"".join(sha256(held[start:end].data).digest() for start, end in pairwise(cut))
