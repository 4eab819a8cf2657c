"""List what lies in the sources, and which of it is wanted; see ``tables.LISTING``."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill import layouts
from imagemill.config import Section
from imagemill.errors import ConfigError, SourceError
from imagemill.progress import say
from imagemill.sources import Source, TableSource, Urls
from imagemill.sources.objects import ASKED, Tabled
from imagemill.tables import INDEX

Name = Annotated[str, Field(pattern=r"^[^/]+$")]
"""Of a source: ``<source>/<key>`` names a sample, and no two may share a name."""


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


def read_tables(config: Config, root: Path) -> dict[str, pl.DataFrame]:
    """Return the label tables as they are now."""
    return {name: table.read(name, root) for name, table in config.tables.items()}


def asked(download: Path) -> pl.DataFrame:
    """Return what earlier builds asked every ``source`` for, as ``ASKED``."""
    index = INDEX.last(download)
    held = pl.col("reason").is_null()
    tried = index.filter(held | pl.col("detail").is_not_null())  # the rest was never wanted
    return tried.drop_nulls("tag").select("source", "key", "tag", held.alias("held"))


def listing(
    config: Config,
    root: Path,
    tables: dict[str, pl.DataFrame],
    before: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return one row for every object in every source; ``before`` comes from ``asked``.

    Adds to ``tables`` those that sources bring, as ``<source>`` or ``<source>.<table>``.
    Raises ``SourceError`` on a source that lists nothing.
    """
    before = asked(root / "nowhere") if before is None else before
    found = pl.concat(
        [
            _list(name, source, root, tables, before.filter(source=name))
            for name, source in config.sources.items()
        ]
    )
    told = layouts.assign(found, config.layouts, tables)
    reasoned = told.with_columns(_reason(config.min_images).alias("reason"))
    for name, source in config.sources.items():
        if isinstance(source, Urls) and source.limit is not None:
            reasoned = _capped(reasoned, name, source.limit, before)
    limited = _limit(reasoned, config.limit)
    return limited.with_columns(pl.col("reason").is_null().alias("wanted"))


def _list(
    name: str,
    source: Source,
    root: Path,
    tables: dict[str, pl.DataFrame],
    before: pl.DataFrame,
) -> pl.DataFrame:
    opened = source.open(name, root)
    about = before.select(*ASKED)
    objects = opened.told(tables, about) if isinstance(opened, Tabled) else opened
    found = objects.listed()
    if found.is_empty():
        raise SourceError(
            f"sources.{name}: {getattr(source, 'path', source.kind)} lists nothing. "
            f"Check `sources.{name}.path`, `include` and `exclude`."
        )
    read = "" if objects.new is None else f", {objects.new:,} of them new or changed"
    say(f"scan: {name}: {len(found):,} objects{read}")
    _add_tables(name, objects.tables(), tables)
    return found.with_columns(pl.lit(name).alias("source"))


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
    """Want no more than ``limit`` objects of a source that no earlier build has asked for."""
    wanted = rows.filter(pl.col("reason").is_null(), source=source)
    new = wanted.join(before, on=["source", "key", "tag"], how="anti").select("source", "key")
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
