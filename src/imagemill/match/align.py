"""How one thumbnail has to be moved, enlarged, tilted and stretched to lie on another.

Gauss-Newton steps on the difference of the grey levels, with the gain and offset of the light taken
out and pixels that will not fit, of a caption or a frame, weighted down (B. Lucas and T. Kanade,
"An Iterative Image Registration Technique", 1981; S. Baker and I. Matthews, "Lucas-Kanade 20 Years
On", 2004; the weight is Cauchy's).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from imagemill.tables import THUMB_SIDE

Levels = NDArray[np.float32]
"""Grey levels, (n, side, side)."""
Motions = NDArray[np.float32]
"""Where a pixel (across, down) of one image lies in another: four numbers of a matrix, row by row,
and a shift. From the middle of the image, in pixels of a thumbnail: (n, 6)."""

SIDE = THUMB_SIDE
EDGE = 1.5  # pixels at the border of an image that may be mixed with what was put around it
STEP = np.array([0.08] * 4 + [SIDE / 20] * 2, np.float32)  # of a motion at a time, at most
GAIN = (0.2, 5.0)  # of contrast
DAMP = np.array([SIDE**2 / 16] * 4 + [1.0] * 2, np.float32)  # how much a step of each moves pixels
NEARLY = 1e-3  # share of damping: steps stay small where an image says little about them


def moved(images: Levels, motions: Motions, side: int) -> tuple[Levels, NDArray[np.bool_]]:
    """Return the moved images (n, side**2), interpolated linearly, and which pixels lie inside."""
    own = images.shape[1]
    x, y = _grid(side)
    xx, xy, yx, yy, across, down = (column[:, None] for column in motions.T)
    scale, middle = np.float32(own / SIDE), np.float32((own - 1) / 2)
    u = (xx * x + xy * y + across) * scale + middle
    v = (yx * x + yy * y + down) * scale + middle
    edge = EDGE * scale - 1e-4
    inside = (np.minimum(u, v) >= edge) & (np.maximum(u, v) <= own - 1 - edge)
    return _interpolated(images, np.clip(u, 0, own - 1.001), np.clip(v, 0, own - 1.001)), inside


def _interpolated(images: Levels, u: Levels, v: Levels) -> Levels:
    count, side = images.shape[:2]
    column, row = u.astype(np.int32), v.astype(np.int32)
    u, v = u - column, v - row
    at = row * side + column + np.arange(count, dtype=np.int32)[:, None] * side**2
    flat = images.ravel()
    left, right = flat[at], flat[at + 1]
    upper = left + (right - left) * u
    left, right = flat[at + side], flat[at + side + 1]
    lower = left + (right - left) * u
    level: Levels = upper + (lower - upper) * v
    return level


@cache
def _grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how far each pixel is from the middle, across and down, in pixels of a thumbnail."""
    line = ((np.arange(side) - (side - 1) / 2) * SIDE / side).astype(np.float32)
    down, across = np.meshgrid(line, line, indexing="ij")
    return across.ravel(), down.ravel()


@cache
def within(side: int, edge: int) -> NDArray[np.bool_]:
    """Tell which pixels, row by row, are not among the ``edge`` at a border."""
    found = np.zeros((side, side), bool)
    found[edge : side - edge, edge : side - edge] = True
    return found.ravel()


def slopes(images: Levels) -> tuple[Levels, Levels]:
    """Return how much the grey changes a pixel, down and across."""
    down: Levels = np.gradient(images, axis=1)
    across: Levels = np.gradient(images, axis=2)
    return down, across


def fitted(still: Levels, moving: Levels, motions: Motions, steps: int) -> Motions:
    """Return better ``motions`` of ``moving`` to lie on ``still``, after so many steps.

    ``moving`` may have more pixels than ``still``.
    """
    count, side = still.shape[:2]
    changes = _changes(still)
    flat, border = still.reshape(count, -1), within(side, 1)
    for _ in range(steps):
        there, inside = moved(moving, motions, side)
        missing, weight = _missing(flat, there, (inside & border).astype(np.float32))
        weighted = changes * weight[:, None]
        normal = weighted @ changes.transpose(0, 2, 1)
        sure = (normal[:, 4, 4] + normal[:, 5, 5])[:, None] / 2
        normal += np.eye(6, dtype=np.float32) * (NEARLY * (sure + 1) * DAMP)[:, :, None]
        step = np.linalg.solve(normal, weighted @ missing[:, :, None])[:, :, 0]
        motions = _followed(motions, np.clip(step, -STEP, STEP))
    return motions


def _changes(still: Levels) -> Levels:
    """Return how much each pixel's grey changes with each number of a motion: (n, 6, pixels)."""
    count, side = still.shape[:2]
    x, y = _grid(side)
    down, across = (each.reshape(count, -1) * np.float32(side / SIDE) for each in slopes(still))
    return np.stack([across * x, across * y, down * x, down * y, across, down], axis=1)


def _missing(still: Levels, there: Levels, weight: Levels) -> tuple[Levels, Levels]:
    """Return what ``still`` has more than ``there``, in the same light, and how far to trust it."""
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    one, other = (
        (side - (side * weight).sum(axis=1, keepdims=True) / total) * weight
        for side in (still, there)
    )
    energy = np.maximum((other * other).sum(axis=1, keepdims=True), 1e-3)
    gain = np.clip((one * other).sum(axis=1, keepdims=True) / energy, *GAIN)
    missing: Levels = one - gain * other
    usual = np.abs(missing).sum(axis=1, keepdims=True) / total + 1
    return missing, weight / (1 + (missing / usual) ** 2)


def _followed(motions: Motions, steps: Motions) -> Motions:
    """Return the motions after a step in the still image's own coordinates."""
    matrix, shift = motions[:, :4].reshape(-1, 2, 2), motions[:, 4:]
    change, along = steps[:, :4].reshape(-1, 2, 2), steps[:, 4:, None]
    shift = shift + (matrix @ along)[:, :, 0]
    matrix = matrix + matrix @ change
    return np.concatenate([matrix.reshape(-1, 4), shift], axis=1)
