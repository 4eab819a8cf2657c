"""Planted problems: which of them the build caught. Only a dataset with known answers has any."""

import polars as pl

COLUMNS = ("source", "key", "problem", "stage", "outcome", "reason", "tier")
"""Of the side table ``truth``, that are read here; all text, empty where there is nothing to say.

``outcome`` is what should become of the image: ``remove`` or ``skip`` for ``reason``, ``flag``
with ``reason``, or ``keep``. ``tier`` is how a copy can be found: bytes, pixels, perceptual (by
its hashes), keypoints (by nothing less; embeddings may do too).
"""

CAUGHT = {
    "problem": pl.String,
    "tier": pl.String,  # null where the problem is no copy
    "stage": pl.String,  # that should notice
    "outcome": pl.String,
    "reason": pl.String,  # that should be given
    "planted": pl.Int64,  # images; planted = caught + missed
    "caught": pl.Int64,
    "missed": pl.Int64,
    "flagged": pl.Int64,  # with any flag, kept or not
    "note": pl.String,  # empty where there is nothing to add
}
"""Columns of what ``caught`` returns."""

UNSEEN = "needs keypoints or an embedder"

_ONE = ["problem", "tier", "stage", "outcome", "reason"]


def is_truth(table: pl.DataFrame) -> bool:
    """Tell whether a side table is one of planted problems, by its columns."""
    return set(COLUMNS) <= set(table.columns)


def caught(manifest: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Return one row a planted problem, with the columns ``CAUGHT``, sorted by its first five.

    An image that is planted but not listed counts as missed.
    """
    said = manifest.select("source", "key", "verdict", "reasons", "flags")
    told = [_told(name) for name in COLUMNS]
    rows = (
        truth.select(told)
        .join(said, on=["source", "key"], how="left")
        .with_columns(_hit().fill_null(value=False).alias("hit"))
    )
    counted = rows.group_by(_ONE).agg(
        pl.len().cast(pl.Int64).alias("planted"),
        pl.col("hit").sum().cast(pl.Int64).alias("caught"),
        (~pl.col("hit")).sum().cast(pl.Int64).alias("missed"),
        (pl.col("flags").list.len() > 0).sum().cast(pl.Int64).alias("flagged"),
        pl.col("verdict").is_null().sum().alias("_unlisted"),
    )
    return counted.with_columns(_note().alias("note")).sort(_ONE).select(*CAUGHT)


def _told(name: str) -> pl.Expr:
    text = pl.col(name).cast(pl.String)
    return pl.when(text != "").then(text).alias(name)


def _hit() -> pl.Expr:
    outcome, kept = pl.col("outcome"), pl.col("verdict") == "keep"
    reasoned = pl.col("reasons").list.contains(pl.col("reason"))
    return (
        pl.when(outcome == "remove")
        .then((pl.col("verdict") == "remove") & reasoned)
        .when(outcome == "skip")
        .then(reasoned)
        .when(outcome == "flag")
        .then(kept & pl.col("flags").list.contains(pl.col("reason")))
        .when(outcome == "keep")
        .then(kept)
        .otherwise(pl.lit(value=False))
    )


def _note() -> pl.Expr:
    return (
        pl.when(pl.col("_unlisted") > 0)
        .then(pl.format("{} not listed", "_unlisted"))
        .when((pl.col("tier") == "keypoints") & (pl.col("missed") > 0))
        .then(pl.lit(UNSEEN))
        .when(pl.col("outcome") == "keep")
        .then(pl.format("{} flagged", "flagged"))
        .otherwise(pl.lit(""))
    )
