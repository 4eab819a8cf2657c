"""The pictures to compare: what differs in thumbnail or hashes, whatever the files."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.match import verify
from imagemill.tables import TRANSFORMS

CHUNK = 1 << 15  # thumbnails worked on at a time: 32 MB


@dataclass(frozen=True)
class Pictures:
    """Distinct pictures with texture, sorted by name; all columns are of one length."""

    names: pl.Series
    """A hash, 16 bytes, of thumbnail and perceptual hashes: what is compared, and nothing else."""
    digests: pl.Series
    """The images, sorted, that have the picture."""
    hashes: NDArray[np.uint64]
    """Perceptual hashes, (n, 8)."""
    thumbs: pl.Series
    """Bytes of a thumbnail."""

    def stack(self, rows: NDArray[np.int64]) -> verify.Thumbs:
        """Return some of the thumbnails, (rows, 32, 32)."""
        return _stack(self.thumbs.gather(rows))


def pictures(images: pl.DataFrame, least: float) -> Pictures:
    """Return the distinct pictures of images with a digest, ``phash`` and ``thumb`` each.

    Left out are those with a standard deviation of the thumbnail below ``least``, and those of one
    grey only.
    """
    hashes = images["phash"].explode(empty_as_null=False).to_numpy().reshape(-1, len(TRANSFORMS))
    named = images.select("digest").with_row_index("row").with_columns(_names(images, hashes))
    textured = named.filter(pl.Series(_texture(images["thumb"]) >= max(least, 1e-6)))
    distinct = textured.group_by("name").agg(
        pl.col("row").first(), pl.col("digest").sort().alias("digests")
    )
    distinct = distinct.sort("name")
    rows = distinct["row"].to_numpy()
    thumbs = images["thumb"].gather(rows)
    return Pictures(distinct["name"], distinct["digests"], hashes[rows], thumbs)


def _names(images: pl.DataFrame, hashes: NDArray[np.uint64]) -> pl.Series:
    codes = hashes.astype("<u8")
    names = [
        sha256(thumb + code.tobytes()).digest()[:16]
        for start, part in _chunks(images["thumb"])
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
    return flat.reshape(-1, verify.SIDE, verify.SIDE)
