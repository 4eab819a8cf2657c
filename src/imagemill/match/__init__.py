"""Find the pairs of images that show the same thing, and verify each.

Whether two images are a pair depends on those two alone, so that a build after any edit finds
what a build from nothing finds, and what earlier builds compared need not be compared again.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.calibration import Calibration, Settings
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.match import search, vectors, verify
from imagemill.match.hamming import TooManyError
from imagemill.match.known import Known
from imagemill.match.likely import LIKELY, likely
from imagemill.match.pictures import Held, Measured, Pictures, pictures, unpacked
from imagemill.match.settings import Config
from imagemill.memo import fingerprint
from imagemill.progress import progress, say
from imagemill.tables import INVERSE, PAIRS, TRANSFORMS

VERSION = 4  # of pairs and scores; raise it when the code here gives others
MOST = 20_000_000  # pairs that a build can work with: a few GB
CANDIDATES = 50_000_000  # of one hint, that a build can verify: hours, and a few GB
BATCH = 1024  # candidates that a worker verifies at a time: 5 MB, a second's work

PAIRED = {**LIKELY, "score": pl.Float32}
"""Candidates with the score of their verification."""


__all__ = ["Config", "Measured", "batch", "effective", "find", "known", "made_for", "scored"]


def known(root: Path, config: Config) -> Known:
    """Return what the memo in ``root`` remembers of matching under this config."""
    settings = config.model_dump(mode="json", exclude={"calibration"})
    parts = {"numpy": np.__version__, **settings}
    return Known(root, fingerprint("match", VERSION, **parts))


def made_for(config: Config) -> Settings:
    """Return what a calibration under ``config`` is made for: all but what it finds out."""
    settings = config.model_dump(mode="json", exclude={"calibration", "min_score"})
    models = config.calibration.model_dump(mode="json", exclude={"file"})
    return {"version of match": VERSION, **settings, **models}


def effective(config: Config, found: Calibration | None) -> Config:
    """Return ``config`` with the threshold that was ``found``, if any."""
    return config if found is None else config.model_copy(update={"min_score": found.min_score})


def find(measured: Measured, config: Config, remembered: Known, engine: Engine) -> pl.DataFrame:
    """Return all verified pairs among distinct readable images, as ``tables.PAIRS``.

    Only pairs with a picture that ``remembered`` does not know are looked for, and all are added
    to it. Raises ``BuildError`` when they are too many to work with.
    """
    facts = measured.facts.filter(pl.col("reason").is_null()).sort("digest")
    readable = measured._replace(facts=facts)
    same = same_pixels(facts)
    alike = verified(readable, config, remembered, engine)
    known = alike.join(same, on=["a", "b"], how="anti")
    tiers = sorted(known["tier"].value_counts().iter_rows())
    found = ", ".join(f"{count:,} verified {tier}" for tier, count in tiers)
    say(f"match: {len(same):,} pairs of equal pixels, {found or 'no other'} pairs")
    pairs = pl.concat([same, known]).sort("a", "b")
    return pairs.with_columns(_similarity(pairs, measured.embeddings)).select(*PAIRS.columns)


def _similarity(pairs: pl.DataFrame, embeddings: pl.DataFrame) -> pl.Series:
    """Return the cosine of the embeddings of each pair, to 4 decimals; null where one is none."""
    sides = [
        pairs.select(digest=side).join(embeddings, on="digest", how="left", maintain_order="left")
        for side in ("a", "b")
    ]
    rows = (sides[0]["embedding"].is_not_null() & sides[1]["embedding"].is_not_null()).arg_true()
    found = np.full(len(pairs), np.nan, np.float32)
    if len(rows):
        left, right = (unpacked(side["embedding"].gather(rows)) for side in sides)
        found[rows.to_numpy()] = vectors.cosines(left, right)
    return pl.Series("similarity", found, pl.Float32).fill_nan(None)


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


def verified(measured: Measured, config: Config, remembered: Known, engine: Engine) -> pl.DataFrame:
    """Return the pairs that something hints at and that verify, as ``PAIRS`` but ``similarity``."""
    shown = pictures(measured, config.min_texture)
    names = shown.names.to_frame("digest").with_row_index("row").cast({"row": pl.Int64})
    known = names.join(remembered.best(shown.names), on="digest", how="left", maintain_order="left")
    new = known.filter(pl.col("near").is_null())["row"].to_numpy()
    found = pl.concat([_remembered(known), _verified(shown, new, config, engine)])
    if len(new):
        remembered.keep(_near_by_name(found, names))
    say(f"match: {len(names):,} pictures: {len(new):,} compared, {len(names) - len(new):,} known")
    return _of_images(found, shown.digests)


def _remembered(known: pl.DataFrame) -> pl.DataFrame:
    """Return the remembered pairs, as ``PAIRED``, of pictures that are there."""
    rows = known.select(left="row", near="near").filter(pl.col("near").list.len() > 0)
    pairs = rows.explode("near").unnest("near")
    names = known.select(name="digest", right="row")
    return pairs.join(names, on="name").select(*PAIRED)


def _near_by_name(pairs: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Return every picture with its ``PAIRED``, in the form of ``known.SCHEMA``."""
    others = names.select(name="digest", right="row")
    named = pairs.join(others, on="right").sort("left", "right")
    told = ("name", "number", "distance", "semantic", "score")
    near = named.group_by("left").agg(near=pl.struct(*told))
    rows = names.join(near, left_on="row", right_on="left", how="left").sort("digest")
    return rows.select("digest", pl.col("near").fill_null([]))


def _verified(
    shown: Pictures, new: NDArray[np.int64], config: Config, engine: Engine
) -> pl.DataFrame:
    """Return the likely pairs with a ``new`` picture that verify, as ``PAIRED``.

    Of the transforms under which two pictures do, the best score counts; they are a semantic pair
    where nothing but their embeddings hinted at one that verifies.
    """
    try:
        near = likely(shown, new, config, CANDIDATES)
    except TooManyError as error:
        raise BuildError(
            f"match: more than {CANDIDATES:,} pairs of images may be copies, many of them look "
            f"like image {shown.digests[error.index][0]}. Leave such images out with "
            "`sources.<name>.exclude`, raise `match.min_texture`, `match.min_colours` or "
            "`match.min_similarity`, or lower `match.radius` or `match.keypoint_radius`."
        ) from error
    each = pl.concat([pl.DataFrame(schema=PAIRED), *scored(shown, near, engine)])
    verified = each.filter(pl.col("score") >= config.min_score)
    best = verified.sort("left", "right", pl.col("score").neg(), "distance", "number")
    best = best.with_columns(pl.col("semantic").all().over("left", "right"))
    return best.unique(["left", "right"], keep="first", maintain_order=True)


def scored(shown: Pictures, near: pl.DataFrame, engine: Engine) -> Iterator[pl.DataFrame]:
    """Yield the candidates with their scores, in batches of one transform."""
    parts = [
        part
        for _, each in near.group_by("number", maintain_order=True)
        for part in each.iter_slices(BATCH)
    ]
    held = shown.held(pl.concat([near["left"], near["right"]]).to_numpy())
    batches = (batch(shown, held, part) for part in parts)
    with progress("match", len(near), "candidates") as advance:
        results = engine.map(verify.scores, batches if len(parts) > 1 else list(batches))
        for part, scores in zip(parts, results, strict=True):
            yield part.with_columns(pl.Series("score", scores)).select(*PAIRED)
            advance(len(part))


def batch(shown: Pictures, held: Held, part: pl.DataFrame) -> verify.Batch:
    """Return what verifies some candidates of one transform, whose pictures are ``held``."""
    one, other = (part[side].to_numpy() for side in ("left", "right"))
    number = int(part["number"][0])
    wide = shown.aspects[other]
    stretch = search.stretches(shown.aspects[one], 1 / wide if number % 2 else wide)
    return verify.Batch(held.stack(one), held.stack(other), TRANSFORMS[number], stretch)


def _of_images(pairs: pl.DataFrame, digests: pl.Series) -> pl.DataFrame:
    """Return the pairs of images, as ``tables.PAIRS``, for pairs of the pictures they have."""
    members = digests.to_frame("one").with_row_index("at").cast({"at": pl.Int64})
    both = pl.concat([pairs, _equal(members)]).join(members, left_on="left", right_on="at")
    both = both.join(members.rename({"one": "other"}), left_on="right", right_on="at")
    product = pl.col("one").list.len().cast(pl.Int64) * pl.col("other").list.len()
    _refuse_too_many(both.select(pl.col("one").list.first().alias("digest"), pairs=product))
    each = both.explode("one", empty_as_null=False).explode("other", empty_as_null=False)
    # Among images of one picture, every pair comes both ways round.
    each = each.filter((pl.col("left") != pl.col("right")) | (pl.col("one") < pl.col("other")))
    return each.select(
        pl.min_horizontal("one", "other").alias("a"),
        pl.max_horizontal("one", "other").alias("b"),
        pl.when("semantic").then(pl.lit("semantic")).otherwise(pl.lit("perceptual")).alias("tier"),
        pl.col("distance").cast(pl.Int32),
        _transform(turned=pl.col("one") > pl.col("other")).alias("transform"),
        pl.col("score"),
    )


def _equal(members: pl.DataFrame) -> pl.DataFrame:
    """Return the pictures that several images have, each as a pair with itself, as ``PAIRED``."""
    shared = members.filter(pl.col("one").list.len() > 1)
    zero = pl.lit(0, pl.Int64)
    return shared.select(
        left="at",
        right="at",
        number=zero,
        distance=zero,
        semantic=pl.lit(value=False),
        score=pl.lit(1, pl.Float32),
    )


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
