"""The pictures to compare: what differs in thumbnail or hashes, whatever the files."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.match import verify
from imagemill.match.search import OCTAVE
from imagemill.tables import THUMB_SIDE, TRANSFORMS

CHUNK = 1 << 15  # thumbnails worked on at a time: 75 MB
ANY = 1e-6  # standard deviation of a thumbnail of more than one grey, at least

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pictures:
    """Distinct pictures with texture, sorted by name; all columns are of one length."""

    names: pl.Series
    """A hash, 16 bytes, of thumbnail, hashes and aspect: what is compared, and nothing else."""
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

    def stack(self, rows: Rows) -> verify.Thumbs:
        """Return some of the thumbnails, (rows, 48, 48)."""
        return _stack(self.thumbs.gather(self.places[rows]))


def pictures(facts: pl.DataFrame, thumbs: pl.DataFrame, least: float) -> Pictures:
    """Return the distinct pictures of images with a digest, ``phash`` and ``thumb`` each.

    Left out are those with a standard deviation of the thumbnail below ``least``, and those of one
    grey only.
    """
    hashed = facts.select("digest").with_row_index("at")
    aspects = _aspects(facts)
    images = thumbs.select("digest").with_row_index("place").join(hashed, on="digest", how="left")
    hashes = facts["phash"].explode(empty_as_null=False).to_numpy().reshape(-1, len(TRANSFORMS))
    spread = pl.Series(_texture(thumbs["thumb"]))
    wanted = images["at"].is_not_null() & (spread >= max(least, ANY))
    named = images.filter(wanted).select("digest", "place", "at")
    named = named.with_columns(
        _names(thumbs["thumb"].filter(wanted), hashes[named["at"]], aspects[named["at"]])
    )
    distinct = named.group_by("name").agg(pl.col("place", "at").first(), pl.col("digest").sort())
    distinct = distinct.sort("name")
    places = distinct["place"].to_numpy().astype(np.int64)
    at = distinct["at"].to_numpy()
    return Pictures(
        distinct["name"], distinct["digest"], hashes[at], aspects[at], places, thumbs["thumb"]
    )


def _aspects(facts: pl.DataFrame) -> NDArray[np.float64]:
    exact = facts["width"].to_numpy() / facts["height"].to_numpy()
    steps: NDArray[np.float64] = np.rint(OCTAVE * np.log2(exact))
    return np.exp2(steps / OCTAVE)


def _names(thumbs: pl.Series, hashes: Hashes, aspects: NDArray[np.float64]) -> pl.Series:
    steps = np.rint(OCTAVE * np.log2(aspects)).astype(np.int64).view(np.uint64)
    codes = np.column_stack([hashes, steps]).astype("<u8")
    names = [
        sha256(thumb + code.tobytes()).digest()[:16]
        for start, part in _chunks(thumbs)
        for thumb, code in zip(part, codes[start:], strict=False)
    ]
    return pl.Series("name", names, pl.Binary)


def _texture(thumbs: pl.Series) -> NDArray[np.float64]:
    parts = [verify.texture(_stack(part)) for _, part in _chunks(thumbs)]
    return np.concatenate([np.empty(0), *parts])


def _chunks(thumbs: pl.Series) -> Iterator[tuple[int, pl.Series]]:
    for start in range(0, len(thumbs), CHUNK):
        yield start, thumbs.slice(start, CHUNK)


def _stack(thumbs: pl.Series) -> verify.Thumbs:
    flat = np.frombuffer(b"".join(thumbs), np.uint8)
    return flat.reshape(-1, THUMB_SIDE, THUMB_SIDE)
