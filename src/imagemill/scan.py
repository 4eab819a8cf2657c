"""List what lies in the sources, and which of it is wanted; see ``tables.LISTING``."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill import layouts
from imagemill.config import Section
from imagemill.errors import SourceError
from imagemill.progress import say
from imagemill.sources import Source, TableSource

Name = Annotated[str, Field(pattern=r"^[^/]+$")]
"""Of a source: ``<source>/<key>`` names a sample, and no two may share a name."""


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


def listing(config: Config, root: Path, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return one row for every object in every source. Raises ``SourceError`` on an empty one."""
    parts = [_list(name, source, root) for name, source in config.sources.items()]
    found = pl.concat(parts)
    told = layouts.assign(found, config.layouts, dict(tables))
    reasoned = told.with_columns(_reason(config.min_images).alias("reason"))
    limited = _limit(reasoned, config.limit)
    return limited.with_columns(pl.col("reason").is_null().alias("wanted"))


def _list(name: str, source: Source, root: Path) -> pl.DataFrame:
    objects = source.open(name, root)
    found = objects.listed()
    if found.is_empty():
        raise SourceError(
            f"sources.{name}: {source.path} lists nothing. "
            f"Check `sources.{name}.path`, `include` and `exclude`."
        )
    read = "" if objects.new is None else f", {objects.new:,} of them new or changed"
    say(f"scan: {name}: {len(found):,} objects{read}")
    return found.with_columns(pl.lit(name).alias("source"))


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


def summary(rows: pl.DataFrame) -> str:
    """Return one line for the log."""
    wanted = rows.filter("wanted")
    megabytes = float(wanted["bytes"].sum()) / 1e6
    return f"scan: {len(rows):,} objects listed, {len(wanted):,} wanted ({megabytes:,.1f} MB)"
