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
from imagemill.package.lots import AT_ONCE, Lot, by_member, listings
from imagemill.package.shards import Read, Shard
from imagemill.package.shelf import Shelf
from imagemill.packs import Member
from imagemill.tables import Pieces


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


MEMBER = pl.format("{}/{}.{}", "folder", "name", "suffix").alias("member")
"""The path of each row's image."""


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[Pieces, Files]:
    """Write the packs of ``lot``; return its rows as ``tables.CONTENTS``, and the files."""
    lot = by_member(lot, MEMBER)
    if config.unpacked:
        listed = pl.concat(listings(lot, MEMBER))
        return listed.iter_slices(AT_ONCE), folders.write(listed, shelf, out, engine)
    plan = planned(listings(lot, MEMBER), config.pack_bytes)
    written = shards.write(plan, Packs(), shelf, out, engine)
    return listings(lot, MEMBER), written.files()


def planned(listed: Pieces, average: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the packs of rows, in their order; see ``packs.plan``."""
    held: list[pl.DataFrame] = []  # and not in a pack yet

    def members() -> Iterator[Member]:
        for piece in listed:
            held.append(piece)
            rows = piece.select("member", "packaged", "bytes").iter_rows()
            yield from (Member(*row) for row in rows)

    for pack in packs.plan(members(), average):
        rows = pl.concat(held)
        held[:] = [rows.slice(len(pack.members))]
        yield pack.name, rows.head(len(pack.members))
