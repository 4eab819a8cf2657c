"""WebDataset: tar shards, ``<split>/<shard>.tar``, of a ``.jpg`` (or ``.png``) and a ``.cls`` each.

The key of a sample is ``<split>/<label>/<name>`` with the dots of the name written ``%2E``, since
webdataset ends a key at the first dot. ``.cls`` is the label's number, in ASCII.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.package import shards, tars
from imagemill.package.labels import Lot
from imagemill.package.renditions import Shelf
from imagemill.package.shards import Read, Sample

CLASS = "cls"


class Config(Section):
    """How samples are divided into shards."""

    shard_images: Annotated[int, Field(ge=1)]
    """Samples of a shard on average."""


class Shards:
    """Writes and reads shards."""

    suffix = "tar"
    columns: tuple[str, ...] = ("class",)

    def write(self, path: Path, samples: Iterator[Sample]) -> None:
        """Write a tar file: for each sample its image, then its class."""
        tars.write(path, _members(samples))

    def read(self, path: Path) -> Iterator[Read]:
        """Yield every sample. Raises ``ValueError`` where one has no class."""
        found = tars.read(path)
        for name, data in found:
            beside, number = next(found, ("", b""))
            if beside != f"{_stem(name)}.{CLASS}":
                raise ValueError(f"{name} is not followed by its class")
            yield Read(name, (int(number),), data)


def _members(samples: Iterator[Sample]) -> Iterator[tuple[str, bytes]]:
    for sample in samples:
        yield sample.member, sample.data
        yield f"{_stem(sample.member)}.{CLASS}", _number(sample.said[0])


@cache
def _number(given: int) -> bytes:
    return str(given).encode()


def _stem(member: str) -> str:
    return member.rpartition(".")[0]


def member() -> pl.Expr:
    """Return the path of each row's image in its shard."""
    name = pl.col("name").str.replace_all("%", "%25", literal=True)
    name = name.str.replace_all(".", "%2E", literal=True)
    return pl.format("{}/{}.{}", "folder", name, "suffix").alias("member")


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[pl.DataFrame, set[str]]:
    """Write the shards of ``lot``; return its rows as ``tables.CONTENTS``, and the files."""
    listed = lot.rows.with_columns(member())
    plan = shards.planned(listed, config.shard_images, Shards())
    written = shards.write(plan, Shards(), shelf, out, engine)
    return listed, set(written.names)
