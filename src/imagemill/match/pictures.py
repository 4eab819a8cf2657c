"""The pictures to compare: what differs in what is compared, whatever the files."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from imagemill.match import verify
from imagemill.match.search import OCTAVE
from imagemill.match.votes import Points
from imagemill.tables import (
    COLOURS_SIDE,
    EMBEDDINGS,
    FACTS,
    KEYPOINTS,
    THUMB_SIDE,
    THUMBS,
    TRANSFORMS,
)

TINY = 64  # pixels of the longer side below which hashes tell little, and colours tell more
SPECK = 3  # pixels of the shorter side that show nothing: any two such images look alike enlarged
ANY = 1e-6  # standard deviation of a thumbnail of more than one grey, at least

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


class Measured(NamedTuple):
    """What ``measure`` wrote; only images in ``facts`` that can be read count."""

    facts: pl.DataFrame
    thumbs: pl.LazyFrame
    """Large, and so read only for the images that are verified."""
    embeddings: pl.DataFrame
    """No rows where no model is chosen."""
    keypoints: pl.DataFrame
    """No rows where none are wanted."""

    @classmethod
    def read(cls, folder: Path) -> "Measured":
        """Read the tables that ``measure`` wrote to ``folder``."""
        thumbs = pl.scan_parquet(folder / THUMBS.file)
        return cls(FACTS.read(folder), thumbs, EMBEDDINGS.read(folder), KEYPOINTS.read(folder))


@dataclass(frozen=True)
class Held:
    """The thumbnails of some pictures."""

    rows: Rows
    """Of the pictures, in order."""
    thumbs: pl.Series

    def stack(self, rows: Rows) -> verify.Thumbs:
        """Return the thumbnails of some of them, (rows, 48, 48)."""
        thumbs = self.thumbs.gather(np.searchsorted(self.rows, rows))
        return np.frombuffer(b"".join(thumbs), np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE)


@dataclass(frozen=True)
class Pictures:
    """Distinct pictures with texture, sorted by name; all columns are of one length."""

    names: pl.Series
    """A hash, 16 bytes, of all below but the digests: what is compared, and nothing else."""
    digests: pl.Series
    """The images, sorted, that have the picture."""
    hashes: Hashes
    """Perceptual hashes, (n, 8)."""
    aspects: NDArray[np.float64]
    """Width over height, to an eighth of an octave, of the images: (n,)."""
    thumbs: pl.LazyFrame
    """The thumbnails of all images."""
    points: Points
    """Keypoints."""
    embeddings: NDArray[np.float16]
    """(n, d), of length 1; d is 0 where there are none."""
    tiny: Rows
    """The pictures whose images are at most ``TINY`` pixels a side."""
    colours: NDArray[np.float32]
    """Of those: what differs from the mean of a channel, of length 1; (tiny, 8, 8, 3)."""

    def held(self, rows: Rows) -> Held:
        """Read the thumbnails of some pictures, named once or more often."""
        once = np.unique(rows)
        owners = self.digests.list.first()
        return Held(once, column(self.thumbs, "thumb", owners.gather(once)))


def column(looks: pl.LazyFrame, name: str, digests: pl.Series) -> pl.Series:
    """Return what ``looks`` has in a column for images that it has, in their order."""
    wanted = pl.col("digest").is_in(digests.unique().implode())
    found = looks.filter(wanted).select("digest", name).collect(engine="streaming")
    asked = digests.rename("digest").to_frame()
    return asked.join(found, on="digest", how="left", maintain_order="left")[name]


def pictures(measured: Measured, least: float) -> Pictures:
    """Return the distinct pictures of the readable images.

    Left out are those with a standard deviation of the thumbnail below ``least``, those of one grey
    only, and those of ``SPECK`` pixels and less.
    """
    wanted = measured.facts.filter(
        pl.col("texture") >= max(least, ANY), pl.min_horizontal("width", "height") > SPECK
    )
    named = _named(wanted, measured)
    distinct = named.group_by("name").agg(pl.exclude("digest").first(), pl.col("digest").sort())
    distinct = distinct.sort("name")
    tiny = np.flatnonzero(distinct["tiny"])
    return Pictures(
        names=distinct["name"],
        digests=distinct["digest"],
        hashes=_hashes(distinct),
        aspects=np.exp2(distinct["octaves"].to_numpy() / OCTAVE),
        thumbs=measured.thumbs,
        points=_points(distinct),
        embeddings=unpacked(distinct["embedding"]),
        tiny=tiny,
        colours=_colours(
            column(measured.thumbs, "colours", distinct["digest"].list.first().gather(tiny))
        ),
    )


def _named(wanted: pl.DataFrame, measured: Measured) -> pl.DataFrame:
    """Return what is compared of the images ``wanted``, and a name for it."""
    octaves = OCTAVE * np.log2(wanted["width"].to_numpy() / wanted["height"].to_numpy())
    rows = wanted.select(
        "digest",
        "phash",
        "prints",
        tiny=pl.max_horizontal("width", "height") <= TINY,
        octaves=pl.Series(np.rint(octaves).astype(np.int64)),
    )
    for table in (measured.embeddings, measured.keypoints):
        rows = rows.join(table, on="digest", how="left", maintain_order="left")
    compared = rows.select("prints", "tiny", "octaves", "embedding", "hashes", "mirrored", "places")
    names = [
        xxh3_128_digest(b"%b %d %d " % (prints, tiny, octaves) + b"".join(filter(None, more)))
        for prints, tiny, octaves, *more in compared.iter_rows()
    ]
    return rows.with_columns(pl.Series("name", names, pl.Binary))


def _hashes(rows: pl.DataFrame) -> Hashes:
    return rows["phash"].explode(empty_as_null=False).to_numpy().reshape(-1, len(TRANSFORMS))


def _points(rows: pl.DataFrame) -> Points:
    counts = rows["hashes"].bin.size().fill_null(0).to_numpy() // 8
    places = np.frombuffer(b"".join(rows["places"].drop_nulls()), "<f2")
    return Points(
        owner=np.repeat(np.arange(len(rows)), counts),
        hashes=np.frombuffer(b"".join(rows["hashes"].drop_nulls()), "<u8"),
        mirrored=np.frombuffer(b"".join(rows["mirrored"].drop_nulls()), "<u8"),
        places=places.reshape(-1, 4).astype(np.float32),
    )


def unpacked(embeddings: pl.Series) -> NDArray[np.float16]:
    """Return ``tables.EMBEDDINGS.embedding`` as an array, (n, d); (n, 0) where some are missing."""
    if embeddings.null_count() or embeddings.is_empty():
        return np.empty((len(embeddings), 0), np.float16)
    return np.frombuffer(b"".join(embeddings), "<f2").reshape(len(embeddings), -1)


def _colours(colours: pl.Series) -> NDArray[np.float32]:
    flat = np.frombuffer(b"".join(colours), np.uint8).astype(np.float32)
    levels = flat.reshape(len(colours), COLOURS_SIDE, COLOURS_SIDE, 3)
    levels -= levels.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((levels**2).sum(axis=(1, 2, 3), keepdims=True))
    levels /= np.maximum(length, np.float32(1e-3))
    return levels
