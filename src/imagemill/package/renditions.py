"""Renditions: every image as it is packaged, made once and remembered.

What the contract makes of a source's own bytes is made again when it is written, and only its hash
and length are remembered. What transforms and augmentation make costs more: it is kept, in packs
beside the memo, and written from there by every format.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from imagemill import images, packs
from imagemill.engine import Engine
from imagemill.memo import Memo
from imagemill.package import contract
from imagemill.package.contract import FORMAT, SUFFIX, Fact, Recipe
from imagemill.packs import Member, Pack
from imagemill.progress import progress

BATCH = 256  # images of a batch, at most
BATCH_BYTES = 2 << 20  # of their sources, about: what is made of them is held until it is written
SAVED = 4096  # renditions that are remembered at once
AT_ONCE = 65_536  # rows of a table that are looked at together
STORE = "packs"  # folder of the memo

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

_HOW = list(RESULT).index("how")

FACTS: dict[str, Any] = {
    "digest": pl.String,
    "format": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "orientation": pl.Int8,
    "ready": pl.Boolean,
}
"""What is used of ``tables.FACTS``."""


class Place(NamedTuple):
    """Where the bytes lie that give a rendition, and how."""

    digest: str
    packaged: str
    how: str
    suffix: str
    pack: str
    offset: int
    length: int


PLACE = Place._fields


@dataclass(frozen=True)
class Shelf:
    """Where renditions are had from; goes to the workers."""

    sources: Path
    store: Path
    limits: images.Limits

    def open(self) -> "Reader":
        """Return what reads them."""
        return Reader(self)


class PresumedWronglyError(Exception):
    """An image that was presumed to leave as it is does not; ``render`` says what all become."""


class Reader:
    """Reads renditions; keeps packs open."""

    def __init__(self, shelf: Shelf) -> None:
        self._limits = shelf.limits
        self._sources = packs.Reader(shelf.sources)
        self._store = packs.Reader(shelf.store)

    def unchecked(self, places: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
        """Yield renditions to one who compares what is written with their hashes afterwards."""
        read = self._sources.read
        for place in places:
            _, _, how, suffix, pack, offset, length = place
            if how == contract.AS_IS:
                yield read(pack, offset, length)
            elif how == contract.PRESUMED:
                yield _bare(read(pack, offset, length), suffix)
            else:
                yield self.bytes(Place(*place))

    def bytes(self, place: Place) -> bytes:
        """Return a rendition; raises ``BuildError`` where the pack it comes from is damaged."""
        where = place.pack, place.offset, place.length
        if place.how == contract.STORED:
            return self._store.content(place.packaged, *where)
        data = self._sources.content(place.digest, *where)
        if place.how in (contract.SOURCE, contract.AS_IS):
            return data
        if place.how == contract.PRESUMED:
            return _bare(data, place.suffix)
        if place.how == contract.STRIPPED:
            return images.strip_metadata(data, FORMAT[place.suffix])
        return contract.canonical(data, self._limits).data

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._sources.close()
        self._store.close()


def _bare(data: bytes, suffix: str) -> bytes:
    if not contract.is_bare(data, suffix):
        raise PresumedWronglyError
    return data


@dataclass(frozen=True)
class Source:
    """The downloaded packs, and what is known of the images in them."""

    places: pl.DataFrame
    """``tables.PLACES``."""
    facts: pl.DataFrame
    """``FACTS``; rows may be missing, and then headers are read."""
    folder: Path

    def wanted(self, digests: pl.Series) -> pl.DataFrame:
        """Return digest, pack, offset, length, format, width, height in the packs' order.

        The format is null of an image that does not meet the contract, or is not known.
        """
        ready = pl.when("ready").then("format").alias("format")
        known = self.facts.select("digest", ready, "width", "height")
        return (
            pl.DataFrame({"digest": digests.unique()})
            .join(self.places, on="digest", how="left", validate="1:1")
            .join(known, on="digest", how="left")
            .sort("pack", "offset")
        )


@dataclass(frozen=True)
class _Batch:
    """Images to make renditions of."""

    shelf: Shelf
    recipe: Recipe
    members: Sequence[tuple[Any, ...]]
    """Columns of ``Source.wanted``, and ``copies``: the numbers of those that are lacking."""

    def contents(self, reader: packs.Reader) -> Iterator[bytes]:
        """Yield the bytes of the members' sources."""
        return reader.contents([member[:4] for member in self.members])


def render(
    rows: pl.DataFrame, source: Source, recipe: Recipe, memo: Path, engine: Engine
) -> tuple[pl.DataFrame, Shelf]:
    """Make what is lacking of ``rows`` (digest, copy); return them with ``PLACE`` and more.

    Added are ``bytes`` (of the rendition), width and height, and of ``PLACE`` what says where its
    bytes lie. Raises ``BuildError`` when an image cannot be read.
    """
    remembered = Memo(memo, recipe.fingerprinted(), RESULT)
    shelf = Shelf(source.folder, remembered.folder / STORE, recipe.limits)
    keyed = rows.select("digest", "copy", _key().alias("_key"))
    known = _there(remembered.find(keyed["_key"]), shelf.store)
    lacking = keyed.join(known, left_on="_key", right_on="digest", how="anti")
    keyed = keyed.select("_key")
    made = [known, *_made(lacking.drop("_key"), source, recipe, shelf, remembered, engine)]
    del known, lacking
    # Only the column that joins: a join copies all others.
    found = keyed.join(
        pl.concat(made), left_on="_key", right_on="digest", how="left", maintain_order="left"
    )
    return _placed(rows.hstack(found.drop("_key")), source), shelf


def presumed(
    rows: pl.DataFrame, source: Source, recipe: Recipe, memo: Path
) -> tuple[pl.DataFrame, Shelf] | None:
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
    found, shelf = located(rows, source, recipe)
    if found["suffix"].null_count() or found["pack"].null_count():
        return None
    wanted = source.wanted(rows["digest"].head(BATCH)).with_columns(copies=None)
    tried = describe(_Batch(shelf, recipe, wanted.rows()))
    if any(row[_HOW] != contract.AS_IS for row in tried):
        return None
    how = pl.lit(contract.PRESUMED).alias("how")
    return found.with_columns(how, packaged="digest"), shelf


def settle(rows: pl.DataFrame, recipe: Recipe, memo: Path) -> pl.DataFrame:
    """Remember that what was ``presumed`` is so, and return ``rows`` as ``render`` does."""
    settled = rows.with_columns(how=pl.lit(contract.AS_IS))
    unknown = {name: pl.lit(None, RESULT[name]) for name in ("pack", "offset")}
    remembered = Memo(memo, recipe.fingerprinted(), RESULT)
    for part in settled.iter_slices(AT_ONCE):
        remembered.add(part.unique("digest").with_columns(**unknown).select(*RESULT))
    remembered.tidy()
    return settled


def located(rows: pl.DataFrame, source: Source, recipe: Recipe) -> tuple[pl.DataFrame, Shelf]:
    """Return ``rows`` with ``PLACE`` of the sources' own bytes, for formats of pixels alone.

    Only what a plain recipe makes can be had so. The suffix is null where no fact says that the
    image meets the contract, and so are width and height.
    """
    known = source.facts.select(
        "digest",
        pl.when("ready").then(_suffix()).alias("suffix"),
        "width",
        "height",
    )
    placed = rows.join(source.places, on="digest", how="left", maintain_order="left")
    placed = placed.join(known, on="digest", how="left", maintain_order="left")
    shelf = Shelf(source.folder, source.folder, recipe.limits)
    unknown = pl.lit(None, pl.String).alias("packaged"), pl.lit(contract.SOURCE).alias("how")
    return placed.with_columns(*unknown, pl.col("length").alias("bytes")), shelf


def _suffix() -> pl.Expr:
    return pl.col("format").replace_strict(SUFFIX, default=None, return_dtype=pl.String)


def _key() -> pl.Expr:
    derived = pl.format("{}+{}", "digest", "copy")
    return pl.when(pl.col("copy") == 0).then("digest").otherwise(derived)


def _there(known: pl.DataFrame, store: Path) -> pl.DataFrame:
    """Return those of the remembered whose pack was not deleted."""
    held = [path.name for path in store.glob("*.tar")]
    return known.filter(pl.col("pack").is_null() | pl.col("pack").is_in(held))


def _placed(found: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Say where bytes lie: in the store, or else in the source's packs."""
    there = source.places.rename({"pack": "_pack", "offset": "_offset"})
    places = found.select("digest").join(there, on="digest", how="left", maintain_order="left")
    stored = pl.col("pack").is_not_null()
    return (
        found.hstack(places.drop("digest"))
        .with_columns(
            pl.when(stored).then("bytes").otherwise("length").alias("length"),
            pl.coalesce("pack", "_pack").alias("pack"),
            pl.coalesce("offset", "_offset").alias("offset"),
        )
        .drop("_pack", "_offset")
    )


def _made(
    lacking: pl.DataFrame,
    source: Source,
    recipe: Recipe,
    shelf: Shelf,
    remembered: Memo,
    engine: Engine,
) -> Iterator[pl.DataFrame]:
    """Yield the renditions that are lacking, in pieces that are remembered as they come."""
    copies = lacking.group_by("digest").agg(pl.col("copy").unique().sort().alias("copies"))
    wanted = source.wanted(copies["digest"]).join(
        copies, on="digest", how="left", maintain_order="left"
    )
    work = describe if recipe.plain else make
    if not recipe.plain:
        shelf.store.mkdir(parents=True, exist_ok=True)
    batches = (_Batch(shelf, recipe, part.rows()) for part in _parts(wanted))
    waiting: list[tuple[Any, ...]] = []
    total = int(wanted["copies"].list.len().sum())
    try:
        with progress("package: images", total, "images") as advance:
            for rows in engine.map(work, batches):
                waiting += rows
                advance(len(rows))
                if len(waiting) >= SAVED:
                    yield _saved(waiting, remembered)
    finally:
        last = _saved(waiting, remembered)
    remembered.tidy()
    yield last


def _saved(waiting: list[tuple[Any, ...]], remembered: Memo) -> pl.DataFrame:
    rows = pl.DataFrame(waiting, RESULT, orient="row")
    remembered.add(rows)
    waiting.clear()
    return rows


def _parts(wanted: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Divide images into batches of ``BATCH`` or ``BATCH_BYTES``, whichever is less."""
    lengths = wanted["length"].to_numpy()
    start = filled = 0
    for at, length in enumerate(lengths.tolist()):
        if at > start and (at - start == BATCH or filled + length > BATCH_BYTES):
            yield wanted.slice(start, at - start)
            start, filled = at, 0
        filled += length
    if start < len(wanted):
        yield wanted.slice(start)


def describe(batch: _Batch) -> list[tuple[Any, ...]]:
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


def make(batch: _Batch) -> list[tuple[Any, ...]]:
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


def values(rows: pl.DataFrame, columns: Iterable[str] = PLACE) -> list[tuple[Any, ...]]:
    """Return some columns of ``rows``, by default those of ``Place``, a tuple a row.

    Many times a build, of few rows each: ``select`` would wait for Polars' threads every time.
    """
    return list(zip(*(rows[name].to_list() for name in columns), strict=True))


__all__ = [
    "FACTS",
    "PLACE",
    "Place",
    "PresumedWronglyError",
    "Reader",
    "Shelf",
    "Source",
    "located",
    "presumed",
    "render",
    "settle",
    "values",
]
