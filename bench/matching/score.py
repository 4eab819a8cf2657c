"""Recall and precision of the pairs that a system found, and its threshold of a wished precision.

Precision is right pairs (hits, and others judged the same photo) of right and wrong ones. A pair
that nobody looked at counts as wrong; kin and unsure ones count for neither.
"""

from dataclasses import dataclass

import polars as pl

from bench.matching.truth import Truth

RIGHT = ("hit", "same")
WRONG = ("not", "unjudged")


@dataclass(frozen=True)
class Score:
    """What one system found at one threshold."""

    limit: float | None  # largest distance that counted; None where none met the wish
    recall: dict[str, float]  # by edit
    found: int  # needles
    planted: int
    right: int  # pairs
    wrong: int
    unjudged: int  # of those wrong

    @property
    def overall(self) -> float:
        """Recall over all needles."""
        return self.found / self.planted

    @property
    def precision(self) -> float:
        """Right pairs of all that count."""
        return self.right / max(1, self.right + self.wrong)


def score(truth: Truth, found: pl.DataFrame, limit: float | None) -> Score:
    """Take pairs that are ``sorted_out`` and count those within ``limit``."""
    within = found.filter(pl.col("distance") <= (-1 if limit is None else limit))
    hits = within.filter(pl.col("kind") == "hit").group_by("edit").agg(hits=pl.len())
    edits = truth.edits().join(hits, on="edit", how="left", maintain_order="left").fill_null(0)
    kinds = dict(within["kind"].value_counts().iter_rows())
    return Score(
        limit=limit,
        recall={edit: hits / planted for edit, planted, hits in edits.iter_rows()},
        found=int(edits["hits"].sum()),
        planted=int(edits["planted"].sum()),
        right=sum(kinds.get(kind, 0) for kind in RIGHT),
        wrong=sum(kinds.get(kind, 0) for kind in WRONG),
        unjudged=kinds.get("unjudged", 0),
    )


def limit_of(found: pl.DataFrame, precision: float) -> float | None:
    """Return the largest distance at which the precision is that high; None where there is none."""
    steps = (
        found.group_by("distance")
        .agg(
            right=pl.col("kind").is_in(RIGHT).sum().cast(pl.Int64),
            wrong=pl.col("kind").is_in(WRONG).sum().cast(pl.Int64),
        )
        .sort("distance")
        .with_columns(pl.col("right", "wrong").cum_sum())
    )
    high = steps.filter(
        (pl.col("right") > 0) & (pl.col("right") >= precision * (pl.col("right") + pl.col("wrong")))
    )
    return None if high.is_empty() else float(high["distance"][-1])
