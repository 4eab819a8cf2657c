"""Unite the sources: who or what each image shows, and which of them count.

Pure table work on bytes' hashes; equal pixels in other bytes are ``match``'s business. The result
does not depend on the order of sources or rows, except where ``priority`` says so.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import polars as pl
from pydantic import Field

from imagemill import expect, layouts
from imagemill.config import Section
from imagemill.errors import ConfigError, suggest
from imagemill.merge import conflicts, naming
from imagemill.merge.marks import IN, out
from imagemill.progress import say
from imagemill.tables import SAMPLES


class Config(Section):
    """How rows become samples."""

    layouts: dict[str, layouts.Layout]
    min_images: Annotated[int, Field(ge=1)]
    """Images that an identity (or a label, where there are no identities) must have."""
    priority: list[str]
    """Sources from most to least trusted; those not named come after, by name."""
    on_identity_conflict: Literal["drop", "first", "vote", "review"]
    """The same bytes under two identities: trust none; the most trusted source; what most of the
    objects with these bytes say, and none where as many say another; or none until people decide.
    ``conflicts.parquet`` has them all, whatever is done."""
    on_label_conflict: Literal["drop", "vote"]
    """An identity with two labels: drop the images that disagree, or give them its label."""
    expect: expect.Result
    """What the result must have."""
    limit: int | None
    """Set for a quick trial: of a part, nothing is expected."""


class Merged(NamedTuple):
    """What the sources give together."""

    samples: pl.DataFrame
    """As ``tables.SAMPLES``: a row for every row of the index."""
    conflicts: pl.DataFrame
    """As ``tables.CONFLICTS``."""


def merge(index: pl.DataFrame, tables: Mapping[str, pl.DataFrame], config: Config) -> Merged:
    """Unite the rows of ``index``, as ``tables.INDEX``; ``tables`` are those that layouts ask."""
    _refuse_unknown(config)
    rows = layouts.assign(index, config.layouts, tables).with_columns(
        pl.coalesce("reason", "misfit").alias("reason"),
        pl.concat_str("source", pl.lit("/"), "key").alias("sample"),
        pl.col("source").replace_strict(_ranks(index, config.priority)).alias("_rank"),
        pl.lit(None, pl.String).alias("kept_as"),
    )
    claims = conflicts.identity_claims(rows, config.on_identity_conflict)
    rows = conflicts.settle_identities(rows, claims, config.on_identity_conflict)
    rows = conflicts.settle_labels(rows, config.on_label_conflict)
    rows = _same_bytes(rows)
    rows = out(rows, _few(config.min_images), "identity_too_small")
    samples = naming.named(rows).select(*SAMPLES.columns)
    return Merged(samples, conflicts.table(claims))


def refuse_unexpected(samples: pl.DataFrame, config: Config) -> None:
    """Raise ``GateError`` when the result is not what ``config.expect`` says."""
    if config.limit is None:
        expect.result(samples, config.expect)
    elif config.expect != expect.Result():
        say("merge: `limit` asks for a part, so nothing is expected of the result")


def _refuse_unknown(config: Config) -> None:
    for name in config.priority:
        if name not in config.layouts:
            raise ConfigError(
                f"merge.priority: {name}: no such source{suggest(name, config.layouts)}"
            )


def _ranks(index: pl.DataFrame, priority: list[str]) -> dict[str, int]:
    rest = sorted(set(index["source"].unique()) - set(priority))
    return {source: rank for rank, source in enumerate([*priority, *rest])}


def _same_bytes(rows: pl.DataFrame) -> pl.DataFrame:
    """Count the same bytes once in a given split; by now they show one thing.

    A sample that names an identity stands for one that does not, then the more trusted source.
    ``kept_as`` of the others names it, so that every place where these bytes lie stays known.
    """
    held = rows.filter(IN, pl.col("bytes") > 0)
    several = held.filter(pl.col("digest").is_duplicated())
    if several.is_empty():
        return rows
    order = [pl.col("identity").is_null(), pl.col("_rank"), pl.col("sample")]
    first = pl.col("sample").sort_by(order).first().over("digest", "split")
    again = several.select("sample", kept_as=first).filter(pl.col("sample") != pl.col("kept_as"))
    told = rows.drop("kept_as").join(again, on="sample", how="left")
    return out(told, pl.col("kept_as").is_not_null(), "same_bytes")


def _few(min_images: int) -> pl.Expr:
    return IN.sum().over(layouts.unit()) < min_images
