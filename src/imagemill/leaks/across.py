"""Pairs of kept samples in different splits that share what must not be shared."""

from typing import Literal

import polars as pl

from imagemill.tables import INVERSE, LEAKS, TRANSFORMS

Method = Literal["exact", "perceptual", "semantic"]
Bond = Literal["copies", "group", "identity"]

BITS = 64
"""Of a perceptual hash: a similarity is the share of them that agree."""

SHARED = ("digest", "group", "identity")
"""Columns whose equal values are a leak, each with its kind in ``KIND_OF``."""

KIND_OF = {"digest": "bytes", "group": "group", "identity": "identity"}


def admitted(
    pairs: pl.DataFrame, methods: list[Method], max_distance: int | None, min_similarity: float
) -> pl.DataFrame:
    """Return those of ``tables.PAIRS`` that these methods find, with ``kind`` and ``method``.

    Equal pixels are found by every method; what people call the same, wherever likeness counts.
    ``distance`` is null where no hashes were compared, ``similarity`` is on the scale of
    ``tables.LEAKS``.
    """
    if "similarity" not in pairs.columns:
        pairs = pairs.with_columns(pl.lit(None, pl.Float32).alias("similarity"))
    near = pl.lit("perceptual" in methods) & (pl.col("tier") == "perceptual")
    if max_distance is not None:
        near &= pl.col("distance") <= max_distance
    said = pl.lit(any(each != "exact" for each in methods)) & (pl.col("tier") == "reviewed")
    akin = pl.lit("semantic" in methods) & (pl.col("similarity") >= min_similarity)
    same = pl.lit(bool(methods)) & (pl.col("tier") == "pixels")
    kind = (
        pl.when(same)
        .then(pl.lit("pixels"))
        .when(near | said)
        .then(pl.lit("perceptual"))
        .when(akin)
        .then(pl.lit("semantic"))
    )
    method = pl.when(same).then(pl.lit(first(methods))).otherwise(kind)
    found = pairs.with_columns(kind.alias("kind"), method.alias("method"))
    return found.filter(pl.col("kind").is_not_null()).with_columns(
        pl.when(method="perceptual").then("distance").alias("distance"),
        _similarity().alias("similarity"),
    )


def first(methods: list[Method]) -> Method | None:
    """Return the plainest of ``methods``: the one that equal files and pixels are found by."""
    return next((each for each in ("exact", "perceptual", "semantic") if each in methods), None)


def _similarity() -> pl.Expr:
    alike = 1 - pl.col("distance") / BITS
    return (
        pl.when(pl.col("kind") == "pixels")
        .then(1.0)
        .when(pl.col("kind") == "perceptual")
        .then(alike)
        .otherwise("similarity")
        .cast(pl.Float32)
    )


def across(
    kept: pl.DataFrame, pairs: pl.DataFrame, together: list[Bond], methods: list[Method]
) -> pl.DataFrame:
    """Return the leaks among ``kept`` samples of ``tables.MANIFEST``, as ``tables.LEAKS``.

    ``pairs`` is what ``admitted`` gave.
    """
    sides = kept.filter(pl.col("split").is_not_null())
    sides = sides.select("sample", "digest", "group", "identity", "split", "label")
    parts = [LEAKS.frame(), _alike(sides, pairs)]
    if methods:
        parts.append(_same(sides, "digest", methods))
    parts += [_same(sides, kind, methods) for kind in ("group", "identity") if kind in together]
    return pl.concat(parts).sort(LEAKS.key)


def straddling(sides: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the samples whose value of ``column`` is found in more than one split."""
    several = sides.filter(pl.col(column).is_not_null() & pl.col(column).is_duplicated())
    spread = several.group_by(column).agg(pl.col("split").n_unique())
    return several.join(spread.filter(pl.col("split") > 1), on=column, how="semi")


def _same(sides: pl.DataFrame, column: str, methods: list[Method]) -> pl.DataFrame:
    """Return each sample with the least one of each other split that has the same ``column``.

    All pairs would be too many: a group may have a hundred thousand images.
    """
    shared = straddling(sides, column).select(column, "sample", "split", "label")
    least = shared.sort("sample").unique([column, "split"], keep="first")
    both = shared.join(least, on=column, suffix="_2").filter(pl.col("split") != pl.col("split_2"))
    equal = column == "digest"
    method = first(methods) if equal else "group"
    marked = both.rename({"sample": "sample_1", "split": "split_1", "label": "label_1"})
    return _oriented(
        marked.with_columns(
            pl.lit(KIND_OF[column]).alias("kind"),
            pl.col(column).alias("shared"),
            pl.lit(method, pl.String).alias("method"),
            pl.lit(0 if method == "perceptual" else None, pl.Int32).alias("distance"),
            pl.lit(1.0 if equal else None, pl.Float32).alias("similarity"),
            pl.lit(None, pl.String).alias("transform"),
            pl.lit(None, pl.Float32).alias("score"),
        )
    ).unique(LEAKS.key)


def _alike(sides: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    named = sides.select("digest", "sample", "split", "label")
    left = named.rename({name: f"{name}_1" for name in named.columns})
    right = named.rename({name: f"{name}_2" for name in named.columns})
    both = pairs.join(left, left_on="a", right_on="digest_1").join(
        right, left_on="b", right_on="digest_2"
    )
    apart = both.filter(pl.col("split_1") != pl.col("split_2"))
    return _oriented(apart.with_columns(pl.lit(None, pl.String).alias("shared")))


def _oriented(both: pl.DataFrame) -> pl.DataFrame:
    """Return pairs of samples 1 and 2 as ``tables.LEAKS``: the lesser one is ``a``."""
    turned = pl.col("sample_1") > pl.col("sample_2")

    def side(name: str, one: str, other: str) -> pl.Expr:
        return pl.when(turned).then(f"{name}_{other}").otherwise(f"{name}_{one}")

    ends = [
        side(name, *order).alias(column)
        for name, columns in ENDS.items()
        for column, order in zip(columns, (("1", "2"), ("2", "1")), strict=True)
    ]
    transform = pl.when(turned).then(inverse(pl.col("transform"))).otherwise("transform")
    said = both.select(
        *ends, "kind", "shared", "method", "distance", "similarity", transform, "score"
    )
    return said.with_columns(pl.lit(None, pl.String).alias("removed")).select(*LEAKS.columns)


ENDS = {
    "sample": ("a", "b"),
    "split": ("split_a", "split_b"),
    "label": ("label_a", "label_b"),
}


def inverse(transform: pl.Expr) -> pl.Expr:
    """Return the transform that undoes another."""
    undone = {name: TRANSFORMS[number] for name, number in zip(TRANSFORMS, INVERSE, strict=True)}
    return transform.replace(undone)
