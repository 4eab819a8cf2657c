"""Counts of the ledger: what the page's tables and ``summary.json`` say."""

from typing import NamedTuple

import polars as pl

from imagemill import identities
from imagemill.report.ledger import KEPT
from imagemill.report.words import STEPS, Step

MANY_LABELS = 40
"""More labels than this are not listed one by one."""

ENDS = 10  # labels shown from each end of many

MERGING = ("scan", "download", "merge")
"""Stages that decide before any picture is looked at."""

FIRST = 10  # keys shown of a table's orphans

Figures = dict[str, int]
"""Counts by name, flat, for DVC to show and compare."""


class Left(NamedTuple):
    """What one stage left of the listed objects, and what it took."""

    step: Step
    images: int
    lost: int
    causes: list[tuple[str, int]]
    """Codes and how many were lost for each first, the largest first; they sum to ``lost``."""


class Labels(NamedTuple):
    """Kept images by label and split."""

    splits: list[str | None]
    totals: list[int]
    """Of each split."""
    rows: list[tuple[str | None, list[int], int]]
    """Label, its count in each split, and in all."""
    left_out: int
    """Labels between the largest and the smallest that ``rows`` leaves out."""
    gap: int
    """Number of rows before those left out."""
    spread: str
    """Images a label, in words; empty when every label has a row."""


class Orphans(NamedTuple):
    """Keys of one column of a label table that no listed object has."""

    table: str
    column: str
    keys: int
    first: list[str]


class Source(NamedTuple):
    """What became of one source's objects: listed = unwanted + rejected + kept."""

    name: str
    listed: int
    unwanted: int
    rejected: int
    kept: int


def flow(rows: pl.DataFrame) -> list[Left]:
    """Return what each stage of ``STEPS`` left of the ledger."""
    left = len(rows)
    steps = []
    for step in STEPS:
        lost = rows.filter(pl.col("stage") == step.stage)
        left -= len(lost)
        steps.append(Left(step, left, len(lost), _causes(lost)))
    return steps


def _causes(lost: pl.DataFrame) -> list[tuple[str, int]]:
    counted = lost.group_by("why").len("count")
    return list(counted.sort("count", "why", descending=[True, False]).iter_rows())


def reasons(rows: pl.DataFrame) -> pl.DataFrame:
    """Return ``stage``, ``code``, ``count`` and ``alone`` (images with no other reason).

    Sorted by the order of the stages, then the largest count first.
    """
    single = pl.col("reasons").list.len() == 1
    order = pl.col("stage").replace_strict({step.stage: n for n, step in enumerate(STEPS)})
    return (
        rows.filter(~KEPT)
        .select("stage", single.alias("single"), code="reasons")
        .explode("code", empty_as_null=False)
        .group_by("stage", "code")
        .agg(pl.len().alias("count"), pl.col("single").sum().alias("alone"))
        .sort(order, pl.col("count").cast(pl.Int64).neg(), "code")
    )


def flags(rows: pl.DataFrame) -> list[tuple[str, int]]:
    """Return the flags of kept images, each with its count, the largest first."""
    counted = (
        rows.filter(KEPT)
        .select(code="flags")
        .explode("code", empty_as_null=False)
        .group_by("code")
        .len("count")
    )
    return list(counted.sort("count", "code", descending=[True, False]).iter_rows())


def splits(rows: pl.DataFrame) -> list[tuple[str | None, int]]:
    """Return the splits of the kept images, the largest first."""
    counted = rows.filter(KEPT).group_by("split").len("count")
    return list(counted.sort("count", "split", descending=[True, False]).iter_rows())


def labels(rows: pl.DataFrame) -> Labels:
    """Return the table of labels and splits; of many labels the largest and the smallest."""
    sizes = splits(rows)
    names = [name for name, _ in sizes]
    each = [pl.col("split").eq_missing(name).sum().alias(f"_{n}") for n, name in enumerate(names)]
    counted = rows.filter(KEPT).group_by("label").agg(pl.len().alias("_all"), *each)
    many = len(counted) > MANY_LABELS
    ordered = counted.sort(pl.col("_all").cast(pl.Int64).neg(), "label")
    ends = pl.concat([ordered.head(ENDS), ordered.tail(ENDS)])
    chosen = ends if many else counted.sort("label")
    table = [(label, list(counts), total) for label, total, *counts in chosen.iter_rows()]
    spread = _spread(counted["_all"]) if many else ""
    totals = [count for _, count in sizes]
    return Labels(names, totals, table, len(counted) - len(chosen), ENDS, spread)


def _spread(sizes: pl.Series) -> str:
    shares = (0.0, 0.1, 0.5, 0.9, 1.0)
    least, low, middle, high, most = (sizes.quantile(q, "nearest") or 0 for q in shares)
    return (
        f"{len(sizes):,} labels with {least:,.0f} to {most:,.0f} images: one in ten has "
        f"at most {low:,.0f}, half have at most {middle:,.0f}, nine in ten at most {high:,.0f}"
    )


def sources(rows: pl.DataFrame) -> list[Source]:
    """Return the counts of every source, by name."""
    counted = rows.group_by("source").agg(
        pl.len().alias("listed"),
        (~pl.col("wanted")).sum().alias("unwanted"),
        (pl.col("wanted") & ~KEPT).sum().alias("rejected"),
        KEPT.sum().alias("kept"),
    )
    return [Source(*row) for row in counted.sort("source").iter_rows()]


def merged_and_final(rows: pl.DataFrame) -> tuple[identities.Figures, identities.Figures]:
    """Return the figures of what the merge left of the ledger, and of the package."""
    merged = pl.when(pl.col("stage").is_in(MERGING)).then("why").alias("reason")
    final = pl.col("why").alias("reason")
    return identities.figures(rows.with_columns(merged)), identities.figures(
        rows.with_columns(final)
    )


def orphans(rows: pl.DataFrame) -> list[Orphans]:
    """Return the orphans of every table and column, with the first keys of each."""
    first = pl.col("key").sort().head(FIRST).alias("first")
    counted = rows.group_by("table", "column").agg(pl.len().alias("keys"), first)
    return [Orphans(*row) for row in counted.sort("table", "column").iter_rows()]


def figures(
    rows: pl.DataFrame, pairs: pl.DataFrame, leaks: pl.DataFrame, planted: pl.DataFrame | None
) -> Figures:
    """Return the counts of a whole build, flat and sorted by name.

    ``planted`` is what ``truth.caught`` gave.
    """
    kept = rows.filter(KEPT)
    found = {"listed": len(rows), "labels": kept["label"].drop_nulls().n_unique()}
    found["identities"] = kept["identity"].drop_nulls().n_unique()
    found |= {left.step.name: left.images for left in flow(rows)}
    found |= {f"split_{name or 'none'}": count for name, count in splits(rows)}
    found |= {f"flagged_{code}": count for code, count in flags(rows)}
    found |= {"pairs": len(pairs), **_by(pairs, "tier", "pairs")}
    found |= {"leaks": len(leaks), **_by(leaks, "kind", "leaks")}
    totals = reasons(rows).group_by("code").agg(pl.col("count").sum())
    found |= {f"removed_{code}": count for code, count in totals.iter_rows()}
    if planted is not None:
        names = ("planted", "caught", "missed")
        found |= {f"truth_{name}": int(planted[name].sum()) for name in names}
    return dict(sorted(found.items()))


def _by(rows: pl.DataFrame, column: str, prefix: str) -> Figures:
    counted = rows.group_by(column).len()
    return {f"{prefix}_{name}": count for name, count in counted.iter_rows()}
