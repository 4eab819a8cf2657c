"""What a listing has otherwise than its manifest says."""

import polars as pl

from imagemill.published import MANIFEST

KINDS = ("missing", "size", "checksum", "extra", "uncertified")

DIFFERENCES = {
    "member": pl.String,
    "kind": pl.String,  # one of KINDS
    "said": pl.String,  # what is there, and what should be
}
"""Columns of the differences between a manifest and a listing."""


def differences(manifest: pl.DataFrame, here: pl.DataFrame) -> pl.DataFrame:
    """Return one row an object that is not as ``manifest`` says, sorted by member.

    ``here`` is of ``prefix.HERE``. An ETag is a checksum: of the bytes in most stores, in every
    store of this very version of the object.
    """
    both = manifest.select("member", "bytes", "etag").join(
        here, on="member", how="full", coalesce=True, suffix="_here"
    )
    kind = (
        pl.when(pl.col("bytes_here").is_null())
        .then(pl.lit("missing"))
        .when(pl.col("bytes").is_null())
        .then(pl.lit("extra"))
        .when(pl.col("bytes") != pl.col("bytes_here"))
        .then(pl.lit("size"))
        .when(pl.col("etag") != pl.col("etag_here"))
        .then(pl.lit("checksum"))
    )
    wrong = both.with_columns(kind.alias("kind")).filter(
        pl.col("kind").is_not_null() & (pl.col("member") != MANIFEST)
    )
    return wrong.select("member", "kind", _said().alias("said")).sort("member")


def _said() -> pl.Expr:
    return (
        pl.when(kind="size")
        .then(pl.format("{} bytes, not {}", "bytes_here", "bytes"))
        .when(kind="checksum")
        .then(pl.format("ETag {}, not {}", "etag_here", "etag"))
        .otherwise(pl.lit(""))
    )


def counted(wrong: pl.DataFrame) -> str:
    """Return how many differences there are of each kind, in words."""
    counts = dict(wrong["kind"].value_counts().iter_rows())
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if kind in counts)
