"""The ledger: every listed object once, with the stage where it went out and why.

What the page says is counted from this one frame, so that its numbers add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from imagemill.errors import BuildError
from imagemill.tables import EVIDENCE, FACTS, MANIFEST, REVIEWS


@dataclass(frozen=True)
class Tables:
    """What the stages before have written, each as in ``tables``."""

    listing: pl.DataFrame
    orphans: pl.DataFrame
    index: pl.DataFrame
    places: pl.DataFrame
    samples: pl.DataFrame
    facts: pl.DataFrame
    pairs: pl.DataFrame
    verdicts: pl.DataFrame
    manifest: pl.DataFrame
    leaks: pl.DataFrame
    truth: pl.DataFrame | None
    """The side table of planted problems, where there is one; see ``truth``."""
    matched: Mapping[str, Any]
    """What ``match`` went by; see ``calibration.summarise``."""
    certificate: Mapping[str, Any] | None
    """What ``leaks`` certifies; see ``certificates``."""
    evidence: pl.DataFrame = field(default_factory=EVIDENCE.frame)
    reviews: pl.DataFrame = field(default_factory=REVIEWS.frame)


FIGURES = ["format", "width", "height", "frames", "sharpness", "brightness", "entropy"]
"""Columns of ``tables.FACTS`` that the ledger carries."""

LEDGER = {
    **MANIFEST.columns,
    "bytes": pl.Int64,
    "wanted": pl.Boolean,
    "stage": pl.String,  # that left it out; null when it is in the package
    "why": pl.String,  # its first reason; null when it is in the package
    "detail": pl.String,
    **{name: FACTS.columns[name] for name in FIGURES},
}
"""Columns of the ledger; its rows are sorted by sample."""

KEPT = pl.col("stage").is_null()

DECODED = KEPT | pl.col("stage").is_in(["clean", "leaks"])
"""Rows whose pictures were judged."""


def ledger(tables: Tables) -> pl.DataFrame:
    """Return the ledger. Raises ``BuildError`` when a stage has lost or added rows."""
    _refuse_lost_rows(tables)
    rows = _gathered(tables).with_columns(_stage().alias("stage"))
    first = pl.col("reasons").list.first()
    return rows.with_columns(pl.when(~KEPT).then(first).alias("why")).select(*LEDGER).sort("sample")


def _refuse_lost_rows(tables: Tables) -> None:
    names = ("listing", "index", "samples", "verdicts", "manifest")
    counts = {name: len(getattr(tables, name)) for name in names}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise BuildError(
            f"report: these tables should have one row a listed object: {said}. "
            "Build the earlier stages again; if that does not help, a stage has a defect."
        )


def _gathered(tables: Tables) -> pl.DataFrame:
    objects = ["source", "key"]
    wanted = tables.listing.select(*objects, "bytes", "wanted")
    held = tables.index.select(*objects, _failed="reason", _error="detail")
    merged = tables.samples.select("sample", _unmerged="reason", _said="detail")
    judged = tables.verdicts.select("sample", _judged="verdict")
    facts = tables.facts.select("digest", *FIGURES, _unreadable="reason", _broken="detail")
    return (
        tables.manifest.join(wanted, on=objects, how="left", validate="1:1")
        .join(held, on=objects, how="left", validate="1:1")
        .join(merged, on="sample", how="left", validate="1:1")
        .join(judged, on="sample", how="left", validate="1:1")
        .join(facts, on="digest", how="left", validate="m:1")
        .with_columns(pl.coalesce("_said", "_error", "_broken").alias("detail"))
    )


def _stage() -> pl.Expr:
    return (
        pl.when(~pl.col("wanted"))
        .then(pl.lit("scan"))
        .when(pl.col("_failed").is_not_null())
        .then(pl.lit("download"))
        .when(pl.col("_unmerged").is_not_null())
        .then(pl.lit("merge"))
        .when(pl.col("_unreadable").is_not_null())
        .then(pl.lit("measure"))
        .when(pl.col("_judged") == "remove")
        .then(pl.lit("clean"))
        .when(pl.col("verdict") == "remove")
        .then(pl.lit("leaks"))
    )
