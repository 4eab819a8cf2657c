"""Unite the sources: who or what each image shows, and which of them count.

Pure table work on bytes' hashes; equal pixels in other bytes are ``match``'s business. The result
does not depend on the order of sources or rows, except where ``priority`` says so.
"""

from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from imagemill import layouts
from imagemill.config import Section
from imagemill.tables import SAMPLES


class Config(Section):
    """How rows become samples."""

    layouts: dict[str, layouts.Layout]
    min_images: Annotated[int, Field(ge=1)]
    """Images that an identity (or a label, where there are no identities) must have."""
    priority: list[str]
    """Sources from most to least trusted; those not named come after, by name."""
    on_identity_conflict: Literal["drop", "first"]
    """The same bytes under two identities: trust neither, or the more trusted source."""
    on_label_conflict: Literal["drop", "vote"]
    """An identity with two labels: drop the images that disagree, or give them its label."""


def merge(index: pl.DataFrame, tables: dict[str, pl.DataFrame], config: Config) -> pl.DataFrame:
    """Return one sample for every row of ``index``, in the columns of ``tables.SAMPLES``."""
    rows = layouts.assign(index, config.layouts, tables).with_columns(
        pl.coalesce("reason", "misfit").alias("reason"),
        pl.concat_str("source", pl.lit("/"), "key").alias("sample"),
        pl.col("source").replace_strict(_ranks(index, config.priority)).alias("_rank"),
        pl.lit(None, pl.String).alias("kept_as"),
    )
    rows = _identity_conflicts(rows, config.on_identity_conflict)
    rows = _label_conflicts(rows, config.on_label_conflict)
    rows = _same_bytes(rows)
    rows = _out(rows, _few(config.min_images), "identity_too_small")
    return rows.with_columns(_names()).select(*SAMPLES.columns)


IN = pl.col("reason").is_null()


def _ranks(index: pl.DataFrame, priority: list[str]) -> dict[str, int]:
    rest = sorted(set(index["source"].unique()) - set(priority))
    return {source: rank for rank, source in enumerate([*priority, *rest])}


def _out(
    rows: pl.DataFrame, which: pl.Expr, reason: str, detail: pl.Expr | None = None
) -> pl.DataFrame:
    hit = IN & which
    columns = [pl.when(hit).then(pl.lit(reason)).otherwise("reason").alias("reason")]
    if detail is not None:
        columns.append(pl.when(hit).then(detail).otherwise("detail").alias("detail"))
    return rows.with_columns(columns)


def _identity_conflicts(rows: pl.DataFrame, policy: str) -> pl.DataFrame:
    borne = rows.filter(IN).group_by("digest").agg(layouts.unit().unique().sort().alias("_units"))
    rows = rows.join(borne, on="digest", how="left", maintain_order="left")
    clash = pl.col("_units").list.len() > 1
    detail = pl.lit("same bytes under ") + pl.col("_units").list.join(", ")
    if policy == "first":
        best = layouts.unit().filter(IN).sort_by(pl.col("_rank").filter(IN)).first().over("digest")
        clash &= layouts.unit() != best
    return _out(rows, clash, "identity_conflict", detail)


def _label_conflicts(rows: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Compare each label with the one that most images of its identity bear; ties have none."""
    counted = rows.filter(IN & pl.col("identity").is_not_null()).group_by("identity", "label").len()
    most = counted.filter(pl.col("len") == pl.col("len").max().over("identity"))
    clear = most.filter(pl.len().over("identity") == 1).select("identity", _major="label")
    rows = rows.join(clear, on="identity", how="left", maintain_order="left")
    wrong = pl.col("identity").is_not_null() & pl.col("label").ne_missing(pl.col("_major"))
    if policy == "vote":
        return rows.with_columns(pl.coalesce(pl.when(IN).then("_major"), "label").alias("label"))
    said = pl.col("_major").fill_null("no one label")
    detail = pl.format("labelled {}, its identity {}", "label", said)
    return _out(rows, wrong, "label_conflict", detail)


def _same_bytes(rows: pl.DataFrame) -> pl.DataFrame:
    """Count the same bytes once within an identity and a given split."""
    place = [pl.col("digest"), layouts.unit(), pl.col("split")]
    order = pl.when(IN).then("_rank")
    first = pl.col("sample").sort_by(order, "sample", nulls_last=True).first().over(place)
    rows = rows.with_columns(first.alias("_first"))
    again = pl.col("sample") != pl.col("_first")
    kept = pl.when(IN & again).then("_first").otherwise("kept_as").alias("kept_as")
    marked = rows.with_columns(kept)
    return _out(marked, again, "same_bytes")


def _few(min_images: int) -> pl.Expr:
    return IN.sum().over(layouts.unit()) < min_images


def _names() -> pl.Expr:
    """Return file names without suffix, unique within a split and label.

    A name that several samples share gets its source appended, then, where even that is shared,
    the beginning of its content hash. Case does not count: some file systems ignore it.
    """
    stem = pl.col("key").str.extract(r"([^/]+?)(?:\.[^./]*)?$")
    place = ["split", "label"]
    taken = stem.str.to_lowercase().filter(IN).len().over(*place, stem.str.to_lowercase())
    sourced = pl.format("{}_{}", stem, "source")
    lower = sourced.str.to_lowercase()
    again = lower.filter(IN).len().over(*place, lower)
    hashed = pl.format("{}_{}", sourced, pl.col("digest").str.head(8))
    name = pl.when(taken <= 1).then(stem).when(again <= 1).then(sourced).otherwise(hashed)
    return pl.when(IN).then(name).alias("name")


def summary(samples: pl.DataFrame) -> str:
    """Return the figures of a merge in a few lines."""
    kept = samples.filter(IN)
    units = kept.group_by(layouts.unit().alias("unit")).agg(
        pl.len(), pl.col("source").n_unique().alias("sources")
    )
    mean = len(kept) / max(1, len(units))
    several = units.filter(pl.col("sources") > 1)
    lines = [
        f"merge: {len(kept):,} images of {len(units):,} identities or labels, "
        f"{mean:.1f} each; {len(several):,} from several sources"
    ]
    out = samples.filter(~IN).group_by("reason").len().sort("reason")
    lines += [f"merge: left out {count:,}: {reason}" for reason, count in out.iter_rows()]
    return "\n".join(lines)
