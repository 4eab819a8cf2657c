"""Verification: whether two thumbnails show the same thing, and not merely something alike.

One thumbnail is laid on the other as well as shift, enlargement, tilt and light allow (``align``),
either way round. Then their gradients are correlated, normalised, block by block, and the score is
that of the worst tenth of the blocks, by weight: a copy agrees all over, another photo of the same
thing does not. Gradients forget brightness and large flat areas, which make different
pictures look alike.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagemill.match.align import SIDE, Levels, Motions, fitted, moved, slopes
from imagemill.tables import TRANSFORMS

CHUNK = 32  # pairs compared at a time: few enough for the processor's cache
ZOOMS = (0.0, 0.1, -0.1)  # from which the fit starts
COARSE = 4  # steps at half the size, from each start
FINE = 4  # steps at full size, from the best

EDGE = 2  # pixels at the border that are not judged
BLOCK = 8  # side of a block, in pixels
WORST = 0.1  # share, by weight, of the blocks that may be worse than the score
FAINT = 0.01  # share of the whole below which a block is not judged
SHOWN = 0.3  # share of the energy of the gradients of ``left`` that both show, at least

FLAT = 1e-9  # energy of gradients that is none

Thumbs = NDArray[np.uint8]
Likeness = NDArray[np.float64]


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


def _best(left: Thumbs, right: Thumbs) -> Likeness:
    """Return the likeness of each pair, as it lies or as it fits, whichever is more."""
    one, other = (np.ascontiguousarray(side, np.float64) for side in (left, right))
    motions, backwards = _coarse(one, other)
    swapped = backwards[:, None, None]
    still, moving = np.where(swapped, other, one), np.where(swapped, one, other)
    motions = fitted(still, moving, motions, FINE)
    fitting = _agreement(still, moving, motions)
    best: Likeness = np.maximum(_agreement(one, other, 0 * motions), fitting)
    return best


def _coarse(left: Levels, right: Levels) -> tuple[Motions, NDArray[np.bool_]]:
    """Return the motions that fit best at half the size, and whether it is ``left`` that moves."""
    one, other = _halved(left), _halved(right)
    tried, likeness = [], []
    for still, moving in ((one, other), (other, one)):
        for zoom in ZOOMS:
            start = np.full((len(left), 1), zoom) * [1, 0, 0, 0]
            tried.append(fitted(still, moving, start, COARSE))
            likeness.append(_likeness(*_correlated(still, moving, tried[-1], 1)))
    best = np.argmax(likeness, axis=0)
    return np.stack(tried)[best, np.arange(len(left))], best >= len(ZOOMS)


def _likeness(both: Levels, here: Levels, there: Levels) -> Likeness:
    energy = here.sum(axis=1) * there.sum(axis=1)
    likeness: Likeness = both.sum(axis=1) / np.sqrt(np.maximum(energy, FLAT))
    return likeness


def _halved(images: Levels) -> Levels:
    """Return the images at half the size, smoothed so that a fit begins from further away."""
    half = images.reshape(len(images), SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4))
    wide = np.pad(half, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    smooth: Levels = (down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]) / 16
    return smooth


def _correlated(left: Levels, right: Levels, motions: Motions, edge: int) -> list[Levels]:
    """Return, a pixel, the products of slopes: of both, of ``left``, of ``right``; (n, pixels).

    They are 0 where one of the two shows nothing.
    """
    there, inside = moved(right, motions)
    inside[:, :edge] = inside[:, -edge:] = inside[:, :, :edge] = inside[:, :, -edge:] = False
    (one_y, one_x), (other_y, other_x) = slopes(left), slopes(there)
    products = (one_y * other_y + one_x * other_x, one_y**2 + one_x**2, other_y**2 + other_x**2)
    return [(each * inside).reshape(len(left), -1) for each in products]


def _agreement(left: Levels, right: Levels, motions: Motions) -> Likeness:
    """Return the correlation of gradients in the worst block that counts; -1 for little overlap."""
    both, here, there = (_blocks(each) for each in _correlated(left, right, motions, EDGE))
    weight = np.sqrt(here * there)
    likeness = both / np.maximum(weight, FLAT)
    weight[weight < FAINT * weight.sum(axis=1, keepdims=True)] = 0
    worst = _quantile(np.where(weight > 0, likeness, 1.0), weight)
    down, across = (each[:, EDGE:-EDGE, EDGE:-EDGE] for each in slopes(left))
    whole = (down**2 + across**2).sum(axis=(1, 2))
    shown = (here.sum(axis=1) >= SHOWN * whole) & (weight.sum(axis=1) > FLAT)
    return np.where(shown, worst, -1.0)


def _quantile(values: Levels, weight: Levels) -> Likeness:
    """Return the value, of each row, below which ``WORST`` of the weight lies."""
    order = np.argsort(values, axis=1, kind="stable")
    below = np.take_along_axis(weight, order, 1).cumsum(axis=1)
    nth = (below >= WORST * below[:, -1:]).argmax(axis=1)[:, None]
    quantile: Likeness = np.take_along_axis(values, np.take_along_axis(order, nth, 1), 1)[:, 0]
    return quantile


def _blocks(pixels: Levels) -> Levels:
    """Return the sums (n, blocks) of square blocks of pixels (n, 32 * 32)."""
    parts = SIDE // BLOCK
    sums: Levels = pixels.reshape(-1, parts, BLOCK, parts, BLOCK).sum(axis=(2, 4))
    return sums.reshape(len(pixels), -1)
