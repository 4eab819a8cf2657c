"""Verification: whether two thumbnails show the same thing, and not merely something alike.

The score is the normalised correlation of the two images' gradients, the best over small shifts.
Gradients forget brightness and large flat areas, which make different pictures look alike.
"""

import numpy as np
from numpy.typing import NDArray

from imagemill.tables import TRANSFORMS

SIDE = 32
SHIFT = 2  # pixels of a thumbnail, each way

Thumbs = NDArray[np.uint8]
Gradients = NDArray[np.float64]


def turned(thumbs: Thumbs, transform: str) -> Thumbs:
    """Return ``thumbs`` (n, 32, 32) under one of ``tables.TRANSFORMS``."""
    number = TRANSFORMS.index(transform)
    mirrored = thumbs[:, :, ::-1] if number >= 4 else thumbs
    return np.rot90(mirrored, number % 4, axes=(1, 2))


def scores(left: Thumbs, right: Thumbs) -> NDArray[np.float32]:
    """Return the likeness -1..1, to 4 decimals, of each pair of thumbnails, both (n, 32, 32)."""
    side = SIDE - 2 * SHIFT
    fixed = _unit(_gradients(left)[:, :, SHIFT:-SHIFT, SHIFT:-SHIFT])
    moving = _gradients(right)
    best = np.full(len(left), -1.0)
    for dy in range(2 * SHIFT + 1):
        for dx in range(2 * SHIFT + 1):
            shifted = _unit(moving[:, :, dy : dy + side, dx : dx + side])
            best = np.maximum(best, (fixed * shifted).sum(axis=1))
    # Rounded, so that the order in which a sum is taken cannot show.
    return best.round(4).astype(np.float32)


def _gradients(thumbs: Thumbs) -> Gradients:
    down, across = np.gradient(thumbs.astype(np.float64), axis=(1, 2))
    return np.stack([down, across], axis=1)


def _unit(gradients: Gradients) -> Gradients:
    """Return each image's gradients as one vector of length 1."""
    flat = gradients.reshape(len(gradients), 2 * gradients.shape[2] * gradients.shape[3])
    norm = np.sqrt((flat**2).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = flat / np.maximum(norm, 1e-9)
    return unit
