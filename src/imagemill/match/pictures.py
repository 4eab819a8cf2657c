"""The pictures to compare: what differs in what is compared, whatever the files."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.match import verify
from imagemill.match.search import OCTAVE
from imagemill.match.votes import Points
from imagemill.tables import COLOURS_SIDE, THUMB_SIDE, TRANSFORMS

TINY = 64  # pixels of the longer side below which hashes tell little, and colours tell more
CHUNK = 1 << 15  # thumbnails worked on at a time: 75 MB
ANY = 1e-6  # standard deviation of a thumbnail of more than one grey, at least

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


class Measured(NamedTuple):
    """What ``measure`` wrote; only images in ``facts`` that can be read count."""

    facts: pl.DataFrame
    thumbs: pl.DataFrame
    embeddings: pl.DataFrame
    """No rows where no model is chosen."""
    keypoints: pl.DataFrame
    """No rows where none are wanted."""


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
    places: Rows
    """Where the thumbnail is in ``thumbs``, which is large and so not copied."""
    thumbs: pl.Series
    """Bytes of the thumbnails of all images."""
    points: Points
    """Keypoints."""
    embeddings: NDArray[np.float16]
    """(n, d), of length 1; d is 0 where there are none."""
    tiny: Rows
    """The pictures whose images are at most ``TINY`` pixels a side."""
    colours: NDArray[np.float32]
    """Of those: what differs from the mean of a channel, of length 1; (tiny, 8, 8, 3)."""

    def stack(self, rows: Rows) -> verify.Thumbs:
        """Return some of the thumbnails, (rows, 48, 48)."""
        return _stack(self.thumbs.gather(self.places[rows]))


def pictures(measured: Measured, least: float) -> Pictures:
    """Return the distinct pictures of the readable images.

    Left out are those with a standard deviation of the thumbnail below ``least``, and those of one
    grey only.
    """
    facts, thumbs = measured.facts, measured.thumbs
    hashed = facts.select("digest").with_row_index("at")
    images = thumbs.select("digest").with_row_index("place").join(hashed, on="digest", how="left")
    spread = pl.Series(_texture(thumbs["thumb"]))
    wanted = images.filter(images["at"].is_not_null() & (spread >= max(least, ANY)))
    named = _named(wanted, measured)
    distinct = named.group_by("name").agg(
        pl.col("place", "at", "hashes", "mirrored", "places", "embedding", "colours").first(),
        pl.col("digest").sort(),
    )
    distinct = distinct.sort("name")
    at = distinct["at"].to_numpy()
    longer = facts.select(pl.max_horizontal("width", "height")).to_series()
    tiny = np.flatnonzero(longer[at] <= TINY)
    return Pictures(
        names=distinct["name"],
        digests=distinct["digest"],
        hashes=_hashes(facts)[at],
        aspects=_aspects(facts)[at],
        places=distinct["place"].to_numpy().astype(np.int64),
        thumbs=thumbs["thumb"],
        points=_points(distinct),
        embeddings=unpacked(distinct["embedding"]),
        tiny=tiny,
        colours=_colours(distinct["colours"].gather(tiny)),
    )


def _named(wanted: pl.DataFrame, measured: Measured) -> pl.DataFrame:
    """Return ``wanted`` with all that is compared of an image, and a name for it."""
    colours = measured.thumbs.select("digest", "colours")
    rows = wanted.select("digest", "place", "at")
    for table in (measured.embeddings, measured.keypoints, colours):
        rows = rows.join(table, on="digest", how="left", maintain_order="left")
    at = rows["at"].to_numpy()
    steps = np.rint(OCTAVE * np.log2(_aspects(measured.facts)[at])).astype(np.int64)
    codes = np.column_stack([_hashes(measured.facts)[at], steps.view(np.uint64)]).astype("<u8")
    thumbs = measured.thumbs["thumb"].gather(rows["place"])
    more = rows.select("colours", "embedding", "hashes", "mirrored", "places").iter_rows()
    names = [
        sha256(b"".join([thumb, code.tobytes(), *(each or b"" for each in other)])).digest()[:16]
        for start, part in _chunks(thumbs)
        for thumb, code, other in zip(part, codes[start:], more, strict=False)
    ]
    return rows.with_columns(pl.Series("name", names, pl.Binary))


def _hashes(facts: pl.DataFrame) -> Hashes:
    return facts["phash"].explode(empty_as_null=False).to_numpy().reshape(-1, len(TRANSFORMS))


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


def _aspects(facts: pl.DataFrame) -> NDArray[np.float64]:
    exact = facts["width"].to_numpy() / facts["height"].to_numpy()
    steps: NDArray[np.float64] = np.rint(OCTAVE * np.log2(exact))
    return np.exp2(steps / OCTAVE)


def _texture(thumbs: pl.Series) -> NDArray[np.float64]:
    parts = [verify.texture(_stack(part)) for _, part in _chunks(thumbs)]
    return np.concatenate([np.empty(0), *parts])


def _chunks(thumbs: pl.Series) -> Iterator[tuple[int, pl.Series]]:
    for start in range(0, len(thumbs), CHUNK):
        yield start, thumbs.slice(start, CHUNK)


def _stack(thumbs: pl.Series) -> verify.Thumbs:
    flat = np.frombuffer(b"".join(thumbs), np.uint8)
    return flat.reshape(-1, THUMB_SIDE, THUMB_SIDE)
