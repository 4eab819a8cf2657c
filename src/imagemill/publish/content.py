"""The bytes of a packaged ImageFolder, straight out of its packs."""

import hashlib
from collections.abc import Iterator
from functools import cached_property

import polars as pl

from imagemill import packs
from imagemill.packaged import Packaged
from imagemill.progress import progress
from imagemill.publish.putting import Outgoing


class Content:
    """Reads members of ``packaged``; every method raises ``BuildError`` when a pack is damaged."""

    def __init__(self, packaged: Packaged) -> None:
        self._packaged = packaged

    def outgoing(self, rows: pl.DataFrame) -> Iterator[Outgoing]:
        """Yield the objects of ``rows`` of ``tables.CONTENTS``, in that order."""
        wanted = rows.select("member").join(
            self._placed, on="member", how="left", maintain_order="left"
        )
        with packs.Reader(self._packaged.folder) as reader:
            for member, digest, *place in wanted.iter_rows():
                yield Outgoing(member, digest, reader.content(digest, *place))

    def hashed(self, rows: pl.DataFrame) -> pl.Series:
        """Return the MD5 of the bytes of ``rows`` of ``tables.CONTENTS``, in hex."""
        found = []
        with progress("publish: compare", len(rows), "objects") as advance:
            for each in self.outgoing(rows):
                found.append(hashlib.md5(each.content, usedforsecurity=False).hexdigest())
                advance(1)
        return pl.Series(found, dtype=pl.String)

    @cached_property
    def _placed(self) -> pl.DataFrame:
        return self._packaged.placed().select("member", "packaged", "pack", "offset", "bytes")
