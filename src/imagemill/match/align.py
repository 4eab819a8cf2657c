"""How one thumbnail has to be moved, enlarged and tilted a little to lie on another.

Gauss-Newton steps on the difference of the grey levels, from coarse to fine, with the gain and
offset of the light taken out (B. Lucas and T. Kanade, "An Iterative Image Registration Technique",
1981; S. Baker and I. Matthews, "Lucas-Kanade 20 Years On", 2004).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.float64]
"""Grey levels, (n, side, side)."""
Motions = NDArray[np.float64]
"""Enlargement - 1, tilt in radians, shift across and down in pixels of a thumbnail: (n, 4)."""

SIDE = 32
EDGE = 1.5  # pixels at the border of an image that may be mixed with what was put around it
MOST = np.array([0.3, 0.15, 6.0, 6.0])  # that anything is moved
STEP = np.array([0.1, 0.1, 1.5, 1.5])  # of this at a time
GAIN = (0.2, 5.0)  # of contrast


def moved(images: Levels, motions: Motions) -> tuple[Levels, NDArray[np.bool_]]:
    """Return the moved images, interpolated linearly, and which of their pixels lie inside."""
    count, side = images.shape[:2]
    x, y = _grid(side)
    zoom, tilt, across, down = (column[:, None] for column in motions.T)
    middle, scale = (side - 1) / 2, side / SIDE
    u = (x * (1 + zoom) - y * tilt + across) * scale + middle
    v = (x * tilt + y * (1 + zoom) + down) * scale + middle
    edge = EDGE * scale - 1e-6
    inside = (np.minimum(u, v) >= edge) & (np.maximum(u, v) <= side - 1 - edge)
    low, high = 0.0, side - 1.001
    u, v = np.clip(u, low, high), np.clip(v, low, high)
    at = v.astype(np.int64) * side + u.astype(np.int64) + np.arange(count)[:, None] * side**2
    u, v = u % 1, v % 1
    flat = images.ravel()
    upper = flat[at] * (1 - u) + flat[at + 1] * u
    lower = flat[at + side] * (1 - u) + flat[at + side + 1] * u
    values: Levels = upper * (1 - v) + lower * v
    return values.reshape(images.shape), inside.reshape(images.shape)


@cache
def _grid(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far each pixel is from the middle, across and down, in pixels of a thumbnail."""
    line = (np.arange(side) - (side - 1) / 2) * SIDE / side
    down, across = np.meshgrid(line, line, indexing="ij")
    return across.ravel(), down.ravel()


def slopes(images: Levels) -> tuple[Levels, Levels]:
    """Return how much the grey changes a pixel, down and across."""
    down: Levels = np.gradient(images, axis=1)
    across: Levels = np.gradient(images, axis=2)
    return down, across


def fitted(left: Levels, right: Levels, motions: Motions, steps: int) -> Motions:
    """Return better ``motions`` of ``right`` to lie on ``left``, after so many steps."""
    count, side = left.shape[:2]
    x, y = _grid(side)
    down, across = (each.reshape(count, -1) * side / SIDE for each in slopes(left))
    changes = np.stack([across * x + down * y, down * x - across * y, across, down], axis=1)
    for _ in range(steps):
        there, inside = moved(right, motions)
        inside[:, [0, -1]] = inside[:, :, [0, -1]] = False
        weight = inside.reshape(count, 1, -1).astype(np.float64)
        missing = _difference(left.reshape(count, -1), there.reshape(count, -1), weight[:, 0])
        weighted = changes * weight
        normal = weighted @ changes.transpose(0, 2, 1)
        normal += np.eye(4) * (1e-3 * normal.trace(axis1=1, axis2=2)[:, None, None] / 4 + 1e-3)
        step = np.linalg.solve(normal, weighted @ missing[:, :, None])[:, :, 0]
        motions = np.clip(motions + np.clip(step, -STEP, STEP), -MOST, MOST)
    return motions


def _difference(left: Levels, right: Levels, weight: Levels) -> Levels:
    """Return what ``left`` has more than ``right``, had they the same mean and contrast."""
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    one, other = (
        (side - (side * weight).sum(axis=1, keepdims=True) / total) * weight
        for side in (left, right)
    )
    energy = np.maximum((other**2).sum(axis=1, keepdims=True), 1e-3)
    gain = (one * other).sum(axis=1, keepdims=True) / energy
    difference: Levels = one - np.clip(gain, *GAIN) * other
    return difference
