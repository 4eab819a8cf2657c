"""The cleaning guide's manifest: one row for each thing that was said of an image."""

import polars as pl

from imagemill.reviews import standing
from imagemill.reviews.standing import IN_FORCE

COLUMNS = {
    "image_id": pl.String,  # as the source calls it; see ``ids``
    "image_path": pl.String,  # the sample, as in leaks.csv
    "label": pl.String,  # as the source gives it
    "vl_flag_type": pl.String,  # what an audit, a check or a neighbour says; empty where none does
    "vl_confidence": pl.Float64,
    "suggested_label": pl.String,
    "reason": pl.String,
    "user_tags": pl.String,  # joined by commas
    "user_action": pl.String,  # keep, remove, relabel; empty where nobody and no rule decided
    "new_label": pl.String,
    "reviewer_name": pl.String,  # or the rule
    "notes": pl.String,
}
"""Columns of the guide, in its order."""

LEAK = "train_test_leak"
"""Tag, and flag of ``tables.MANIFEST``, of an image that is or was in two splits."""

_DEEDS = pl.col("source").str.starts_with("rule:") | (pl.col("source") == "review")


def tagged(
    samples: pl.DataFrame, ids: pl.DataFrame, evidence: pl.DataFrame, reviews: pl.DataFrame
) -> pl.DataFrame:
    """Return ``COLUMNS`` and ``digest`` of all that was said, and of all that people reviewed.

    ``samples``, ``evidence`` and ``reviews`` as in ``tables``, ``ids`` as ``ids.of`` gives.
    """
    flags = evidence.filter(~_DEEDS)
    known = samples.select("sample", "digest", "label").join(ids, on="sample")
    people = _people(samples, reviews)
    rules = evidence.filter(pl.col("source").str.starts_with("rule:"))
    silent = pl.concat([people["sample"], rules["sample"]]).unique().to_frame()
    silent = silent.join(flags, on="sample", how="anti")
    said = pl.concat([flags, silent], how="diagonal")
    deeds = rules.filter(pl.col("effect").is_not_null()).select(
        "sample", _rule="effect", _ruled="suggested", _by="source"
    )
    rows = (
        said.join(known, on="sample")
        .join(people, on="sample", how="left")
        .join(deeds, on="sample", how="left")
    )
    return (
        rows.select(
            "image_id",
            "label",
            "user_tags",
            "notes",
            "digest",
            reason="detail",
            image_path="sample",
            vl_flag_type="code",
            vl_confidence="confidence",
            suggested_label="suggested",
            user_action=pl.coalesce("action", "_rule"),
            new_label=pl.coalesce("new", pl.when(pl.col("action").is_null()).then("_ruled")),
            reviewer_name=pl.coalesce("reviewers", pl.col("_by").str.replace(":", " ")),
        )
        .select(*COLUMNS, "digest")
        .sort("image_path", "vl_flag_type", "reason", nulls_last=True)
    )


def _people(samples: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """Return what people say of each sample: verdict, tags, who, notes."""
    whole = reviews.filter(state=IN_FORCE, other="", annotation="", effect="applied")
    label = pl.when(pl.col("label") != "").then("label")
    acts = whole.select("digest", "action", new=label)
    words = standing.tags(reviews).rename({"tags": "user_tags"})
    both = words.join(acts, on="digest", how="left")
    return samples.select("sample", "digest").join(both, on="digest").drop("digest")


def final(
    rows: pl.DataFrame, samples: pl.DataFrame, ids: pl.DataFrame, manifest: pl.DataFrame
) -> pl.DataFrame:
    """Return ``COLUMNS`` as it is after the last deciding stage: every image that goes or changes.

    ``rows`` is what ``tagged`` gave, ``manifest`` is ``tables.MANIFEST``.
    """
    given = samples.select("sample", given="label").join(ids, on="sample")
    told = manifest.select("sample", "verdict", "label", "reasons", "flags", "digest")
    told = told.rename({"label": "_now"}).join(given, on="sample")
    gone = pl.col("verdict") == "remove"
    new = ~gone & pl.col("_now").ne_missing(pl.col("given"))
    action = pl.when(gone).then(pl.lit("remove")).when(new).then(pl.lit("relabel"))
    told = told.select(
        "sample", "image_id", "given", "reasons", "digest",
        _action=action, _label=pl.when(new).then("_now"), _leak=pl.col("flags").list.contains(LEAK),
    )  # fmt: skip
    acts = told.filter(pl.col("_action").is_not_null() | pl.col("_leak"))
    missing = acts.join(rows, left_on="sample", right_on="image_path", how="anti")
    blank = missing.select("image_id", "digest", image_path="sample", label="given")
    every = pl.concat([rows, blank], how="diagonal")
    return (
        _concluded(every, acts)
        .select(*COLUMNS)
        .sort("image_path", "vl_flag_type", "reason", nulls_last=True)
    )


def _concluded(rows: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    chosen = acts.select("sample", "reasons", "_action", "_label", "_leak")
    both = rows.join(chosen, left_on="image_path", right_on="sample", how="left")
    leak = pl.when("_leak").then(pl.lit(LEAK))
    kept = pl.when(pl.col("user_action") == "keep").then("user_action")
    action = pl.coalesce("_action", kept)
    why = pl.when(action == "remove").then(pl.col("reasons").list.join(" "))
    return both.with_columns(
        pl.concat_str(pl.col("user_tags").replace("", None), leak, separator=",", ignore_nulls=True)
        .replace("", None)
        .alias("user_tags"),
        action.alias("user_action"),
        pl.when(action == "relabel").then("_label").alias("new_label"),
        pl.concat_str("reason", why, separator="; ", ignore_nulls=True)
        .replace("", None)
        .alias("reason"),
    )
