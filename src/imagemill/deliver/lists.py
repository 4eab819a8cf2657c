"""Removal lists and relabel maps, by the ids that the sources themselves use.

A training script that reads a source by itself needs no other file: the guide's reads a list with
``int(line.strip())`` and a map with ``relabel_map.get(str(row))``. Ids of several sources may be
the same number, so each source has files of its own; those without a source's name are of the
whole dataset where its ids differ, and else of the source that is trained on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from imagemill import layouts, removals

if TYPE_CHECKING:
    from imagemill.deliver import Tables

Numbers = dict[str, dict[str, int]]
"""For each source that numbers its labels, their numbers by name."""

TRAIN = "train"


def class_numbers(given: Mapping[str, layouts.Layout], side: Path) -> Numbers:
    """Return how sources number the labels that they name: column ``NAME_id`` beside ``NAME``."""
    found = {}
    for source, layout in given.items():
        join = layout.join
        column = join.columns.get("label") if join else None
        table = side / f"{join.table}.parquet" if join else None
        if join is None or column is None or table is None or not table.exists():
            continue
        scanned = pl.scan_parquet(table)
        number = f"{column}_id"
        if number not in scanned.collect_schema():
            continue
        pairs = scanned.select(pl.col(column).cast(pl.String), number).unique().collect()
        named = {
            join.rename.get(name, name): int(value) for name, value in pairs.drop_nulls().rows()
        }
        found[source] = dict(sorted(named.items()))
    return found


def write(
    folder: Path, dataset: str, tables: "Tables", names: pl.DataFrame, numbers: Numbers
) -> list[str]:
    """Write the lists and maps of ``dataset``; return what to say of them, a line each."""
    rows = _rows(tables, names)
    boxes = _boxes(tables)
    sources = rows["source"].unique().sort().to_list()
    said = []
    for source in sources if len(sources) > 1 else []:
        mine, theirs = rows.filter(source=source), boxes.filter(source=source)
        said.append(_files(folder, f"{dataset}_{source}", mine, theirs, numbers))
    clash = rows.select("source", "image_id").unique()["image_id"].is_duplicated().any()
    trained = _trained(rows) if clash else None
    if trained is not None:
        rows, boxes = rows.filter(source=trained), boxes.filter(source=trained)
    line = _files(folder, dataset, rows, boxes, numbers)
    of = f"; of source {trained} alone, whose ids others have too" if trained else ""
    return [*said, line + of]


def _rows(tables: "Tables", names: pl.DataFrame) -> pl.DataFrame:
    """Return every sample with ``image_id``, whether it goes, and its new label if it has one."""
    given = tables.samples.select("sample", given="label").join(names, on="sample")
    rows = tables.manifest.join(given, on="sample").sort("sample")
    gone = pl.col("verdict") == "remove"
    new = pl.when(~gone & pl.col("label").ne_missing(pl.col("given"))).then("label")
    return rows.select("source", "image_id", "split", gone=gone, new=new, id=pl.col("image_id"))


def _boxes(tables: "Tables") -> pl.DataFrame:
    """Return every annotation with its source, whether it goes, and its new category."""
    images = tables.manifest.select("sample", "source", out=pl.col("verdict") == "remove")
    rows = tables.annotations.join(images, on="sample")
    gone = pl.col("out") | (pl.col("verdict") == "remove")
    new = pl.when(~gone & (pl.col("verdict") == "relabel")).then("category")
    told = rows.select("source", gone=gone, new=new, id=pl.col("id").cast(pl.String))
    return told.sort(pl.col("id").cast(pl.Int64))


def _trained(rows: pl.DataFrame) -> str:
    """Return the source that has most of split train, or else most images."""
    counted = rows.group_by("source").agg(
        (pl.col("split") == TRAIN).sum().alias("train"), pl.len().alias("all")
    )
    best = counted.sort("train", "all", "source", descending=[True, True, False])
    return str(best["source"][0])


def _files(
    folder: Path, name: str, rows: pl.DataFrame, boxes: pl.DataFrame, numbers: Numbers
) -> str:
    gone, changed = _pair(folder, name, rows, numbers)
    said = f"{name}: {gone:,} to remove, {changed:,} to relabel"
    if len(boxes):
        gone, changed = _pair(folder, f"{name}_annotation", boxes, {})
        said += f"; annotations: {gone:,} to remove, {changed:,} to relabel"
    return said


def _pair(folder: Path, name: str, rows: pl.DataFrame, numbers: Numbers) -> tuple[int, int]:
    gone = rows.filter("gone")["id"]
    new = rows.drop_nulls("new").select("source", "id", "new").iter_rows()
    relabelled = {each: numbers.get(source, {}).get(label, label) for source, each, label in new}
    return removals.write(folder, gone, relabelled, f"{name}_")
