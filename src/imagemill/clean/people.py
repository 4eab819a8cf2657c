"""What people decided, on our samples: their word counts more than any other."""

import polars as pl

from imagemill.reviews import standing
from imagemill.reviews.standing import IN_FORCE
from imagemill.reviews.taxonomy import KEEP, RELABEL, REMOVE

CODES = {
    KEEP: "kept_by_review",
    REMOVE: "removed_by_review",
    RELABEL: "relabelled_by_review",
}
"""What a verdict is called among the evidence."""


def verdicts(rows: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """Return the verdict in force on each of ``rows`` that has one, as evidence.

    ``sample``, ``digest``, ``code``, ``wish`` (the action), ``suggested`` (the new label) and
    ``detail``: who said so, and their note. ``reviews``: ``tables.REVIEWS``.
    """
    said = reviews.filter(state=IN_FORCE, other="", annotation="")
    words = pl.when(pl.col("note") != "").then(pl.format("{}: {}", "reviewer", "note"))
    label = pl.when(pl.col("label") != "").then("label")
    told = said.select(
        "digest",
        code=pl.col("action").replace_strict(CODES, return_dtype=pl.String),
        wish="action",
        suggested=label,
        detail=words.otherwise("reviewer"),
    )
    return rows.select("sample", "digest").join(told, on="digest").sort("sample")


def effects(reviews: pl.DataFrame, samples: pl.DataFrame, annotated: pl.DataFrame) -> pl.DataFrame:
    """Return ``tables.REVIEWS`` with what came of each that is in force.

    ``samples`` has ``digest`` and ``hindered``: why nothing can be done with a sample, or null.
    ``annotated`` has ``digest`` and ``annotation`` of every annotation.
    """
    known = samples.group_by("digest").agg(
        pl.col("hindered").sort(nulls_last=False).first().alias("_hindered"),
        _there=pl.lit(value=True),
    )
    other = known.select(other="digest", _other="_there")
    boxes = annotated.unique().with_columns(_box=pl.lit(value=True))
    rows = (
        reviews.join(known, on="digest", how="left")
        .join(other, on="other", how="left")
        .join(boxes, on=["digest", "annotation"], how="left")
    )
    gone = pl.col("_there").is_null() | ((pl.col("other") != "") & pl.col("_other").is_null())
    lost = (pl.col("annotation") != "") & pl.col("_box").is_null()
    effect = (
        pl.when(gone)
        .then(pl.lit("absent"))
        .when(lost)
        .then(pl.lit("no_such_annotation"))
        .when((pl.col("other") == "") & pl.col("_hindered").is_not_null())
        .then("_hindered")
        .otherwise(pl.lit("applied"))
    )
    told = rows.with_columns(effect=pl.when(state=IN_FORCE).then(effect))
    return told.select(reviews.columns).sort("line")


def lines(reviews: pl.DataFrame) -> list[str]:
    """Return what is to be said of ``tables.REVIEWS`` with their effects."""
    if reviews.is_empty():
        return []
    force = reviews.filter(state=IN_FORCE)
    counts = dict(force.group_by("effect").len().sort("effect").iter_rows())
    applied = counts.pop("applied", 0)
    said = [f"clean: {len(reviews):,} reviews: {applied:,} obeyed"]
    said[0] += "".join(f", {count:,} {effect}" for effect, count in counts.items())
    both = standing.contradictions(reviews)
    disputed = both.select(standing.ITEM).n_unique() if len(both) else 0
    if disputed:
        said.append(f"clean: reviewers contradict each other on {disputed:,}; the last word holds:")
    for row in both.head(10).iter_rows(named=True):
        what = f"{row['action']} {row['label']}".strip()
        said.append(
            f"clean:   line {row['line']}: {row['reviewer']}: {what} ({row['state']}), "
            f"of {row['digest'][:12]}"
        )
    several, agreed = standing.agreement(reviews)
    if several:
        said.append(f"clean: reviewers agree on {agreed:,} of the {several:,} that several judged")
    return said
