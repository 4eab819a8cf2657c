"""Who leaves because of a leak, and what becomes of those who stay."""

import polars as pl

from imagemill import layouts
from imagemill.leaks.counts import Kind

KEPT = pl.col("verdict") == "keep"

FLAG = "train_test_leak"
"""Of a sample that is, or was, in a leak: the tag of the cleaning guide's taxonomy."""


def obeyed(samples: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return ``samples`` with what ``clean`` says of them; what it relabelled is kept.

    An identity that is known by its label alone is relabelled with it.
    """
    said = samples.drop("reason", "detail", "kept_as").rename({"label": "_given"})
    rows = said.join(verdicts, on="sample", how="left", maintain_order="left")
    same = pl.col("identity") == pl.col("_given")
    return rows.with_columns(
        pl.when(same).then("label").otherwise("identity").alias("identity"),
        pl.col("verdict").replace({"relabel": "keep"}),
    ).drop("_given")


def leavers(found: pl.DataFrame, remove_from: list[str], report_only: list[Kind]) -> set[str]:
    """Return the samples that go: of each leaking pair the one in the split named first.

    The splits named last lose theirs first, so that what has left no longer makes others leave.
    """
    ranks = {split: rank for rank, split in enumerate(remove_from)}
    last = len(ranks)
    acted = found.filter(~pl.col("kind").is_in([*report_only, "against"]))
    leaving: dict[int, list[tuple[str, str]]] = {}
    for a, b, split_a, split_b in acted.select("a", "b", "split_a", "split_b").iter_rows():
        left, right = ranks.get(split_a, last), ranks.get(split_b, last)
        if left != right:
            leaving.setdefault(min(left, right), []).append((a, b) if left < right else (b, a))
    gone: set[str] = set()
    for rank in sorted(leaving, reverse=True):
        gone |= {goes for goes, stays in leaving[rank] if stays not in gone}
    return gone


def removed(rows: pl.DataFrame, which: pl.Expr, reason: str) -> pl.DataFrame:
    """Return ``rows`` with those kept ones that ``which`` says removed for ``reason``."""
    hit = KEPT & which
    longer = pl.col("reasons").list.concat(pl.lit([reason], pl.List(pl.String)))
    return rows.with_columns(
        pl.when(hit).then(longer).otherwise("reasons").alias("reasons"),
        pl.when(hit).then(pl.lit("remove")).otherwise("verdict").alias("verdict"),
    )


def few(min_images: int) -> pl.Expr:
    """Tell which samples show a label or identity with fewer kept images than that."""
    return KEPT.sum().over(layouts.unit()) < min_images


def flagged(rows: pl.DataFrame, leaks: pl.DataFrame) -> pl.DataFrame:
    """Return ``rows`` with the flag on every sample of ``leaks`` between splits."""
    between = leaks.filter(pl.col("kind") != "against")
    either = pl.concat([between["a"], between["b"]]).unique()
    longer = pl.col("flags").list.concat(pl.lit([FLAG], pl.List(pl.String)))
    hit = pl.col("sample").is_in(either.implode())
    return rows.with_columns(pl.when(hit).then(longer).otherwise("flags").alias("flags"))


def blamed(leaks: pl.DataFrame, gone: set[str]) -> pl.DataFrame:
    """Return ``leaks`` with the sample of each that has left because of it."""
    left = pl.Series(sorted(gone), dtype=pl.String).implode()
    end = pl.when(pl.col("a").is_in(left)).then("a").when(pl.col("b").is_in(left)).then("b")
    return leaks.with_columns(end.alias("removed"))
