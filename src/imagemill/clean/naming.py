"""Which sample a row of another tool's table means, by path or by id.

A path is tried whole, then without its outermost folders, one after the other; then by its file
name alone. An id is tried as a key (the number of a row of Parquet files), as a file name without
suffix, and as one without leading zeros (COCO's). What fits several samples names none.
"""

from collections.abc import Iterator

import polars as pl

from imagemill.tables import UNMATCHED

DEPTH = 24  # folders that are taken off a path

_NAMED = {"row": pl.UInt32, "sample": pl.String, "fits": pl.UInt32}


def named(said: pl.DataFrame, samples: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of ``said`` with the ``sample`` that they name, and those that name none.

    ``said`` has ``line``, ``id`` and ``path``; ``samples`` has ``sample`` and ``key``.
    """
    rows = said.with_row_index("row")
    left = rows.select("row", "id", path=_plain(pl.col("path")))
    found = [pl.DataFrame(schema=_NAMED)]
    for names, keys in _ways(samples.select("sample", "key")):
        asked = left.select("row", name=names).drop_nulls()
        fits = asked.join(_once(keys, asked), on="name").select(*_NAMED)
        found.append(fits)
        left = left.join(fits, on="row", how="anti")
        if left.is_empty():
            break
    every = pl.concat(found)
    one = every.filter(pl.col("fits") == 1)
    why = pl.when(pl.col("row").is_in(every["row"].implode())).then(pl.lit("several_samples"))
    lost = rows.join(one, on="row", how="anti").with_columns(
        why.otherwise(pl.lit("no_sample")).alias("why"), pl.lit(None, pl.String).alias("audit")
    )
    matched = rows.join(one.drop("fits"), on="row", maintain_order="left").drop("row")
    return matched, lost.select(*UNMATCHED.columns).unique("line").sort("line")


def _ways(samples: pl.DataFrame) -> Iterator[tuple[pl.Expr, pl.DataFrame]]:
    """Yield what of a row is compared, with the samples by what it is compared with."""
    key = pl.col("key")
    path = pl.col("path")
    yield path, samples.select("sample", name="sample")
    for depth in range(DEPTH):
        yield _without(path, depth), samples.select("sample", name="key")
    file = key.str.extract(r"([^/]+)$")
    yield path.str.extract(r"([^/]+)$"), samples.select("sample", name=file)
    ours = pl.col("id")
    stem = file.str.extract(r"^(.+?)(?:\.[^.]*)?$")
    yield ours, samples.select("sample", name="sample")
    yield ours, samples.select("sample", name="key")
    yield ours, samples.select("sample", name=stem)
    number = stem.str.extract(r"^0*(\d+)$")
    yield ours.str.extract(r"^(\d+?)(?:\.0)?$"), samples.select("sample", name=number)


def _plain(path: pl.Expr) -> pl.Expr:
    return path.str.replace_all("\\", "/", literal=True).str.replace(r"^(\./|/)+", "")


def _without(path: pl.Expr, folders: int) -> pl.Expr:
    return path.str.extract(rf"^(?:[^/]+/){{{folders}}}(.+)$")


def _once(keys: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """Return ``name``, the one ``sample`` that has it, and how many samples have it."""
    wanted = keys.join(asked.select("name").unique(), on="name", how="semi")
    return wanted.group_by("name").agg(
        pl.col("sample").min(), pl.len().cast(pl.UInt32).alias("fits")
    )
