"""Find the pairs of images that show the same thing, and verify each.

Whether two images are a pair depends on those two alone, so that a build after any edit finds
what a build from nothing finds.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from imagemill.config import Section
from imagemill.errors import BuildError
from imagemill.match import hamming, verify
from imagemill.progress import say
from imagemill.tables import INVERSE, PAIRS, TRANSFORMS

MOST = 20_000_000  # pairs that a build can work with: a few GB


class Config(Section):
    """When two images show the same thing."""

    radius: Annotated[int, Field(ge=0, le=16)]
    """Bits of 64 in which the perceptual hashes of a candidate pair may differ."""
    min_score: Annotated[float, Field(ge=-1, le=1)]
    """Verified likeness below which a candidate is no pair."""
    min_texture: Annotated[float, Field(ge=0)]
    """Standard deviation of a thumbnail, 0..255, below which only equal pixels are a match."""


def find(facts: pl.DataFrame, thumbs: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return all verified pairs among distinct readable images, as ``tables.PAIRS``.

    Raises ``BuildError`` when they are too many to work with.
    """
    readable = facts.filter(pl.col("reason").is_null()).sort("digest")
    same = same_pixels(readable)
    alike = perceptual(readable, thumbs, config)
    known = alike.join(same, on=["a", "b"], how="anti")
    say(f"match: {len(same):,} pairs of equal pixels, {len(known):,} verified perceptual pairs")
    return pl.concat([same, known]).sort("a", "b")


def same_pixels(facts: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of images whose upright pixels are equal."""
    sets = facts.group_by("pixels").agg(pl.len().cast(pl.Int64), pl.col("digest").min())
    _refuse_too_many(sets.select("digest", pairs=pl.col("len") * (pl.col("len") - 1) // 2))
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
    pictures = _pictures(facts.join(thumbs, on="digest", how="inner"), config.min_texture)
    hashes = pictures["phash"].explode().to_numpy().reshape(-1, len(TRANSFORMS))
    found = pl.concat(_verified(_stack(pictures["thumb"]), hashes, config))
    best = found.sort("left", "right", pl.col("score").neg(), "distance", "number").unique(
        ["left", "right"], keep="first", maintain_order=True
    )
    return _of_images(best, pictures["digests"])


def _pictures(images: pl.DataFrame, least: float) -> pl.DataFrame:
    """Return one row a distinct thumbnail that has texture, with its hashes and images.

    Sorted by thumbnail: hash, score and which of two comes first depend on nothing else.
    """
    distinct = images.group_by("thumb").agg(
        pl.col("phash").first(), pl.col("digest").sort().alias("digests")
    )
    spread = verify.texture(_stack(distinct["thumb"]))
    return distinct.filter(pl.Series(spread >= least, dtype=pl.Boolean)).sort("thumb")


def _stack(thumbs: pl.Series) -> verify.Thumbs:
    flat = np.frombuffer(b"".join(thumbs), np.uint8)
    return flat.reshape(-1, verify.SIDE, verify.SIDE)


_NEAR = {"left": pl.Int64, "right": pl.Int64, "number": pl.Int64, "distance": pl.Int64}


def _verified(
    stack: verify.Thumbs, hashes: NDArray[np.uint64], config: Config
) -> Iterator[pl.DataFrame]:
    """Yield the near pictures that verify: ``right`` under transform ``number`` is ``left``.

    A picture is near itself: several images may have it.
    """
    own = np.arange(len(stack))
    alone = {"left": own, "right": own, "number": 0 * own, "distance": 0 * own}
    for part in (pl.DataFrame(alone, _NEAR), *_near(hashes, config.radius)):
        scored = part.with_columns(_scores(stack, part))
        yield scored.filter(pl.col("score") >= config.min_score)


def _near(hashes: NDArray[np.uint64], radius: int) -> Iterator[pl.DataFrame]:
    """Yield row numbers ``left`` < ``right`` that are near under transform ``number``, each once.

    The hash of a turned image is not exactly the turned hash (its median may move), so each pair
    is compared both ways round and the smaller distance counts.
    """
    for number, inverse in enumerate(INVERSE):
        for one, other, distance in hamming.near(hashes[:, 0], hashes[:, number], radius):
            back = np.bitwise_count(hashes[other, 0] ^ hashes[one, inverse]).astype(np.int64)
            swapped = one > other
            found = {
                "left": np.where(swapped, other, one),
                "right": np.where(swapped, one, other),
                "number": np.where(swapped, inverse, number),
                "distance": np.minimum(distance, back),
            }
            # What is near both ways round comes twice; the swapped one is left out.
            once = (one != other) & ~(swapped & (back <= radius))
            yield pl.DataFrame(found, _NEAR).filter(pl.Series(once))


def _scores(stack: verify.Thumbs, near: pl.DataFrame) -> pl.Series:
    found = np.empty(len(near), np.float32)
    left, right = near["left"].to_numpy(), near["right"].to_numpy()
    for number, transform in enumerate(TRANSFORMS):
        rows = np.flatnonzero(near["number"].to_numpy() == number)
        found[rows] = verify.scores(stack, left[rows], right[rows], transform)
    return pl.Series("score", found)


def _of_images(pairs: pl.DataFrame, digests: pl.Series) -> pl.DataFrame:
    """Return the pairs of images, as ``tables.PAIRS``, for pairs of the pictures they have."""
    members = digests.to_frame("one").with_row_index("at").cast({"at": pl.Int64})
    others = members.rename({"one": "other"})
    both = pairs.join(members, left_on="left", right_on="at")
    both = both.join(others, left_on="right", right_on="at")
    product = pl.col("one").list.len().cast(pl.Int64) * pl.col("other").list.len()
    _refuse_too_many(both.select(pl.col("one").list.first().alias("digest"), pairs=product))
    each = both.explode("one", empty_as_null=False).explode("other", empty_as_null=False)
    # Among images of one picture, every pair comes both ways round.
    each = each.filter((pl.col("left") != pl.col("right")) | (pl.col("one") < pl.col("other")))
    return each.select(
        pl.min_horizontal("one", "other").alias("a"),
        pl.max_horizontal("one", "other").alias("b"),
        pl.lit("perceptual").alias("tier"),
        pl.col("distance").cast(pl.Int32),
        _transform(turned=pl.col("one") > pl.col("other")).alias("transform"),
        pl.col("score"),
    ).select(*PAIRS.columns)


def _transform(turned: pl.Expr) -> pl.Expr:
    forth = dict(enumerate(TRANSFORMS))
    back = {number: TRANSFORMS[inverse] for number, inverse in enumerate(INVERSE)}
    name = pl.col("number")
    return (
        pl.when(turned)
        .then(name.replace_strict(back, return_dtype=pl.String))
        .otherwise(name.replace_strict(forth, return_dtype=pl.String))
    )


def _refuse_too_many(sets: pl.DataFrame) -> None:
    """Take the number of ``pairs`` for the image ``digest`` a row."""
    total = int(sets["pairs"].sum())
    if total > MOST:
        worst = sets.group_by("digest").agg(pl.col("pairs").sum()).sort("pairs", "digest")
        raise BuildError(
            f"match: {total:,} pairs of images look the same, more than {MOST:,}; most of them "
            f"look like image {worst['digest'][-1]}. Leave such images out with "
            "`sources.<name>.exclude`, or raise `match.min_texture` or `match.min_score`."
        )
