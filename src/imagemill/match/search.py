"""Where in one thumbnail another may lie whole: a coarse search, to start an alignment from.

One is cut into windows of many places and widths, the other is tilted a little both ways; all are
averaged to 6x6 cells, and the two whose cells rise and fall most alike are the place. A copy that
was cropped, padded or framed lies whole in the other, either way round.
"""

from functools import cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from imagemill.match.align import Levels, Motions
from imagemill.tables import THUMB_SIDE

SIDE = THUMB_SIDE // 2  # of the thumbnails that are searched
CELLS = 6
WIDTHS = tuple(0.9**power for power in range(9))  # of windows, as a share: 1 to 0.43
TILTS = (0.0, 0.1, -0.1, 0.19, -0.19)  # radians
OCTAVE = 8  # steps of a stretch that double it

Outlines = NDArray[np.float32]
"""What makes an image recognisable in a few cells: (..., 60), of length 1."""
Window = tuple[float, float, float, float]
"""Width, height, left and top, as shares of an image."""


def stretches(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how much wider, in steps, the one image is than the other: (n,), at most 2 octaves.

    Both are widths over heights. A thumbnail is square, whatever its image: so an image in a
    window that was not distorted is as much wider there.
    """
    steps: NDArray[np.float64] = np.rint(OCTAVE * np.log2(left / right))
    steps = steps.clip(-2 * OCTAVE, 2 * OCTAVE)
    return steps.astype(np.int64)


def placed(inner: Levels, outer: Levels, stretch: int) -> tuple[NDArray[np.float32], Motions]:
    """Return where each ``inner`` lies in its ``outer``, both (n, 24, 24), and how alike they are.

    The window has the proportions of ``outer``, times ``stretch`` steps. Likeness is -1..1, (n,).
    """
    likeness = _seen(outer, stretch) @ _wholes(inner).transpose(0, 2, 1)
    flat = likeness.reshape(len(inner), -1)
    best = flat.argmax(axis=1)
    window, tilt = np.divmod(best, len(TILTS))
    width, height, left, top = _windows(stretch)[window].T
    angle = np.array(TILTS, np.float32)[tilt]
    cos, sin = np.cos(angle), np.sin(angle)
    across = (left + width / 2 - 0.5) * THUMB_SIDE
    down = (top + height / 2 - 0.5) * THUMB_SIDE
    motions = np.stack([width * cos, width * sin, -height * sin, height * cos, across, down], 1)
    return flat[np.arange(len(flat)), best], motions


@cache
def _scales(stretch: int) -> list[tuple[float, float, list[float], list[float]]]:
    """Return width and height of the windows, and the places of their left and upper edges."""
    ratio = 2 ** (stretch / OCTAVE)
    sides = [(width * min(1, ratio), width * min(1, 1 / ratio)) for width in WIDTHS]
    return [(width, height, _places(width), _places(height)) for width, height in sides]


def _places(share: float) -> list[float]:
    """Return where windows of this share begin: no further apart than a cell."""
    room = max(0.0, 1 - share)
    steps = ceil(room * CELLS / share - 1e-9)
    return [room * step / max(1, steps) for step in range(steps + 1)]


@cache
def _windows(stretch: int) -> NDArray[np.float32]:
    found: list[Window] = [
        (width, height, left, top)
        for width, height, lefts, tops in _scales(stretch)
        for top in tops
        for left in lefts
    ]
    return np.array(found, np.float32)


@cache
def _means(start: float, share: float) -> NDArray[np.float32]:
    """Return what averages a line of pixels to the cells of a window: (6, 24)."""
    edges = (start + np.arange(CELLS + 1) * share / CELLS) * SIDE
    pixels = np.arange(SIDE)
    low = np.maximum(edges[:-1, None], pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    covered: NDArray[np.float64] = np.maximum(high - low, 0) / np.diff(edges)[:, None]
    return covered.astype(np.float32)


@cache
def _cuts(stretch: int) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return, a width of windows, what averages rows and columns to all their cells."""
    return [
        (
            np.concatenate([_means(top, height) for top in tops]),
            np.concatenate([_means(left, width) for left in lefts]),
        )
        for width, height, lefts, tops in _scales(stretch)
    ]


def _seen(images: Levels, stretch: int) -> Outlines:
    """Return the outlines of all windows of each image: (n, windows, 60)."""
    parts = [_cut(images, rows, columns) for rows, columns in _cuts(stretch)]
    return np.concatenate(parts, axis=1)


def _cut(images: Levels, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> Outlines:
    count, down, across = len(images), len(rows) // CELLS, len(columns) // CELLS
    averaged = (images.reshape(-1, SIDE) @ columns.T).reshape(count, SIDE, -1)
    cells = (rows @ averaged.transpose(1, 0, 2).reshape(SIDE, -1)).reshape(
        down, CELLS, count, across, CELLS
    )
    return _outlines(cells.transpose(2, 0, 3, 1, 4).reshape(count, -1, CELLS, CELLS))


def _outlines(cells: Levels) -> Outlines:
    across, down = np.diff(cells, axis=-1), np.diff(cells, axis=-2)
    shape = cells.shape[:-2]
    rises = np.concatenate([across.reshape(*shape, -1), down.reshape(*shape, -1)], axis=-1)
    length = np.sqrt(np.einsum("...i,...i->...", rises, rises))
    rises /= np.maximum(length, 1e-3)[..., None]
    return rises


def _wholes(images: Levels) -> Outlines:
    """Return the outlines of each image under ``TILTS``: (n, tilts, 60)."""
    cells = images.reshape(len(images), -1) @ _tilted().T
    return _outlines(cells.reshape(len(images), len(TILTS), CELLS, CELLS))


@cache
def _tilted() -> NDArray[np.float32]:
    """Return what tilts an image and averages it to cells: (tilts * 36, 24 * 24)."""
    means = _means(0.0, 1.0)
    whole = np.einsum("yi,xj->yxij", means, means).reshape(CELLS**2, -1)
    return np.concatenate([whole @ _tilt(angle) for angle in TILTS]).astype(np.float32)


def _tilt(angle: float) -> NDArray[np.float64]:
    """Return what interpolates a tilted image from the pixels of an upright one."""
    middle = (SIDE - 1) / 2
    y, x = np.mgrid[:SIDE, :SIDE] - middle
    u = np.clip(np.cos(angle) * x - np.sin(angle) * y + middle, 0, SIDE - 1.001).ravel()
    v = np.clip(np.sin(angle) * x + np.cos(angle) * y + middle, 0, SIDE - 1.001).ravel()
    column, row, pixel = u.astype(np.int64), v.astype(np.int64), np.arange(SIDE**2)
    u, v = u % 1, v % 1
    found = np.zeros((SIDE**2, SIDE**2))
    for down, across, weight in (
        (0, 0, (1 - v) * (1 - u)),
        (0, 1, (1 - v) * u),
        (1, 0, v * (1 - u)),
        (1, 1, v * u),
    ):
        found[pixel, (row + down) * SIDE + column + across] = weight
    return found
