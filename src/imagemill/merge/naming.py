"""File names in the package: those of the sources, made unique where they collide."""

import polars as pl

from imagemill.merge.marks import IN

LONGEST = 180  # bytes of a file name's stem, so that suffix, source and hash fit into 255


def named(rows: pl.DataFrame) -> pl.DataFrame:
    """Add file names without suffix, unique within a split and label; none to what is out.

    Samples that share a name get their source appended, then, where that is shared as well, the
    beginning of their content hash. Case does not count, nor how an accent is written: some file
    systems ignore them.
    """
    stem, sourced, hashed = _levels()
    kept = rows.filter(IN).with_columns(stem.alias("name"))
    crowded = kept.select("split", "label", _shared=_shared())  # apart, or it is worked out a class
    within = crowded.select(pl.col("_shared").any().over("split", "label")).to_series()
    free, rest = kept.filter(~within), kept.filter(within)
    for level in (sourced, hashed, hashed):  # the last for one that looks like a hashed one
        rest = rest.with_columns(pl.when(_shared()).then(level).otherwise("name").alias("name"))
    unnamed = rows.filter(~IN).with_columns(pl.lit(None, pl.String).alias("name"))
    return pl.concat([free, rest, unnamed])


def _levels() -> list[pl.Expr]:
    """Return the names to try, each longer and less likely to be shared."""
    stem = pl.col("key").str.extract(r"([^/]+?)(?:\.[^./]*)?$")
    long = stem.str.len_bytes() > LONGEST
    short = pl.when(long).then(stem.str.head(LONGEST // 4)).otherwise(stem)
    sourced = pl.format("{}_{}", short, "source")
    hashed = pl.format("{}_{}", sourced, pl.col("digest").str.head(16))
    return [pl.when(long).then(hashed).otherwise(each) for each in (stem, sourced, hashed)]


def _shared() -> pl.Expr:
    name = pl.col("name").str.normalize("NFKC").str.to_lowercase()
    return pl.len().over("split", "label", name) > 1
