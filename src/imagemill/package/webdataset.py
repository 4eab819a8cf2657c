"""WebDataset: tar shards, ``<split>/<shard>.tar``, of a ``.jpg`` (or ``.png``) and a ``.cls`` each.

The key of a sample is ``<split>/<label>/<name>`` with the dots of the name written ``%2E``, since
webdataset ends a key at the first dot. ``.cls`` is the label's number, in ASCII.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.package import shards, tars
from imagemill.package.checksums import Files
from imagemill.package.lots import Lot
from imagemill.package.shards import Read, Shard
from imagemill.package.shelf import Shelf
from imagemill.tables import Pieces

CLASS = "cls"


class Config(Section):
    """How samples are divided into shards."""

    shard_images: Annotated[int, Field(ge=1)]
    """Samples of a shard on average."""


class Shards:
    """Writes and reads shards."""

    suffix = "tar"
    columns: tuple[str, ...] = ("class",)

    def write(self, path: Path, shard: Shard, images: Iterator[bytes]) -> None:
        """Write a tar file: for each sample its image, then its class."""
        tars.write(path, _members(shard, images))

    def read(self, path: Path) -> Iterator[Read]:
        """Yield every sample. Raises ``ValueError`` where one has no class."""
        found = tars.read(path)
        for name, data in found:
            beside, number = next(found, ("", b""))
            if beside != f"{_stem(name)}.{CLASS}":
                raise ValueError(f"{name} is not followed by its class")
            yield name, (int(number),), data


def _members(shard: Shard, images: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    for member, (number,), image in zip(shard.members, shard.said, images, strict=True):
        yield member, image
        yield f"{_stem(member)}.{CLASS}", _number(number)


@cache
def _number(given: int) -> bytes:
    return str(given).encode()


def _stem(member: str) -> str:
    return member.rpartition(".")[0]


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[Pieces, Files]:
    """Write the shards of ``lot``; return its rows as ``tables.CONTENTS``, and the files."""
    plan = shards.planned(lot, config.shard_images, Shards())
    written = shards.write(plan, Shards(), shelf, out, engine)
    return shards.contents(lot), written.files()
