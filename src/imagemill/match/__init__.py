"""Find the pairs of images that show the same thing, and verify each.

Whether two images are a pair depends on those two alone, so that a build after any edit finds
what a build from nothing finds.
"""

from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from imagemill.config import Section
from imagemill.match import hamming, verify
from imagemill.progress import say
from imagemill.tables import INVERSE, PAIRS, TRANSFORMS

CHUNK = 8192  # candidate pairs verified at a time


class Config(Section):
    """When two images show the same thing."""

    radius: Annotated[int, Field(ge=0, le=16)]
    """Bits of 64 in which the perceptual hashes of a candidate pair may differ."""
    min_score: Annotated[float, Field(ge=-1, le=1)]
    """Verified likeness below which a candidate is no pair."""
    min_texture: Annotated[float, Field(ge=0)]
    """Standard deviation of a thumbnail, 0..255, below which only equal pixels are a match."""


def find(facts: pl.DataFrame, thumbs: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return all verified pairs among distinct readable images, as ``tables.PAIRS``."""
    readable = facts.filter(pl.col("reason").is_null()).sort("digest")
    same = same_pixels(readable)
    alike = perceptual(readable, thumbs, config)
    known = alike.join(same, on=["a", "b"], how="anti")
    say(f"match: {len(same):,} pairs of equal pixels, {len(known):,} verified perceptual pairs")
    return pl.concat([same, known])


def same_pixels(facts: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of images whose upright pixels are equal."""
    left = facts.select("pixels", a="digest")
    right = facts.select("pixels", b="digest")
    pairs = left.join(right, on="pixels").filter(pl.col("a") < pl.col("b"))
    return pairs.select("a", "b").with_columns(
        pl.lit("pixels").alias("tier"),
        pl.lit(0, pl.Int32).alias("distance"),
        pl.lit("none").alias("transform"),
        pl.lit(1.0, pl.Float32).alias("score"),
    )


def perceptual(facts: pl.DataFrame, thumbs: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return the pairs whose hashes are near under a rotation or mirror, and that verify."""
    pictures = _textured(facts.join(thumbs, on="digest", how="inner"), config.min_texture)
    stack = _stack(pictures["thumb"])
    candidates = _candidates(_hashes(pictures["phash"]), config.radius)
    scored = candidates.with_columns(_scores(stack, candidates))
    best = (
        scored.filter(pl.col("score") >= config.min_score)
        .sort("left", "right", pl.col("score").neg(), "distance", "number")
        .unique(["left", "right"], keep="first", maintain_order=True)
    )
    digests = pictures["digest"]
    return best.select(
        digests.gather(best["left"]).alias("a"),
        digests.gather(best["right"]).alias("b"),
        pl.lit("perceptual").alias("tier"),
        pl.col("distance").cast(pl.Int32),
        pl.Series("transform", [TRANSFORMS[n] for n in best["number"]], pl.String),
        pl.col("score"),
    ).select(*PAIRS.columns)


def _textured(pictures: pl.DataFrame, least: float) -> pl.DataFrame:
    spread = _stack(pictures["thumb"]).std(axis=(1, 2))
    return pictures.filter(pl.Series(spread >= least, dtype=pl.Boolean)).sort("digest")


def _stack(thumbs: pl.Series) -> verify.Thumbs:
    flat = np.frombuffer(b"".join(thumbs), np.uint8)
    return flat.reshape(-1, verify.SIDE, verify.SIDE)


def _hashes(phashes: pl.Series) -> NDArray[np.uint64]:
    return np.array(phashes.to_list(), np.uint64).reshape(-1, len(TRANSFORMS))


def _candidates(hashes: NDArray[np.uint64], radius: int) -> pl.DataFrame:
    """Return row numbers of ``left`` < ``right`` that are near under transform ``number``.

    The hash of a turned image is not exactly the turned hash (its median may move), so each pair
    is compared both ways round and the smaller distance counts.
    """
    parts = []
    for number, inverse in enumerate(INVERSE):
        one, other, distance = hamming.within(hashes[:, 0], hashes[:, number], radius)
        swapped = one > other
        found = {
            "left": np.where(swapped, other, one),
            "right": np.where(swapped, one, other),
            "number": np.where(swapped, inverse, number),
            "distance": distance,
        }
        parts.append(pl.DataFrame(found).filter(pl.col("left") != pl.col("right")))
    keys = ["left", "right", "number"]
    return pl.concat(parts).group_by(keys).agg(pl.col("distance").min()).sort(keys)


def _scores(stack: verify.Thumbs, candidates: pl.DataFrame) -> pl.Series:
    found = np.empty(len(candidates), np.float32)
    for number, transform in enumerate(TRANSFORMS):
        rows = np.flatnonzero(candidates["number"].to_numpy() == number)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            left = stack[candidates["left"].to_numpy()[part]]
            right = stack[candidates["right"].to_numpy()[part]]
            found[part] = verify.scores(left, verify.turned(right, transform))
    return pl.Series("score", found)
