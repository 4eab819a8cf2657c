"""Images of a benchmark that lie in this dataset: by bytes, by pixels, by hashes and a sketch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.errors import BuildError
from imagemill.fingerprints import SIGNS_AGREE, Fingerprints, read
from imagemill.fingerprints.sketch import likeness, sketches, thumbnails
from imagemill.leaks.across import BITS, Method, first, inverse
from imagemill.leaks.settings import Config
from imagemill.match.hamming import TooManyError, near
from imagemill.tables import FACTS, LEAKS, THUMBS, TRANSFORMS

MOST = 5_000_000  # pairs with near hashes that are verified: minutes, and a GB

Thumbs = Callable[[pl.Series], pl.DataFrame]
"""Gives ``tables.THUMBS`` of some digests."""

HIT = {
    "digest": pl.String,  # of the image of this dataset
    "file": pl.String,
    "method": pl.String,
    "distance": pl.Int32,
    "transform": pl.String,  # that takes the benchmark's image to this one
    "score": pl.Float32,
}
"""An image of this dataset that is one of the benchmark's."""


@dataclass(frozen=True)
class Benchmarks:
    """What is known of the images of others, and of our own."""

    known: list[Fingerprints]
    """What is known of theirs."""
    measured: Path
    """Folder with ``tables.FACTS`` and ``tables.THUMBS``."""
    methods: list[Method]
    max_distance: int

    @classmethod
    def read(cls, config: Config, root: Path, measured: Path) -> "Benchmarks":
        """Read the fingerprints that the config names. Raises ``BuildError`` where they are not."""
        known = [read(name, root / each.path) for name, each in sorted(config.against.items())]
        return cls(known, measured, config.methods, config.hash_distance)

    def hits(self, kept: pl.DataFrame) -> pl.DataFrame:
        """Return the ``kept`` samples that are among them, as ``tables.LEAKS``."""
        if not self.known:
            return LEAKS.frame()
        facts = pl.read_parquet(self.measured / FACTS.file, columns=MEASURED)
        parts = [
            hits(kept, facts, self._thumbs, theirs, self.methods, self.max_distance)
            for theirs in self.known
        ]
        return pl.concat(parts)

    def _thumbs(self, digests: pl.Series) -> pl.DataFrame:
        seen = pl.scan_parquet(self.measured / THUMBS.file).select("digest", "thumb")
        return seen.filter(pl.col("digest").is_in(digests.implode())).collect()


MEASURED = ["digest", "reason", "pixels", "phash"]
"""Columns of ``tables.FACTS`` that are compared."""


def hits(
    kept: pl.DataFrame,
    facts: pl.DataFrame,
    thumbs: Thumbs,
    theirs: Fingerprints,
    methods: list[Method],
    max_distance: int,
) -> pl.DataFrame:
    """Return the ``kept`` samples that are among ``theirs``, as ``tables.LEAKS`` of kind against.

    ``facts`` has the columns ``MEASURED``. Of several of their images that a sample is, the one
    with the surest method and the best score counts.
    """
    ours = facts.join(kept.select("digest").unique(), on="digest", how="semi").sort("digest")
    parts = [pl.DataFrame(schema=HIT), *_equal(ours, theirs.rows, methods)]
    if "perceptual" in methods and theirs.pictured:
        parts.append(_alike(ours, thumbs, theirs, max_distance))
    surest = pl.col("method").replace_strict({"exact": 0, "perceptual": 1, "semantic": 2})
    found = pl.concat(parts).sort("digest", surest, pl.col("score").neg(), "distance", "file")
    best = found.unique("digest", keep="first", maintain_order=True)
    return _named(kept, best, theirs.name)


def _equal(ours: pl.DataFrame, theirs: pl.DataFrame, methods: list[Method]) -> list[pl.DataFrame]:
    by = [("digest", "digest"), ("digest", "packaged"), ("pixels", "pixels")]
    method = first(methods)
    if method is None:
        return []
    found = []
    for mine, their in by:
        known = theirs.filter(pl.col(their).is_not_null()).select("file", _key=their)
        both = ours.select("digest", _key=mine).join(known, on="_key")
        found.append(
            both.select(
                "digest",
                "file",
                pl.lit(method).alias("method"),
                pl.lit(0 if method == "perceptual" else None, pl.Int32).alias("distance"),
                pl.lit("none").alias("transform"),
                pl.lit(1.0, pl.Float32).alias("score"),
            )
        )
    return found


def _alike(
    ours: pl.DataFrame, thumbs: Thumbs, theirs: Fingerprints, max_distance: int
) -> pl.DataFrame:
    """Return the pairs whose hashes are near under a transform and whose sketches agree."""
    readable = ours.filter(pl.col("reason").is_null()).select("phash", name="digest")
    known = theirs.rows.filter(pl.col("sketch").is_not_null()).select("phash", "sketch", "file")
    try:
        close = _near(readable, known.rename({"file": "name"}), max_distance)
    except TooManyError as error:
        raise BuildError(
            f"leaks.against.{theirs.name}: more than {MOST:,} pairs of images have near hashes. "
            "Lower `leaks.max_distance`."
        ) from error
    seen = thumbs(close["ours"].unique().sort())
    pairs = close.join(seen.select(ours="digest", thumb="thumb"), on="ours").join(
        known.select("sketch", theirs="file"), on="theirs"
    )
    scored = pairs.with_columns(pl.Series("score", _scores(pairs), pl.Float32))
    return scored.filter(pl.col("score") >= SIGNS_AGREE).select(
        pl.col("ours").alias("digest"),
        pl.col("theirs").alias("file"),
        pl.lit("perceptual").alias("method"),
        pl.col("distance").cast(pl.Int32),
        "transform",
        "score",
    )


def _near(ours: pl.DataFrame, theirs: pl.DataFrame, radius: int) -> pl.DataFrame:
    """Return ours, theirs, distance, transform of the pairs within ``radius`` bits.

    The hash of a turned picture is not exactly the turned hash, so both are tried.
    """
    forth = _within(ours, _upright(theirs), radius)
    back = _within(theirs, _upright(ours), radius)
    undone = inverse(pl.col("transform")).alias("transform")
    both = pl.concat(
        [
            forth.select(undone, "distance", ours="many", theirs="one"),
            back.select("transform", "distance", ours="one", theirs="many"),
        ]
    )
    return both.group_by("ours", "theirs", "transform").agg(pl.col("distance").min())


def _upright(images: pl.DataFrame) -> pl.DataFrame:
    return images.select("name", hash=pl.col("phash").list.first())


def _within(many: pl.DataFrame, one: pl.DataFrame, radius: int) -> pl.DataFrame:
    """Return the pairs of an image of ``many``, under a transform, and one of ``one``."""
    turned = many.select(
        pl.col("name").alias("many"),
        pl.col("phash").alias("hash"),
        pl.lit(list(TRANSFORMS)).alias("transform"),
    ).explode("hash", "transform", empty_as_null=False)
    base, query = _distinct(turned["hash"]), _distinct(one["hash"])
    left, right, distance = near(base, query, radius, MOST)
    found = pl.DataFrame({"hash": base[left], "hash_2": query[right], "distance": distance})
    named = one.select(one="name", hash_2="hash")
    pairs = found.join(turned, on="hash").join(named, on="hash_2")
    return pairs.select("many", "one", "transform", pl.col("distance").cast(pl.Int32))


def _distinct(hashes: pl.Series) -> NDArray[np.uint64]:
    return hashes.unique().sort().to_numpy()


def _scores(pairs: pl.DataFrame) -> NDArray[np.float32]:
    """Return the likeness of each pair: our thumbnail, turned as theirs is, and their sketch."""
    scores = np.zeros(len(pairs), np.float32)
    back = pairs.select(inverse(pl.col("transform"))).to_series()
    for number, transform in enumerate(TRANSFORMS):
        at = np.flatnonzero(back == transform)
        if not len(at):
            continue
        some = pairs[at]
        flat = thumbnails(some["thumb"])
        mirrored = flat[:, :, ::-1] if number >= len(TRANSFORMS) // 2 else flat
        own = sketches(np.ascontiguousarray(np.rot90(mirrored, number % 4, axes=(1, 2))))
        their = np.frombuffer(b"".join(some["sketch"]), np.uint8).reshape(own.shape)
        scores[at] = likeness(own, their)
    return scores


def _named(kept: pl.DataFrame, best: pl.DataFrame, name: str) -> pl.DataFrame:
    known = kept.select("digest", "sample", "split", "label").join(best, on="digest")
    alike = 1 - pl.col("distance") / BITS
    rows = known.select(
        pl.col("sample").alias("a"),
        pl.format("{}:{}", pl.lit(name), "file").alias("b"),
        pl.col("split").alias("split_a"),
        pl.lit(name).alias("split_b"),
        pl.col("label").alias("label_a"),
        pl.lit(None, pl.String).alias("label_b"),
        pl.lit("against").alias("kind"),
        pl.lit(None, pl.String).alias("shared"),
        "method",
        "distance",
        pl.when(method="perceptual")
        .then(alike)
        .otherwise(1.0)
        .cast(pl.Float32)
        .alias("similarity"),
        "transform",
        "score",
        pl.lit(None, pl.String).alias("removed"),
    )
    return rows.select(*LEAKS.columns).sort(LEAKS.key)
