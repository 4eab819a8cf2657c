"""What workers do to make renditions: describe those of the contract, make all others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from imagemill import packs
from imagemill.package import contract
from imagemill.package.contract import Fact, Recipe
from imagemill.package.shelf import Shelf
from imagemill.packs import Member, Pack

MOST = 512  # renditions of a batch
MOST_BYTES = 4 << 20  # of their sources, one each: what is made is held until it is written

RESULT: dict[str, Any] = {
    "digest": pl.String,  # of the source's bytes; "+n" behind it names a derived copy
    "packaged": pl.String,  # sha256 of the packaged bytes
    "bytes": pl.Int64,
    "suffix": pl.String,
    "how": pl.String,  # as ``contract`` names it
    "width": pl.Int32,
    "height": pl.Int32,
    "pack": pl.String,  # in the store; null where the source's bytes give the rendition
    "offset": pl.Int64,
}
"""What is remembered of each rendition."""

HOW = list(RESULT).index("how")

WANTED = ("digest", "pack", "offset", "length", "format", "width", "height")
"""What a batch says of each image, besides the numbers of the copies that are lacking."""


@dataclass(frozen=True)
class Batch:
    """Images to make renditions of."""

    shelf: Shelf
    recipe: Recipe
    members: Sequence[tuple[Any, ...]]
    """``WANTED``, and the numbers of the copies that are lacking."""

    def contents(self, reader: packs.Reader) -> Iterator[bytes]:
        """Yield the bytes of the members' sources."""
        return reader.contents([member[:4] for member in self.members])


def batches(shelf: Shelf, recipe: Recipe, members: Iterator[tuple[Any, ...]]) -> Iterator[Batch]:
    """Divide images into batches of ``MOST`` or ``MOST_BYTES``, whichever is less."""
    held: list[tuple[Any, ...]] = []
    count = filled = 0
    for member in members:
        more = len(member[-1])
        length = more * (member[3] or 0)
        if held and (count + more > MOST or filled + length > MOST_BYTES):
            yield Batch(shelf, recipe, held)
            held, count, filled = [], 0, 0
        held.append(member)
        count += more
        filled += length
    if held:
        yield Batch(shelf, recipe, held)


def describe(batch: Batch) -> list[tuple[Any, ...]]:
    """Return what the contract makes of each image; nothing is kept of it but hash and length."""
    found: list[tuple[Any, ...]] = []
    limits = batch.shelf.limits
    with packs.Reader(batch.shelf.sources) as reader:
        for member, data in zip(batch.members, batch.contents(reader), strict=True):
            digest, _, _, _, *fact, _ = member
            made = contract.canonical(data, limits, Fact(*fact), keep=batch.recipe.keep)
            packaged = digest if made.how == contract.AS_IS else sha256(made.data).hexdigest()
            found.append((digest, packaged, len(made.data), *made[1:], None, None))
    return found


def make(batch: Batch) -> list[tuple[Any, ...]]:
    """Make the copies that are asked for, and put them into one pack of the store."""
    found = []
    contents: dict[str, bytes] = {}
    with packs.Reader(batch.shelf.sources) as reader:
        for member, data in zip(batch.members, batch.contents(reader), strict=True):
            digest, copies = member[0], member[-1]
            for copy, made in zip(copies, batch.recipe.made(data, digest, copies), strict=True):
                key = f"{digest}+{copy}" if copy else digest
                packaged = sha256(made.data).hexdigest()
                contents[key] = made.data
                found.append((key, packaged, len(made.data), *made[1:]))
    pack = Pack(tuple(Member(key, packaged, length) for key, packaged, length, *_ in found))
    packs.write(pack, batch.shelf.store, lambda member: contents[member.name])
    offsets = [offset for _, offset in pack.offsets()]
    return [(*row, pack.name, at) for row, at in zip(found, offsets, strict=True)]
