"""Annotations of images, such as COCO's boxes: they go with their image, or by a verdict of people.

Where they come from a source's table ``annotations``, its images have the label of their largest
one; so a new category of that one is a new label of the image.
"""

import json
from pathlib import Path

import polars as pl

from imagemill.reviews.standing import IN_FORCE
from imagemill.reviews.taxonomy import RELABEL, REMOVE
from imagemill.tables import ANNOTATIONS

SUFFIX = ".annotations"
"""End of the name of a side table that has annotations; before it stands the source."""

GIVEN = {
    "sample": pl.String,
    "digest": pl.String,
    "table": pl.String,
    "id": pl.Int64,
    "given": pl.String,
    "area": pl.Float64,
}
"""Columns of the annotations as the sources have them."""


def given(tables: Path, samples: pl.DataFrame) -> pl.DataFrame:
    """Return the annotations of ``samples`` in the side tables below ``tables``, as ``GIVEN``."""
    names: list[str] = json.loads((tables / "names.json").read_text())
    parts = [pl.DataFrame(schema=GIVEN)]
    for name in sorted(each for each in names if each.endswith(SUFFIX)):
        table = pl.scan_parquet(tables / f"{name}.parquet")
        if not {"id", "key", "category", "area"} <= set(table.collect_schema()):
            continue
        mine = samples.filter(source=name.removesuffix(SUFFIX)).select("sample", "digest", "key")
        rows = table.select("id", "key", "area", given="category").collect()
        joined = rows.join(mine, on="key").with_columns(pl.lit(name).alias("table"))
        parts.append(joined.select(*GIVEN))
    return pl.concat(parts)


def numbered(annotations: pl.DataFrame) -> pl.DataFrame:
    """Return ``digest`` and ``annotation``, as reviews name them."""
    return annotations.select("digest", annotation=pl.col("id").cast(pl.String))


def reviewed(annotations: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """Return ``GIVEN`` with ``action`` and ``category``, as people would have them."""
    said = reviews.filter(pl.col("annotation") != "", state=IN_FORCE)
    said = said.select("digest", "action", "label", id=pl.col("annotation").cast(pl.Int64))
    rows = annotations.join(said, on=["digest", "id"], how="left", maintain_order="left")
    new = pl.when(action=RELABEL).then("label")
    return rows.with_columns(pl.coalesce(new, "given").alias("category")).drop("label")


def labels(annotations: pl.DataFrame) -> pl.DataFrame:
    """Return ``sample``, ``old`` and ``new`` label of the images whose largest annotation changed.

    Images that keep no annotation are not among them.
    """
    stays = annotations.filter(pl.col("action").ne_missing(REMOVE))
    old, new = _largest(annotations, "given"), _largest(stays, "category")
    both = old.rename({"given": "old"}).join(new.rename({"category": "new"}), on="sample")
    return both.filter(pl.col("old") != pl.col("new")).sort("sample")


def _largest(annotations: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the value of each sample's largest annotation, chosen as ``sources.coco`` does."""
    order = {"by": ["area", "id"], "descending": [True, False], "nulls_last": True}
    best = pl.col(column).sort_by(**order).first()  # type: ignore[arg-type]
    return annotations.group_by("sample").agg(best)


def judged(annotations: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return ``tables.ANNOTATIONS``: those of a removed image are removed with it."""
    gone = verdicts.select("sample", gone=pl.col("verdict") == "remove")
    rows = annotations.join(gone, on="sample", how="left", maintain_order="left")
    reason = (
        pl.when("gone")
        .then(pl.lit("image_removed"))
        .when(pl.col("action") == REMOVE)
        .then(pl.lit("removed_by_review"))
    )
    verdict = (
        pl.when(pl.col("reason").is_not_null())
        .then(pl.lit("remove"))
        .when(pl.col("category").ne_missing(pl.col("given")))
        .then(pl.lit("relabel"))
        .otherwise(pl.lit("keep"))
    )
    told = rows.with_columns(reason.alias("reason")).with_columns(verdict.alias("verdict"))
    return told.select(*ANNOTATIONS.columns).sort(ANNOTATIONS.key)
