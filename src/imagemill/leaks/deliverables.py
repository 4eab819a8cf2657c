"""What people and training code take away: the final manifest as CSV, removal list, relabel map.

An image is called by its key, as its source numbers or names it, so that a loader of the source
finds it; by ``source/key`` where a dataset has several sources, which may use one key twice.
"""

from pathlib import Path

import polars as pl

from imagemill import removals, sheets

MANIFEST = "final_manifest.csv"

COLUMNS = (
    "image_id",
    "image_path",
    "label",
    "reason",
    "user_tags",
    "user_action",
    "new_label",
    "split",
    "fold",
    "kept_as",
)
"""Those of the cleaning guide, then ours.

``label``: as the sources say. ``reason``, ``user_tags``: separated by commas. ``user_action``:
keep, remove, relabel. ``new_label``: of what is relabelled. ``kept_as``: the copy that stays.
"""


def rows(manifest: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """Return ``tables.MANIFEST`` with ``COLUMNS``; ``samples`` has the sources' labels."""
    several = manifest["source"].n_unique() > 1
    said = samples.select("sample", said="label")
    both = manifest.sort("sample").join(said, on="sample", how="left", maintain_order="left")
    removed = pl.col("verdict") == "remove"
    changed = ~removed & pl.col("label").ne_missing(pl.col("said"))
    action = pl.when(removed).then(pl.lit("remove")).when(changed).then(pl.lit("relabel"))
    return both.select(
        pl.col("sample" if several else "key").alias("image_id"),
        pl.col("sample").alias("image_path"),
        pl.col("said").alias("label"),
        pl.col("reasons").list.join(",").alias("reason"),
        pl.col("flags").list.join(",").alias("user_tags"),
        action.otherwise(pl.lit("keep")).alias("user_action"),
        pl.when(changed).then("label").alias("new_label"),
        *("split", "fold", "kept_as"),
    ).select(*COLUMNS)


def write(out: Path, rows: pl.DataFrame) -> None:
    """Write what ``rows`` gave as three files in the folder ``out``."""
    sheets.write(out / MANIFEST, rows)
    gone = rows.filter(user_action="remove")["image_id"]
    changed = rows.filter(user_action="relabel").select("image_id", "new_label")
    removals.write(out, gone, dict(changed.iter_rows()))
