"""Boxes of an image's annotations, where its source has some, as COCO does."""

from pathlib import Path

import polars as pl

from imagemill.tables import ANNOTATIONS

PLACE = ["x", "y", "w", "h"]
"""Columns of a side table of annotations: left, top, width and height, pixels of the file."""

_KNOWN = ["digest", "id", "category", "given", "verdict", *PLACE]


def read(folder: Path, samples: pl.DataFrame) -> pl.DataFrame:
    """Return every annotation with ``digest`` and ``PLACE``, sorted by both; places may be null.

    ``folder``: of the dataset; ``samples``: ``sample``, ``digest``.
    """
    if not (folder / "clean" / ANNOTATIONS.file).exists():
        return _joined(ANNOTATIONS.frame(), [], samples)
    judged = ANNOTATIONS.read(folder / "clean")
    names = judged["table"].unique().sort().to_list()
    tables = folder / "scan" / "tables"
    places = [
        pl.read_parquet(tables / f"{name}.parquet", columns=["id", *PLACE])
        .with_columns(table=pl.lit(name))
        .unique(["table", "id"], keep="first", maintain_order=True)
        for name in names
        if set(PLACE) <= set(pl.read_parquet_schema(tables / f"{name}.parquet"))
    ]
    return _joined(judged, places, samples)


def _joined(
    judged: pl.DataFrame, places: list[pl.DataFrame], samples: pl.DataFrame
) -> pl.DataFrame:
    blank = pl.DataFrame(schema={"id": pl.Int64, **dict.fromkeys(PLACE, pl.Float64)})
    every = pl.concat([blank.with_columns(table=pl.lit("")), *places])
    rows = judged.join(samples, on="sample").join(every, on=["table", "id"], how="left")
    return rows.select(*_KNOWN).unique(["digest", "id"], keep="first").sort("digest", "id")
