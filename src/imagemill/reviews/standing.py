"""Which of all that people said holds now.

A person's later word on the same image, annotation or pair replaces their earlier one. Of what
several people say, the last verdict is in force; others that differ are overruled and shown. Later
is by time, then by line: Git may put the lines of two people in any order.
"""

from typing import NamedTuple

import polars as pl

from imagemill.reviews.file import Log
from imagemill.reviews.rows import COLUMNS
from imagemill.reviews.taxonomy import NONE, WITHDRAW
from imagemill.tables import REVIEWS

ITEM = ["digest", "other", "annotation"]
"""What a review is about."""

IN_FORCE, AGREES, OVERRULED = "in_force", "agrees", "overruled"
REPLACED, WITHDRAWN, OPINION = "replaced", "withdrawn", "opinion"

STANDING = pl.col("state").is_in([IN_FORCE, AGREES, OVERRULED, OPINION])
"""Reviews that their reviewer has not replaced or withdrawn."""


def standing(log: Log) -> pl.DataFrame:
    """Return ``tables.REVIEWS`` of a file, each review with its ``state``; ``effect`` is null."""
    said = {name: [each[at] for each in log.reviews] for at, name in enumerate(COLUMNS)}
    schema = {name: pl.List(pl.String) if name == "tags" else pl.String for name in COLUMNS}
    rows = pl.DataFrame({**said}, schema=schema).with_columns(
        pl.Series("line", log.lines, pl.Int64), pl.lit(None, pl.String).alias("effect")
    )
    ordered = rows.sort(pl.col("time").str.strip_suffix("Z"), "line")
    return _judged(ordered).select(*REVIEWS.columns).sort(REVIEWS.key)


def _judged(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows, which are in the order of time, with their ``state``."""
    rows = rows.with_row_index("_at")
    acts = ~pl.col("action").is_in([NONE, WITHDRAW])
    latest = pl.col("_at").max().over(*ITEM, "reviewer") == pl.col("_at")
    rows = rows.with_columns(_latest=latest)
    last = pl.when(pl.col("_latest") & acts).then("_at").max().over(ITEM)
    rows = rows.with_columns(_last=last)
    # A join: Polars 2.1 panics on the first of nothing over a frame's only group.
    final = rows.filter(pl.col("_at") == pl.col("_last"))
    final = final.select(*ITEM, _deed=pl.struct("action", "label"))
    rows = rows.join(final, on=ITEM, how="left", maintain_order="left")
    state = (
        pl.when(~pl.col("_latest"))
        .then(pl.lit(REPLACED))
        .when(action=WITHDRAW)
        .then(pl.lit(WITHDRAWN))
        .when(action=NONE)
        .then(pl.lit(OPINION))
        .when(pl.col("_at") == pl.col("_last"))
        .then(pl.lit(IN_FORCE))
        .when(pl.struct("action", "label") == pl.col("_deed"))
        .then(pl.lit(AGREES))
        .otherwise(pl.lit(OVERRULED))
    )
    return rows.with_columns(state.alias("state"))


def contradictions(reviews: pl.DataFrame) -> pl.DataFrame:
    """Return the standing reviews of ``tables.REVIEWS`` on what people do not agree about."""
    disputed = reviews.filter(state=OVERRULED).select(ITEM).unique()
    both = reviews.filter(pl.col("state").is_in([IN_FORCE, AGREES, OVERRULED]))
    return both.join(disputed, on=ITEM, how="semi").sort(*ITEM, "time", "line")


class Agreement(NamedTuple):
    """How far several reviewers say the same."""

    several: int
    """Images, annotations and pairs on which at least two people have a standing verdict."""
    agreed: int
    """Those of them on which all say the same."""


def agreement(reviews: pl.DataFrame) -> Agreement:
    """Return how far reviewers agree, from ``tables.REVIEWS``."""
    verdicts = reviews.filter(pl.col("state").is_in([IN_FORCE, AGREES, OVERRULED]))
    items = verdicts.group_by(ITEM).agg(
        pl.len().alias("said"), (pl.col("state") == OVERRULED).any().alias("disputed")
    )
    several = items.filter(pl.col("said") > 1)
    return Agreement(len(several), int((~several["disputed"]).sum()))


def tags(reviews: pl.DataFrame) -> pl.DataFrame:
    """Return ``digest``, ``tags``, ``reviewers``, ``notes`` of what stands on whole images.

    Each is joined: tags in the order in which they were said first, without repetition.
    """
    whole = reviews.filter(STANDING, other="", annotation="").sort("time", "line")

    def once(column: str) -> pl.Expr:
        texts = pl.col(column).filter(pl.col(column) != "")
        return texts.unique(maintain_order=True)

    return whole.group_by("digest", maintain_order=True).agg(
        pl.col("tags").explode(empty_as_null=False).unique(maintain_order=True).str.join(","),
        once("reviewer").str.join(", ").alias("reviewers"),
        once("note").str.join("; ").alias("notes"),
    )
