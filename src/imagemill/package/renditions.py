"""Renditions: every image as it is packaged, made once and remembered.

What the contract makes of a source's own bytes is made again when it is written, and only its hash
and length are remembered. What transforms and augmentation make costs more: it is kept, in packs
beside the memo, and written from there by every format.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from imagemill.engine import Engine
from imagemill.memo import Memo
from imagemill.package import contract
from imagemill.package.contents import Frame
from imagemill.package.contract import SUFFIX, Recipe
from imagemill.package.found import Found, Numbers, numbered
from imagemill.package.lots import Lot, digested
from imagemill.package.rendering import HOW, MOST, RESULT, WANTED, Batch, batches, describe, make
from imagemill.package.shelf import Shelf
from imagemill.progress import progress

SAVED = 4096  # renditions that are remembered at once
REMEMBERED = 65_536  # the same, of those that need not be made
STORE = "packs"  # folder of the memo

FACTS: dict[str, Any] = {
    "digest": pl.String,
    "format": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "orientation": pl.Int8,
    "ready": pl.Boolean,
}
"""What is used of ``tables.FACTS``."""

Placed = tuple[Lot, Shelf]
"""A lot that says where the bytes of its rows lie, and where these are read."""


@dataclass(frozen=True)
class Source:
    """The downloaded packs, and what is known of the images in them."""

    places: Frame
    """``tables.PLACES``."""
    facts: Frame
    """``FACTS``; rows may be missing, and then headers are read."""
    folder: Path

    def wanted(self, digests: pl.Series) -> pl.DataFrame:
        """Return ``WANTED`` of distinct digests, in their order.

        The format is null of an image that does not meet the contract, or is not known.
        """
        ready = pl.when("ready").then("format").alias("format")
        known = self.facts.lazy().select("digest", ready, "width", "height")
        return (
            pl.LazyFrame({"digest": digests})
            .join(self.places.lazy(), on="digest", how="left", maintain_order="left")
            .join(known, on="digest", how="left", maintain_order="left")
            .select(WANTED)
            .collect()
        )


class _Distinct:
    """The distinct images of a lot, by number, and what is known of them."""

    def __init__(self, lot: Lot, source: Source) -> None:
        order = lot.images["digest"].arg_sort()
        digests = lot.images["digest"].gather(order)
        first = digests.ne_missing(digests.shift(1))
        of_image = np.empty(len(order), np.int64)
        of_image[order.to_numpy()] = np.cumsum(first.to_numpy()) - 1
        self.told = source.wanted(digests.filter(first))
        self.of = of_image[lot.rows["image"].to_numpy()]
        """Of each row."""

    @cached_property
    def suffix(self) -> pl.Series:
        """Null where no fact says that the image meets the contract."""
        suffix = self.told["format"].replace_strict(SUFFIX, default=None, return_dtype=pl.String)
        return suffix.alias("suffix")


def render(lot: Lot, source: Source, recipe: Recipe, memo: Path, engine: Engine) -> Placed:
    """Make what is lacking of a lot, and say what its rows are.

    Raises ``BuildError`` when an image cannot be read.
    """
    remembered = Memo(memo, recipe.fingerprinted(), RESULT)
    shelf = Shelf(source.folder, remembered.folder / STORE, recipe.limits)
    distinct = _Distinct(lot, source)
    found = Found(distinct.told, distinct.of, lot.rows["copy"].to_numpy())
    held = [path.name for path in shelf.store.glob("*.tar")]
    for part in remembered.each():
        found.add(part.filter(pl.col("pack").is_null() | pl.col("pack").is_in(held)))
    lacking, done = found.lacking(), 0
    for part in _made(found, lacking, shelf, recipe, remembered, engine):
        found.put(lacking[done : done + len(part)], part)
        done += len(part)
    words, columns = found.columns()
    return lot.having(words, **columns), shelf


def presumed(lot: Lot, source: Source, recipe: Recipe, memo: Path) -> Placed | None:
    """Return what ``render`` would if every image left as it is; None where that is unlikely.

    It spares reading all of them before any is written, when nothing is remembered. Whoever reads
    one that does not leave as it is gets a ``PresumedWronglyError``; ``settle`` ends it.
    """
    if (
        not recipe.plain
        or recipe.keep
        or Memo(memo, recipe.fingerprinted(), RESULT).folder.exists()
    ):
        return None
    distinct = _Distinct(lot, source)
    if distinct.suffix.null_count() or distinct.told["pack"].null_count():
        return None
    placed, shelf = _located(lot, distinct, source, recipe, contract.PRESUMED)
    some = distinct.told[np.unique(distinct.of[:MOST])].sort("pack", "offset")
    tried = describe(Batch(shelf, recipe, some.with_columns(copies=None).rows()))
    if any(row[HOW] != contract.AS_IS for row in tried):
        return None
    digests = digested(lot.images["digest"])
    return placed.having(packaged=pl.Series(digests[lot.rows["image"].to_numpy()])), shelf


def settle(lot: Lot, recipe: Recipe, memo: Path) -> Lot:
    """Remember that what was ``presumed`` is so, and return it as ``render`` does."""
    settled = lot.having({"how": pl.Series([contract.AS_IS])})
    unknown = {name: pl.lit(None, RESULT[name]) for name in ("pack", "offset")}
    remembered = Memo(memo, recipe.fingerprinted(), RESULT)
    for part in settled.slices(REMEMBERED):
        rows = part.frame().unique("digest")
        remembered.add(rows.with_columns(**unknown).select(*RESULT))
    remembered.tidy()
    return settled


def located(lot: Lot, source: Source, recipe: Recipe) -> Placed:
    """Say where the sources' own bytes lie, for formats of pixels alone.

    Only what a plain recipe makes can be had so. The suffix is null where no fact says that the
    image meets the contract, and so are width and height.
    """
    return _located(lot, _Distinct(lot, source), source, recipe, contract.SOURCE)


def _located(lot: Lot, distinct: _Distinct, source: Source, recipe: Recipe, how: str) -> Placed:
    told = distinct.told
    words, numbers = numbered({"suffix": distinct.suffix, "pack": told["pack"]})
    columns = [*numbers.values(), *(told[name] for name in ("offset", "length", "width", "height"))]
    placed = {each.name: each.gather(distinct.of) for each in columns}
    placed["how"] = pl.Series(np.zeros(len(lot), np.uint8))
    words["how"] = pl.Series([how])
    shelf = Shelf(source.folder, source.folder, recipe.limits)
    return lot.having(words, **placed, bytes=placed["length"]), shelf


def _made(
    found: Found,
    lacking: Numbers,
    shelf: Shelf,
    recipe: Recipe,
    remembered: Memo,
    engine: Engine,
) -> Iterator[pl.DataFrame]:
    """Yield the renditions that are lacking, in pieces that are remembered as they come."""
    work = describe if recipe.plain else make
    if not recipe.plain:
        shelf.store.mkdir(parents=True, exist_ok=True)
    waiting: list[tuple[Any, ...]] = []
    try:
        with progress("package: images", len(lacking), "images") as advance:
            for rows in engine.map(work, batches(shelf, recipe, found.members(lacking))):
                waiting += rows
                advance(len(rows))
                if len(waiting) >= SAVED:
                    yield _saved(waiting, remembered)
    finally:
        last = _saved(waiting, remembered)
    if len(lacking) > REMEMBERED:
        engine.rest()  # what follows takes memory; starting workers again is nothing beside this
    remembered.tidy()
    yield last


def _saved(waiting: list[tuple[Any, ...]], remembered: Memo) -> pl.DataFrame:
    rows = pl.DataFrame(waiting, RESULT, orient="row")
    remembered.add(rows)
    waiting.clear()
    return rows


__all__ = [
    "FACTS",
    "Placed",
    "Source",
    "located",
    "presumed",
    "render",
    "settle",
]
