"""Real folders of images, as an ImageFolder that is not packed has them."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.package.checksums import Files
from imagemill.package.shards import NEXT
from imagemill.package.shelf import PLACE, Place, Shelf, values
from imagemill.progress import progress

BATCH = 1000  # files that a worker writes before it takes the next

_PACKAGED = PLACE.index("packaged")


@dataclass(frozen=True)
class _Batch:
    """Files to write."""

    shelf: Shelf
    folder: Path
    members: Sequence[str]
    places: Sequence[tuple[Any, ...]]
    """Values of ``Place``."""


def write(listed: pl.DataFrame, shelf: Shelf, out: Path, engine: Engine) -> Files:
    """Write every member of ``listed`` below ``out/.next``, read and compared.

    ``commit`` is to be called then. Raises ``BuildError`` where one reads back otherwise.
    """
    shutil.rmtree(out / NEXT, ignore_errors=True)
    for folder in listed["folder"].unique().sort():
        (out / NEXT / folder).mkdir(parents=True, exist_ok=True)
    batches = (
        _Batch(shelf, out / NEXT, part["member"].to_list(), values(part))
        for part in listed.iter_slices(BATCH)
    )
    with progress("package: imagefolder", len(listed), "images") as advance:
        for count in engine.map(fill, batches):
            advance(count)
    return dict(zip(listed["member"], listed["packaged"], strict=True))


def fill(batch: _Batch) -> int:
    """Write the files of a batch and read them back; return how many."""
    with batch.shelf.open() as shelf:
        images = shelf.unchecked(batch.places)
        for member, place, data in zip(batch.members, batch.places, images, strict=True):
            path = f"{batch.folder}/{member}"
            _put(path, data)
            if _digest(path) != place[_PACKAGED]:
                shelf.bytes(Place(*place))  # which says so where the source is damaged
                raise BuildError(
                    f"package: {member} read back differs from what was written; the disk or "
                    "memory is at fault. Build again."
                )
    return len(batch.members)


def _put(path: str, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def _digest(path: str) -> str:
    handle = os.open(path, os.O_RDONLY)
    try:
        length = os.fstat(handle).st_size
        return sha256(os.read(handle, length)).hexdigest()
    finally:
        os.close(handle)


def commit(out: Path) -> None:
    """Put the folders that were written below ``out/.next`` in their place, and remove all else.

    Only renames of whole folders, and deletions: nothing that needs room on the disk.
    """
    new = sorted((out / NEXT).iterdir())
    for path in new:
        if (out / path.name).exists():
            (out / path.name).rename(out / NEXT / f".{path.name}.old")
        path.rename(out / path.name)
    kept = {path.name for path in new}
    for path in sorted(out.iterdir()):
        if path.name in kept:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
