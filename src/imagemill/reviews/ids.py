"""What the source itself calls an image: the id that lists for other programs must use."""

import json
from pathlib import Path

import polars as pl

SUFFIX = ".images"
"""End of the name of a side table that numbers images, as COCO does; before it is the source."""


def of(samples: pl.DataFrame, tables: Path) -> pl.DataFrame:
    """Return ``sample`` and ``image_id`` of ``tables.SAMPLES``, in their order.

    COCO's number of the image; else the key: the number of the row of Parquet files, the id of a
    table of addresses, the path below the source. ``tables`` has the side tables.
    """
    names: list[str] = json.loads((tables / "names.json").read_text())
    parts = [pl.DataFrame(schema=dict.fromkeys(("source", "key", "image_id"), pl.String))]
    parts += [
        _numbered(tables / f"{name}.parquet", name.removesuffix(SUFFIX))
        for name in names
        if name.endswith(SUFFIX)
    ]
    rows = samples.select("sample", "source", "key").join(
        pl.concat(parts), on=["source", "key"], how="left", maintain_order="left"
    )
    return rows.select("sample", pl.coalesce("image_id", "key").alias("image_id"))


def _numbered(table: Path, source: str) -> pl.DataFrame:
    scanned = pl.scan_parquet(table)
    if not {"id", "key"} <= set(scanned.collect_schema()):
        scanned = pl.LazyFrame(schema={"id": pl.Int64, "key": pl.String})
    ids = scanned.select(
        pl.lit(source).alias("source"), "key", pl.col("id").cast(pl.String).alias("image_id")
    ).collect()
    return ids.unique(["source", "key"], keep="first", maintain_order=True)
