"""The packaged ImageFolder: what it holds, and the bytes straight out of its packs."""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import polars as pl

from imagemill import packs
from imagemill.errors import BuildError
from imagemill.packs import Member
from imagemill.progress import progress
from imagemill.publish.putting import Outgoing
from imagemill.tables import CONTENTS


class Packaged:
    """What ``package`` wrote to one folder. Raises ``BuildError`` where that is no ImageFolder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (folder / CONTENTS.file).exists():
            raise BuildError(
                f"publish: {folder} is not there, and only an ImageFolder can be published. "
                "Choose `package: imagefolder`."
            )
        if not any(folder.glob("*.tar")):
            raise BuildError(
                f"publish: {folder} holds no packs. Set package.formats.imagefolder.unpacked=false."
            )
        self.contents = CONTENTS.read(folder)

    def outgoing(self, rows: pl.DataFrame) -> Iterator[Outgoing]:
        """Yield the objects of ``rows`` of ``contents``, in that order.

        Raises ``BuildError`` when a pack is damaged.
        """
        wanted = rows.select("member").join(
            self._placed, on="member", how="left", maintain_order="left"
        )
        with packs.Reader(self._folder) as reader:
            for member, digest, *place in wanted.iter_rows():
                yield Outgoing(member, digest, reader.content(digest, *place))

    def hashed(self, rows: pl.DataFrame) -> pl.Series:
        """Return the MD5 of the bytes of ``rows`` of ``contents``, in hex."""
        found = []
        with progress("publish: compare", len(rows), "objects") as advance:
            for each in self.outgoing(rows):
                found.append(hashlib.md5(each.content, usedforsecurity=False).hexdigest())
                advance(1)
        return pl.Series(found, dtype=pl.String)

    @cached_property
    def _placed(self) -> pl.DataFrame:
        """The members with their digest, pack, offset and length."""
        rows = self.contents.select("member", "packaged", "bytes")
        places = list(packs.places(self._folder, (Member(*row) for row in rows.iter_rows())))
        pack, offset = zip(*places, strict=True)
        return rows.select(
            "member",
            "packaged",
            pl.Series("pack", pack, pl.String),
            pl.Series("offset", offset, pl.Int64),
            "bytes",
        )
