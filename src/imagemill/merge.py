"""Unite the sources: who or what each image shows, and which of them count.

Pure table work on bytes' hashes; equal pixels in other bytes are ``match``'s business. The result
does not depend on the order of sources or rows, except where ``priority`` says so.
"""

from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from imagemill import layouts
from imagemill.config import Section
from imagemill.errors import ConfigError, suggest
from imagemill.tables import SAMPLES

LONGEST = 180  # bytes of a file name's stem, so that suffix, source and hash fit into 255


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
    _refuse_unknown(config)
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
    return _named(rows).select(*SAMPLES.columns)


IN = pl.col("reason").is_null()


def _refuse_unknown(config: Config) -> None:
    for name in config.priority:
        if name not in config.layouts:
            raise ConfigError(
                f"merge.priority: {name}: no such source{suggest(name, config.layouts)}"
            )


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
    """Part the same bytes under several identities, or under several labels without one.

    Empty files are all alike and show nothing: ``measure`` has the word on them.
    """
    rows = rows.join(_borne(rows), on="digest", how="left", maintain_order="left")
    clash = (pl.col("_units").list.len() > 1) & (pl.col("bytes") > 0)
    detail = pl.lit("same bytes under ") + pl.col("_units").list.join(", ")
    if policy == "first":
        order = [pl.col("_rank").filter(IN), pl.col("sample").filter(IN)]
        best = layouts.unit().filter(IN).sort_by(order).first().over("digest")
        clash &= layouts.unit() != best
    return _out(rows, clash, "identity_conflict", detail)


def _borne(rows: pl.DataFrame) -> pl.DataFrame:
    """Return for each content hash what it is said to show: identities, or else labels.

    Several labels of one identity are for ``_label_conflicts`` to judge.
    """
    said = (
        rows.filter(IN)
        .group_by("digest")
        .agg(
            pl.col("identity").drop_nulls().unique().sort(),
            pl.col("label").unique().sort(),
            pl.col("identity").is_null().any().alias("bare"),
        )
    )
    several = pl.col("identity").list.len() > 1
    units = pl.when(several | ~pl.col("bare")).then("identity").otherwise("label")
    return said.select("digest", units.alias("_units"))


def _label_conflicts(rows: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Compare each label with the one that most distinct images of its identity bear.

    Where several are borne by as many, none is right.
    """
    borne = rows.filter(IN & pl.col("identity").is_not_null())
    counted = borne.group_by("identity", "label").agg(pl.col("digest").n_unique().alias("count"))
    most = counted.filter(pl.col("count") == pl.col("count").max().over("identity"))
    clear = most.filter(pl.len().over("identity") == 1).select("identity", _major="label")
    rows = rows.join(clear, on="identity", how="left", maintain_order="left")
    if policy == "vote":
        voted = pl.coalesce(pl.when(IN).then("_major"), "label")
        rows = rows.with_columns(voted.alias("label"))
    wrong = pl.col("identity").is_not_null() & pl.col("label").ne_missing(pl.col("_major"))
    said = pl.col("_major").fill_null("no one label")
    return _out(
        rows, wrong, "label_conflict", pl.format("labelled {}, its identity {}", "label", said)
    )


def _same_bytes(rows: pl.DataFrame) -> pl.DataFrame:
    """Count the same bytes once in a given split; by now they show one thing.

    A sample that names an identity stands for one that does not, then the more trusted source.
    """
    order = [pl.when(IN).then(pl.col("identity").is_null()), pl.col("_rank"), pl.col("sample")]
    first = pl.col("sample").sort_by(order, nulls_last=True).first().over("digest", "split")
    rows = rows.with_columns(first.alias("_first"))
    again = (pl.col("sample") != pl.col("_first")) & (pl.col("bytes") > 0)
    kept = pl.when(IN & again).then("_first").otherwise("kept_as").alias("kept_as")
    marked = rows.with_columns(kept)
    return _out(marked, again, "same_bytes")


def _few(min_images: int) -> pl.Expr:
    return IN.sum().over(layouts.unit()) < min_images


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """Add file names without suffix, unique within a split and label.

    Samples that share a name get their source appended, then, where that is shared as well, the
    beginning of their content hash. Case does not count, nor how an accent is written: some file
    systems ignore them.
    """
    stem = pl.col("key").str.extract(r"([^/]+?)(?:\.[^./]*)?$")
    long = stem.str.len_bytes() > LONGEST
    short = pl.when(long).then(stem.str.head(LONGEST // 4)).otherwise(stem)
    sourced = pl.format("{}_{}", short, "source")
    hashed = pl.format("{}_{}", sourced, pl.col("digest").str.head(16))
    levels = [pl.when(long).then(hashed).otherwise(each) for each in (stem, sourced, hashed)]
    rows = rows.with_columns(levels[0].alias("name"))
    for level in (levels[1], levels[2], levels[2]):  # the last for one that looks like a hashed one
        rows = rows.with_columns(pl.when(_shared()).then(level).otherwise("name").alias("name"))
    return rows.with_columns(pl.when(IN).then("name").alias("name"))


def _shared() -> pl.Expr:
    name = pl.col("name").str.normalize("NFKC").str.to_lowercase()
    return IN & (IN.sum().over("split", "label", name) > 1)


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
