"""ImageFolder: packs of ``<split>/<label>/<file>`` that ``tar`` or ``imagemill export`` unpack.

Where no sample has a split, ``<label>/<file>``: what torchvision's ``ImageFolder`` is given.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill import packs
from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.package import folders, shards, tars
from imagemill.package.checksums import Files
from imagemill.package.lots import Lot
from imagemill.package.shards import Read, Shard
from imagemill.package.shelf import Shelf
from imagemill.packs import Member


class Config(Section):
    """How an ImageFolder is stored."""

    pack_bytes: Annotated[int, Field(ge=1024)]
    """Content of a pack on average, in bytes."""
    unpacked: bool
    """Write real folders beside the packs' place instead of packs; for small sets."""


class Packs:
    """Writes and reads packs."""

    suffix = "tar"
    columns: tuple[str, ...] = ()

    def write(self, path: Path, shard: Shard, images: Iterator[bytes]) -> None:
        """Write a tar file of the images, by their members' names."""
        tars.write(path, zip(shard.members, images, strict=True))

    def read(self, path: Path) -> Iterator[Read]:
        """Yield every image."""
        for name, data in tars.read(path):
            yield name, (), data


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[pl.DataFrame, Files]:
    """Write the packs of ``lot``; return its rows as ``tables.CONTENTS``, and the files."""
    member = pl.format("{}/{}.{}", "folder", "name", "suffix").alias("member")
    listed = lot.frame().with_columns(member).sort("member")
    if config.unpacked:
        return listed, folders.write(listed, shelf, out, engine)
    written = shards.write(planned(listed, config.pack_bytes), Packs(), shelf, out, engine)
    return listed, written.files()


def planned(listed: pl.DataFrame, average: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the packs of ``listed``, in its order; see ``packs.plan``."""
    rows = listed.select("member", "packaged", "bytes").iter_rows()
    start = 0
    for pack in packs.plan((Member(*row) for row in rows), average):
        yield pack.name, listed.slice(start, len(pack.members))
        start += len(pack.members)
