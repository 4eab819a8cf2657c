"""Judge every sample: keep it or not, with all the reasons."""

from collections.abc import Callable
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from imagemill import clusters, expect
from imagemill.config import Section
from imagemill.errors import ConfigError, suggest
from imagemill.tables import VERDICTS


class Config(Section):
    """What counts as a usable image."""

    min_side: Annotated[int, Field(ge=1)]
    """Shorter edge, in pixels; below it an image is ``too_small``."""
    max_aspect: Annotated[float, Field(ge=1)]
    """Longer edge over shorter; above it an image has an ``odd_aspect``."""
    min_sharpness: Annotated[float, Field(ge=0)]
    """Variance of the Laplacian of grey 0..255; below it an image is ``blurred``."""
    min_brightness: Annotated[float, Field(ge=0, le=1)]
    """Mean grey 0..1; below it an image is ``dark``."""
    max_brightness: Annotated[float, Field(ge=0, le=1)]
    """Mean grey 0..1; above it an image is ``bright``."""
    min_entropy: Annotated[float, Field(ge=0, le=8)]
    """Bits of the grey histogram; below it an image has ``low_information``."""
    remove: list[str]
    """Checks whose images are removed."""
    flag: list[str]
    """Checks whose images are kept and flagged."""
    keep_copy: Literal["largest", "sharpest", "all"]
    """Which of several copies stays."""
    on_conflict: Literal["drop", "keep"]
    """Copies under two labels or identities: drop all of them, or treat them as other copies."""
    expect: expect.Photos
    """What every image that is kept must be."""


Check = Callable[[Config], pl.Expr]

CHECKS: dict[str, Check] = {
    "too_small": lambda c: pl.min_horizontal("width", "height") < c.min_side,
    "odd_aspect": lambda c: _aspect() > c.max_aspect,
    "blurred": lambda c: pl.col("sharpness") < c.min_sharpness,
    "dark": lambda c: pl.col("brightness") < c.min_brightness,
    "bright": lambda c: pl.col("brightness") > c.max_brightness,
    "low_information": lambda c: pl.col("entropy") < c.min_entropy,
    "animated": lambda _: (pl.col("frames") > 1) & (pl.col("format") != "TIFF"),  # has pages
    "wrong_extension": lambda _: _wrong_extension(),
    "private_metadata": lambda _: pl.col("gps"),
}
"""Named predicates on ``tables.FACTS``; the name is the reason that people see."""

SUFFIXES: dict[str, list[str]] = {
    "JPEG": ["jpg", "jpeg", "jpe", "jfif"],
    "PNG": ["png", "apng"],
    "GIF": ["gif"],
    "WEBP": ["webp"],
    "BMP": ["bmp", "dib"],
    "TIFF": ["tif", "tiff"],
    "PPM": ["ppm", "pgm", "pbm", "pnm"],
    "MPO": ["mpo", "jpg", "jpeg"],
    "AVIF": ["avif"],
    "JPEG2000": ["jp2", "j2k", "jpx"],
}
"""File suffixes that go with each format."""


def judge(
    samples: pl.DataFrame, facts: pl.DataFrame, pairs: pl.DataFrame, config: Config
) -> pl.DataFrame:
    """Return one verdict for every sample, as ``tables.VERDICTS``."""
    rows = _checked(samples, facts, config).sort("sample")
    rows = _conflicts(rows, pairs, config)
    rows = _copies(rows, pairs, config)
    verdict = pl.when(pl.col("reasons").list.len() == 0).then(pl.lit("keep"))
    return rows.with_columns(verdict.otherwise(pl.lit("remove")).alias("verdict")).select(
        *VERDICTS.columns
    )


IN = pl.col("reasons").list.len() == 0


def _checked(samples: pl.DataFrame, facts: pl.DataFrame, config: Config) -> pl.DataFrame:
    unknown = {*config.remove, *config.flag} - set(CHECKS)
    for name in sorted(unknown):
        raise ConfigError(
            f"clean.remove or clean.flag: {name}: no such check{suggest(name, CHECKS)}"
        )
    known = facts.rename({"reason": "unreadable"}).drop("detail")
    rows = samples.join(known, on="digest", how="left", maintain_order="left")
    merged_in = pl.col("reason").is_null()
    reasons = ["reason", "unreadable", *(_named(name, config) for name in config.remove)]
    flags = [pl.when(merged_in).then(_named(name, config)) for name in config.flag]
    blank = pl.lit([], pl.List(pl.String))
    return rows.with_columns(
        pl.when(merged_in)
        .then(pl.concat_list(reasons).list.drop_nulls())
        .otherwise(pl.concat_list("reason"))
        .alias("reasons"),
        (pl.concat_list(flags).list.drop_nulls() if flags else blank).alias("flags"),
    )


def _named(name: str, config: Config) -> pl.Expr:
    return pl.when(CHECKS[name](config)).then(pl.lit(name))


def _conflicts(rows: pl.DataFrame, pairs: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Remove copies that are said to show different things."""
    if config.on_conflict == "keep":
        return rows
    both = _sample_pairs(rows, pairs)
    said = both.filter(
        pl.col("label_a").ne_missing(pl.col("label_b"))
        | (pl.col("identity_a") != pl.col("identity_b"))  # no identity contradicts none
    )
    wrong = pl.concat([said["a"], said["b"]]).unique()
    return _remove(rows, pl.col("sample").is_in(wrong.implode()), "conflicting_copies")


def _copies(rows: pl.DataFrame, pairs: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Keep the best of several copies. Copies in different given splits are for ``leaks``."""
    if config.keep_copy == "all":
        return rows
    both = _sample_pairs(rows, pairs).filter(pl.col("split_a").eq_missing(pl.col("split_b")))
    area = pl.col("width").cast(pl.Int64) * pl.col("height")
    best = {
        "largest": [area, pl.col("bytes"), pl.col("sharpness")],
        "sharpest": [pl.col("sharpness"), area, pl.col("bytes")],
    }[config.keep_copy]
    ranked = rows.filter(IN).sort([e.neg() for e in best] + [pl.col("sample")])["sample"]
    taken = clusters.stars(ranked.to_list(), both.select("a", "b").iter_rows())
    kept = pl.col("sample").replace_strict(taken, default=None, return_dtype=pl.String)
    rows = rows.with_columns(pl.coalesce(kept, "kept_as").alias("kept_as"))
    return _remove(rows, pl.col("sample").is_in(list(taken)), "duplicate")


def _sample_pairs(rows: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of samples that are still in, from pairs of images and equal bytes."""
    said = rows.filter(IN).select("digest", "sample", "label", "identity", "split")
    left = said.select(pl.col("digest"), pl.exclude("digest").name.suffix("_a"))
    right = said.select(pl.col("digest"), pl.exclude("digest").name.suffix("_b"))
    named = pairs.select("a", "b")
    other = named.join(left, left_on="a", right_on="digest").join(
        right, left_on="b", right_on="digest"
    )
    same = left.join(right, on="digest").filter(pl.col("sample_a") < pl.col("sample_b"))
    return (
        pl.concat([other.drop("a", "b"), same.drop("digest")])
        .rename({"sample_a": "a", "sample_b": "b"})
        .sort("a", "b")
    )


def refuse_unexpected(
    verdicts: pl.DataFrame, samples: pl.DataFrame, facts: pl.DataFrame, config: Config
) -> None:
    """Raise ``GateError`` when a kept image is not what ``config.expect`` says."""
    kept = verdicts.filter(verdict="keep").select("sample")
    known = samples.select("sample", "source", "digest").join(kept, on="sample", how="semi")
    expect.photos(known.join(facts, on="digest", how="left"), config.expect)


def _remove(rows: pl.DataFrame, which: pl.Expr, reason: str) -> pl.DataFrame:
    longer = pl.col("reasons").list.concat(pl.lit([reason], pl.List(pl.String)))
    return rows.with_columns(pl.when(which).then(longer).otherwise("reasons").alias("reasons"))


def _aspect() -> pl.Expr:
    return pl.max_horizontal("width", "height") / pl.min_horizontal("width", "height")


def _wrong_extension() -> pl.Expr:
    suffix = pl.col("key").str.extract(r"\.([^./]+)$").str.to_lowercase()
    known = pl.col("format").replace_strict(SUFFIXES, default=None, return_dtype=pl.List(pl.String))
    return known.is_not_null() & suffix.is_not_null() & ~suffix.is_in(known)


def summary(verdicts: pl.DataFrame) -> str:
    """Return the counts of a judgement in a few lines."""
    kept = verdicts.filter(verdict="keep")
    lines = [f"clean: {len(kept):,} of {len(verdicts):,} samples kept"]
    reasons = verdicts.select(pl.col("reasons").list.explode(empty_as_null=False)).to_series()
    counted = reasons.value_counts(name="count").sort("reasons")
    return "\n".join(
        lines + [f"clean: {count:,} {reason}" for reason, count in counted.iter_rows()]
    )
