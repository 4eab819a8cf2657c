"""Verification: whether two thumbnails show the same thing, and not merely something alike.

The score is the normalised correlation of the two images' gradients, the best over small shifts
and enlargements of either: a crop is an enlarged part of the other. Gradients forget brightness
and large flat areas, which make different pictures look alike.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagemill.tables import TRANSFORMS

SIDE = 32
SHIFT = 2  # pixels of a thumbnail, each way
INNER = SIDE - 2 * SHIFT  # side of what is compared
ZOOMS = (1.03, 1.06, 1.1)  # of either image: crops that leave 97, 94 and 91 % of a side
CHUNK = 64  # pairs compared at a time: few enough for the processor's cache

Thumbs = NDArray[np.uint8]
Gradients = NDArray[np.float64]


def turned(thumbs: Thumbs, transform: str) -> Thumbs:
    """Return ``thumbs`` (n, 32, 32) under one of ``tables.TRANSFORMS``."""
    number = TRANSFORMS.index(transform)
    mirrored = thumbs[:, :, ::-1] if number >= 4 else thumbs
    return np.rot90(mirrored, number % 4, axes=(1, 2))


def texture(thumbs: Thumbs) -> NDArray[np.float64]:
    """Return the standard deviation, 0..255, of each thumbnail."""
    parts = [_deviation(part.reshape(len(part), -1).astype(np.int32)) for part in _chunks(thumbs)]
    return np.concatenate([np.empty(0), *parts])


def _deviation(levels: NDArray[np.int32]) -> NDArray[np.float64]:
    count = levels.shape[1]
    sums = levels.sum(axis=1, dtype=np.int64)
    squares = np.einsum("ij,ij->i", levels, levels).astype(np.int64)
    spread: NDArray[np.float64] = np.sqrt(count * squares - sums**2) / count
    return spread


@dataclass(frozen=True)
class Batch:
    """Pairs to verify: ``right`` under ``transform`` is to be ``left``, (n, 32, 32) both."""

    left: Thumbs
    right: Thumbs
    transform: str


def scores(batch: Batch) -> NDArray[np.float32]:
    """Return the likeness -1..1, to 4 decimals, of each pair."""
    sides = zip(_chunks(batch.left), _chunks(turned(batch.right, batch.transform)), strict=True)
    parts = [_best(left, right) for left, right in sides]
    return np.concatenate([np.empty(0), *parts]).round(4).astype(np.float32)


def _chunks(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _best(left: Thumbs, right: Thumbs) -> Gradients:
    """Return the likeness of each pair, the best over the enlargements of either side."""
    pairs = [(left, right)]
    for zoom in ZOOMS:
        pairs += [(left, _zoomed(right, zoom)), (_zoomed(left, zoom), right)]
    best: Gradients = np.max([_likeness(*pair) for pair in pairs], axis=0)
    return best


def _zoomed(thumbs: Thumbs, zoom: float) -> Thumbs:
    """Return the enlarged middle of each thumbnail, interpolated linearly, in whole numbers."""
    weights = _weights(zoom)
    spread = weights @ thumbs.astype(np.int64) @ weights.T
    return ((spread + (1 << 11)) >> 12).astype(np.uint8)


def _weights(zoom: float) -> NDArray[np.int64]:
    """Return how much, in 64ths, each pixel of a line adds to each of the enlarged line."""
    middle = (SIDE - 1) / 2
    places = (np.arange(SIDE) - middle) / zoom + middle
    low = np.floor(places).astype(np.int64)
    part = np.rint((places - low) * 64).astype(np.int64)
    weights = np.zeros((SIDE, SIDE), np.int64)
    np.add.at(weights, (np.arange(SIDE), low), 64 - part)
    np.add.at(weights, (np.arange(SIDE), np.minimum(low + 1, SIDE - 1)), part)
    return weights


def _likeness(left: Thumbs, right: Thumbs) -> Gradients:
    # Gradients are halves of whole numbers: all sums here are exact, in whatever order.
    moving = _gradients(right)
    fixed = np.ascontiguousarray(_gradients(left)[:, :, SHIFT:-SHIFT, SHIFT:-SHIFT])
    own = np.einsum("icyx,icyx->i", fixed, fixed)
    shifts = product(range(2 * SHIFT + 1), repeat=2)
    norms = np.sqrt(_energies(moving).reshape(len(left), -1) * own[:, None])
    dots = [np.einsum("icyx,icyx->i", fixed, _window(moving, *shift)) for shift in shifts]
    likeness: Gradients = (np.stack(dots, axis=1) / np.maximum(norms, 1e-9)).max(axis=1)
    return likeness


def _gradients(thumbs: Thumbs) -> Gradients:
    """Return the slopes (n, 2, 32, 32) down and across."""
    down, across = np.gradient(thumbs.astype(np.float64), axis=(1, 2))
    return np.stack([down, across], axis=1)


def _window(gradients: Gradients, down: int, across: int) -> Gradients:
    window: Gradients = gradients[..., down : down + INNER, across : across + INNER]
    return window


def _energies(gradients: Gradients) -> Gradients:
    """Return the sum of squares in the window of every shift, (n, shifts, shifts)."""
    sums = (gradients**2).sum(axis=1).cumsum(axis=1).cumsum(axis=2)
    sums = np.pad(sums, ((0, 0), (1, 0), (1, 0)))
    high, low = slice(INNER, None), slice(None, -INNER)
    across = sums[:, :, high] - sums[:, :, low]
    energies: Gradients = across[:, high] - across[:, low]
    return energies
