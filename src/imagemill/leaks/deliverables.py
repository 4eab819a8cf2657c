"""What people and training code take away: the final manifest as CSV, removal list, relabel map.

An image is called by its key, as its source numbers or names it, so that a loader of the source
finds it; by ``source/key`` where a dataset has several sources, which may use one key twice.
"""

import json
from pathlib import Path

import polars as pl

from imagemill import sheets
from imagemill.files import replacing

MANIFEST, REMOVED, RELABELLED = "final_manifest.csv", "removal_list.txt", "relabel_map.json"

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
    # A name with a line break in it would name other images.
    lines = gone.str.replace_all("\n", "\\n", literal=True).str.replace_all("\r", "\\r")
    with replacing(out / REMOVED) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    changed = rows.filter(user_action="relabel").select("image_id", "new_label")
    with replacing(out / RELABELLED) as part:
        text = json.dumps(dict(changed.iter_rows()), indent=2, ensure_ascii=False)
        part.write_text(f"{text}\n", encoding="utf-8")
