"""List what lies in the sources, and which of it is wanted; see ``tables.LISTING``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill import expect, layouts
from imagemill.config import Section
from imagemill.errors import ConfigError, SourceError
from imagemill.progress import say
from imagemill.sources import Source, TableSource, Urls
from imagemill.sources.objects import ASKED, FOUND, Listable, Tabled, Walkable, all_read
from imagemill.tables import INDEX, VALIDATORS, last_side_tables

Name = Annotated[str, Field(pattern=r"^[^/]+$")]
"""Of a source: ``<source>/<key>`` names a sample, and no two may share a name."""


OURS = ("no_layout", "no_label", "identity_too_small", "beyond_limit", "not_held")
"""Reasons that follow from the config, not from the source."""

SHOWN = 10
"""Keys that a line of the log names; the rest is in its table."""


class Config(Section):
    """What to list, and what of it is worth fetching."""

    sources: Annotated[dict[Name, Source], Field(min_length=1)]
    layouts: dict[str, layouts.Layout]
    tables: dict[str, TableSource]
    min_images: Annotated[int, Field(ge=1)]
    """Images that an identity must list over all sources for any of them to be fetched."""
    limit: Annotated[int, Field(ge=1)] | None
    """For a quick trial: fetch this many images, and the rest of the last one's identity."""
    expect: dict[str, expect.Figures]
    """What each source must list, before any of it is fetched."""
    max_shrunk: Annotated[float, Field(ge=0, le=1)] | None
    """Share of a source's identities that may be gone since the last build; null: any."""


@dataclass(frozen=True)
class Before:
    """What the last build left behind; no rows and no tables when there was none."""

    index: pl.LazyFrame
    """What became of every object, as ``tables.INDEX``; few builds need all of it."""
    tables: Mapping[str, pl.DataFrame]
    """The label tables as they were read then, by name."""
    validators: pl.DataFrame = field(default_factory=VALIDATORS.frame)
    """What web servers called what is held, as ``tables.VALIDATORS``."""

    @classmethod
    def none(cls) -> "Before":
        """Return what a first build finds."""
        return cls(INDEX.frame().lazy(), {})

    @classmethod
    def read(cls, download: Path, scan: Path) -> "Before":
        """Read what the last build left in the folders of these stages."""
        return cls(INDEX.lazy(download), last_side_tables(scan), VALIDATORS.last(download))

    def asked(self, source: str) -> pl.DataFrame:
        """Return what a source was ever asked for, as ``ASKED``."""
        held = pl.col("reason").is_null()
        tried = self.index.filter(
            held | pl.col("detail").is_not_null(),  # the rest was never wanted
            source=source,
        ).collect()
        known = self.validators.filter(source=source).select("key", "tag", "validator")
        asked = tried.drop_nulls("tag").with_columns(held.alias("held"))
        return asked.join(known, on=["key", "tag"], how="left").select(*ASKED)


def read_tables(config: Config, root: Path, before: Before) -> dict[str, pl.DataFrame]:
    """Return the label tables as they are now, or as they were where one is pinned."""
    return {
        name: _pinned_table(name, before) if table.pinned else table.read(name, root)
        for name, table in config.tables.items()
    }


def _pinned_table(name: str, before: Before) -> pl.DataFrame:
    if name not in before.tables:
        raise SourceError(
            f"tables.{name}: `refresh: never`, and no earlier build has read it. "
            "Fetch one by `dvc pull`, or set `refresh: always` for the first."
        )
    return before.tables[name]


def listing(
    config: Config, root: Path, tables: dict[str, pl.DataFrame], before: Before
) -> pl.DataFrame:
    """Return one row for every object in every source, in the columns of ``tables.LISTING``.

    Adds to ``tables`` those that sources bring, as ``<source>`` or ``<source>.<table>``.
    Raises ``SourceError`` on a source that lists nothing, ``GateError`` on one that lists what
    ``expect`` rules out.
    """
    opened = {
        name: _opened(name, source, root, tables, before) for name, source in config.sources.items()
    }
    rows = pl.concat([_list(name, each, config, tables) for name, each in opened.items()])
    rows = layouts.assign(rows, config.layouts, tables)
    rows = rows.with_columns(_reason(config.min_images).alias("reason"))
    expect.shrunk(_earlier(config, tables, before), rows, config.max_shrunk)
    expect.sources(rows, config.expect)
    for name, source in config.sources.items():
        if isinstance(source, Urls) and source.limit is not None:
            rows = _capped(rows, name, source.limit, before.asked(name))
    rows = _limit(rows, config.limit).select("source", *FOUND)
    rows = pl.concat([_read(name, each, rows) for name, each in opened.items()])
    return rows.with_columns(pl.col("reason").is_null().alias("wanted"))


def _earlier(config: Config, tables: Mapping[str, pl.DataFrame], before: Before) -> pl.DataFrame:
    """Return what the last build listed, as this config understands it."""
    ours = pl.col("source").is_in(list(config.layouts))
    index = before.index.filter(ours).select("source", "key").collect()
    then = {name: before.tables.get(name, table) for name, table in tables.items()}
    joined = {
        name: then[name] if set(table.columns) <= set(then[name].columns) else table
        for name, table in tables.items()
    }
    return layouts.assign(index, config.layouts, joined)


def _opened(
    name: str, source: Source, root: Path, tables: dict[str, pl.DataFrame], before: Before
) -> Listable:
    if source.pinned:
        return _Pinned(name, before)
    objects = source.open(name, root)
    return objects.told(tables, before.asked(name)) if isinstance(objects, Tabled) else objects


def _list(
    name: str, objects: Listable, config: Config, tables: dict[str, pl.DataFrame]
) -> pl.DataFrame:
    found = objects.walked() if isinstance(objects, Walkable) else objects.listed()
    if found.is_empty():
        source = config.sources[name]
        raise SourceError(
            f"sources.{name}: {getattr(source, 'path', source.kind)} lists nothing. "
            f"Check `sources.{name}.path`, `include` and `exclude`."
        )
    _add_tables(name, objects.tables(), tables)
    return found.with_columns(pl.lit(name).alias("source"))


def _read(name: str, objects: Listable, rows: pl.DataFrame) -> pl.DataFrame:
    """Return a source's rows with what only reading tells of those that are wanted."""
    rows = rows.filter(source=name)
    if isinstance(objects, Walkable):
        read = objects.hashed(rows.filter(pl.col("reason").is_null())["key"])
        rows = rows.update(read, on="key")
    new = "" if objects.new is None else f", {objects.new:,} of them new or changed"
    say(f"scan: {name}: {len(rows):,} objects{new}")
    return rows


class _Pinned:
    """The objects of a source as the last build left them; nothing is asked or read."""

    new: int | None = None

    def __init__(self, name: str, before: Before) -> None:
        self._name = name
        self._before = before
        self._rows = before.index.filter(source=name).collect()

    def listed(self) -> pl.DataFrame:
        """Return what was listed, with what is held of it."""
        return all_read(self)

    def walked(self) -> pl.DataFrame:
        """Return what was listed; what the config has the word on is open again."""
        if self._rows.is_empty():
            raise SourceError(
                f"sources.{self._name}: `refresh: never`, and no earlier build holds anything. "
                "Fetch one by `dvc pull`, or set `refresh: always` for the first."
            )
        theirs = pl.when(~pl.col("reason").is_in(OURS)).then("reason").alias("reason")
        digest = pl.lit(None, pl.String).alias("digest")
        return self._rows.with_columns(theirs, digest).select(*FOUND)

    def hashed(self, keys: pl.Series) -> pl.DataFrame:
        """Return what is held of those keys; the rest cannot be had."""
        rows = self._rows.join(keys.to_frame("key"), on="key", how="semi")
        lost = pl.when(pl.col("digest").is_null()).then(pl.lit("not_held")).alias("reason")
        digest = pl.when(pl.col("tag").is_null()).then("digest").alias("digest")
        return rows.select("key", "bytes", digest, lost)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the tables that the source brought then."""
        return {
            name.removeprefix(self._name).removeprefix("."): table
            for name, table in self._before.tables.items()
            if name == self._name or name.startswith(f"{self._name}.")
        }


def _add_tables(
    source: str, brought: Mapping[str, pl.DataFrame], tables: dict[str, pl.DataFrame]
) -> None:
    for inner, table in brought.items():
        name = f"{source}.{inner}" if inner else source
        if name in tables:
            raise ConfigError(
                f"tables.{name}: sources.{source} brings a table of that name. Rename one of them."
            )
        tables[name] = table


def _reason(min_images: int) -> pl.Expr:
    few = pl.len().over(layouts.unit()) < min_images
    return (
        pl.when(pl.col("reason").is_not_null())
        .then("reason")
        .when(pl.col("misfit").is_not_null())
        .then("misfit")
        .when(few)
        .then(pl.lit("identity_too_small"))
    )


def _capped(rows: pl.DataFrame, source: str, limit: int, before: pl.DataFrame) -> pl.DataFrame:
    """Want no more than ``limit`` keys of a source that no earlier build has asked for."""
    wanted = rows.filter(pl.col("reason").is_null(), source=source)
    new = wanted.join(before, on="key", how="anti").select("source", "key")
    order = pl.col("key").map_elements(_hash, pl.String)
    late = new.sort(order)[limit:].with_columns(pl.lit("beyond_limit").alias("_late"))
    joined = rows.join(late, on=["source", "key"], how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("reason", "_late").alias("reason")).drop("_late")


def _limit(rows: pl.DataFrame, limit: int | None) -> pl.DataFrame:
    """Want only the first ``limit`` images, in an order of hashes that keeps identities whole."""
    if limit is None:
        return rows
    whole = pl.coalesce("identity", pl.concat_str("source", pl.lit("/"), "key"))
    units = (
        rows.select(_unit=whole)
        .unique()
        .with_columns(pl.col("_unit").map_elements(_hash, pl.String).alias("_order"))
    )
    ordered = (
        rows.with_columns(whole.alias("_unit"), pl.col("reason").is_null().alias("_in"))
        .join(units, on="_unit", how="left")
        .sort("_order", "source", "key")
        .with_columns(pl.col("_in").cast(pl.Int64).cum_sum().alias("_count"))
    )
    first = pl.col("_count").filter("_in").min().over("_order")
    beyond = pl.col("_in") & (first > limit)
    reason = pl.when(beyond).then(pl.lit("beyond_limit")).otherwise("reason")
    return ordered.with_columns(reason.alias("reason"))


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def orphans(
    listing: pl.DataFrame, config: Config, tables: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Return the keys that label tables have and no object, as ``tables.ORPHANS``."""
    return layouts.orphans(listing, config.layouts, dict(tables))


def orphans_summary(orphans: pl.DataFrame) -> list[str]:
    """Return a line for the log on each table with keys that no object has."""
    lines = []
    for (table, column), rows in orphans.group_by("table", "column", maintain_order=True):
        first = ", ".join(rows["key"].sort()[:SHOWN])
        more = ", ..." if len(rows) > SHOWN else ""
        lines.append(
            f"scan: {table}: {len(rows):,} keys without an object, {column} = {first}{more}"
        )
    return lines


def summary(rows: pl.DataFrame) -> str:
    """Return one line for the log."""
    wanted = rows.filter("wanted")
    megabytes = float(wanted["bytes"].sum()) / 1e6
    return f"scan: {len(rows):,} objects listed, {len(wanted):,} wanted ({megabytes:,.1f} MB)"
