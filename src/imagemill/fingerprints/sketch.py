"""A sketch: 256 signs that tell whether two pictures agree, and that cannot be looked at.

The slopes of a thumbnail, 4,232 numbers, are projected on 256 fixed random directions, and of each
only the sign is kept (M. Charikar, "Similarity estimation techniques from rounding algorithms",
2002): the share of signs that differ estimates the angle between two pictures' slopes. A picture
drawn back from so few signs correlates with the true slopes by sqrt(2 / pi * 256 / 4232), about
0.2: noise to the eye.
"""

from collections.abc import Iterable
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from imagemill.tables import THUMB_SIDE

SIDE = THUMB_SIDE
SIGNS = 256
SLOPES = 2 * (SIDE - 2) ** 2
CHUNK = 1024  # thumbnails worked on at a time

Thumbs = NDArray[np.uint8]
Sketches = NDArray[np.uint8]
"""(n, 32), packed."""


def thumbnails(stored: Iterable[bytes]) -> Thumbs:
    """Return the thumbnails of ``tables.THUMBS`` as pixels, (n, side, side)."""
    return np.frombuffer(b"".join(stored), np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE)


def sketches(thumbs: Thumbs) -> Sketches:
    """Return the sketch of each thumbnail (n, 48, 48)."""
    parts = [
        _signs(thumbs[start : start + CHUNK].astype(np.float64))
        for start in range(0, len(thumbs), CHUNK)
    ]
    return np.concatenate([np.empty((0, SIGNS // 8), np.uint8), *parts])


def likeness(one: Sketches, other: Sketches) -> NDArray[np.float32]:
    """Return the cosine of the slopes, -1..1, that each pair of sketches tells of."""
    differing = np.bitwise_count(one ^ other).sum(axis=1)
    cosine: NDArray[np.float32] = np.cos(np.pi * differing / SIGNS).round(4).astype(np.float32)
    return cosine


def _signs(levels: NDArray[np.float64]) -> Sketches:
    # Whole numbers below 2^53: their sums are exact, and so the same on every processor.
    down = levels[:, 2:, 1:-1] - levels[:, :-2, 1:-1]
    across = levels[:, 1:-1, 2:] - levels[:, 1:-1, :-2]
    slopes = np.concatenate([side.reshape(len(levels), -1) for side in (down, across)], axis=1)
    return np.packbits(slopes @ _directions() > 0, axis=1)


@cache
def _directions() -> NDArray[np.float64]:
    """Return +1 and -1, (slopes, signs): the bits of sha256 of 0, 1, 2, ..."""
    blocks = range(SLOPES * SIGNS // 256)
    data = b"".join(sha256(f"imagemill sketch {n}".encode()).digest() for n in blocks)
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    return bits.reshape(SLOPES, SIGNS).astype(np.float64) * 2 - 1
