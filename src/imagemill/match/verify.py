"""Verification: whether two thumbnails show the same thing, and not merely something alike.

One thumbnail is laid on the other (``search``, then ``align``, at half the size and at full),
either way round. The score tells how alike their gradients are where they overlap. Gradients
forget brightness and large flat areas, which make different pictures look alike; at 48 pixels a
side they still know folds, letters and leaves, which make two pictures of one kind differ.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from imagemill.match import search
from imagemill.match.align import Levels, Motions, fitted, moved, slopes, within
from imagemill.tables import THUMB_SIDE, TRANSFORMS

CHUNK = 64  # pairs compared at a time: few enough for the processor's cache
COARSE = 10  # steps of the alignment at half the size
FINE = 4  # and at full size
SOFT = 0.8  # smoothing of what is compared coarsely, in its pixels: a fit begins from further away
LEAST_SCALE = 0.3  # that a fit may end with

PLACED = 0.6  # likeness in a few cells below which a place is not tried
SLACK = 0.1  # by which the one way round may look worse than the other and still be tried
COARSELY = 0.3  # likeness at half the size below which a pair is not looked at in full
SHOWN = 0.3  # share of the energy of the still image's gradients that both show, at least

CELLS = 8  # parts a side that are judged one by one
NOISE = 1.0  # energy of gradients a pixel, 0..255 squared, in which two may differ
FAINT = 10.0  # and that hardly counts
FLAT = 1e-9  # energy of gradients that is none

Thumbs = NDArray[np.uint8]
"""(n, 48, 48)."""
Likeness = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Pairs to verify: ``right`` under ``transform`` is to be ``left``; rows belong together."""

    left: Thumbs
    right: Thumbs
    transform: str
    stretch: NDArray[np.int64]
    """How much wider ``left`` is than ``right`` so turned; see ``search.stretches``."""


def turned(thumbs: Thumbs, transform: str) -> Thumbs:
    """Return ``thumbs`` (n, side, side) under one of ``tables.TRANSFORMS``."""
    number = TRANSFORMS.index(transform)
    mirrored = thumbs[:, :, ::-1] if number >= 4 else thumbs
    return np.rot90(mirrored, number % 4, axes=(1, 2))


def scores(batch: Batch) -> Likeness:
    """Return the likeness -1..1, to 4 decimals, of each pair."""
    found = np.full(len(batch.left), -1, np.float32)
    for stretch in np.unique(batch.stretch):
        rows = np.flatnonzero(batch.stretch == stretch)
        for first in range(0, len(rows), CHUNK):
            some = rows[first : first + CHUNK]
            found[some] = _scores(batch, some, int(stretch))
    rounded: Likeness = found.round(4)
    return rounded


def _scores(batch: Batch, rows: NDArray[np.int64], stretch: int) -> Likeness:
    left = _levels(batch.left[rows])
    right = _levels(turned(batch.right[rows], batch.transform))
    tries = _placed(left, right, stretch)
    score = np.full(len(rows), -1, np.float32)
    if not len(tries.pair):
        return score
    tries, likeness = _coarse(left, right, tries)
    best = _best(tries.pair, likeness)
    likely = best[likeness[best] >= COARSELY]
    if len(likely):
        score[tries.pair[likely]] = _fine(left, right, tries.some(likely))
    return score


def _levels(thumbs: Thumbs) -> Levels:
    return np.ascontiguousarray(thumbs, np.float32)


@dataclass(frozen=True)
class _Tries:
    """Ways to lay the images of pairs on each other."""

    pair: NDArray[np.int64]
    """Number of the pair, (n,)."""
    back: NDArray[np.bool_]
    """It is ``left`` that moves, (n,)."""
    motions: Motions
    """Of the image that moves, (n, 6)."""

    def some(self, rows: NDArray[np.int64]) -> Self:
        """Return some of them."""
        return type(self)(*(getattr(self, each.name)[rows] for each in fields(self)))

    def sides(self, left: Levels, right: Levels) -> tuple[Levels, Levels]:
        """Return the image that stays and the one that moves, of each."""
        back = self.back[:, None, None]
        one, other = left[self.pair], right[self.pair]
        return np.where(back, other, one), np.where(back, one, other)


def _placed(left: Levels, right: Levels, stretch: int) -> _Tries:
    """Return where one of a pair may lie whole in the other; distorted with its image, or not."""
    one, other = _halved(left), _halved(right)
    found = []
    for inner, outer, steps in ((one, other, stretch), (other, one, -stretch)):
        places = [search.placed(inner, outer, each) for each in dict.fromkeys((0, steps))]
        likeness = np.stack([each for each, _ in places])
        best, every = likeness.argmax(axis=0), np.arange(len(inner))
        found.append((likeness[best, every], np.stack([each for _, each in places])[best, every]))
    least = np.maximum(np.maximum(found[0][0], found[1][0]) - SLACK, PLACED)
    rows = [np.flatnonzero(likeness >= least) for likeness, _ in found]
    back = np.repeat([False, True], [len(each) for each in rows])
    motions = [motions[some] for some, (_, motions) in zip(rows, found, strict=True)]
    return _Tries(np.concatenate(rows), back, np.concatenate(motions))


def _halved(images: Levels) -> Levels:
    half = THUMB_SIDE // 2
    levels: Levels = images.reshape(len(images), half, 2, half, 2).mean(axis=(2, 4))
    return levels


def _coarse(left: Levels, right: Levels, tries: _Tries) -> tuple[_Tries, Likeness]:
    """Return the tries after an alignment at half the size, and how alike the images then are."""
    still, moving = tries.sides(left, right)
    scale = _scale(tries.motions)
    half = _softened(_halved(still), scale)
    smooth = _blur(SOFT, half.shape[1])
    smoothed: Levels = np.asarray(smooth @ half @ smooth.T, np.float32)
    rough = _blurred(moving, 2 * SOFT * scale)
    motions = fitted(smoothed, rough, tries.motions, COARSE)
    lain = _overlap(half, _blurred(moving, SOFT * scale), motions, edge=1)
    return _Tries(tries.pair, tries.back, motions), _correlation(lain)


def _fine(left: Levels, right: Levels, tries: _Tries) -> Likeness:
    """Return how alike the images are after an alignment at full size."""
    still, moving = tries.sides(left, right)
    soft = _softened(still, _scale(tries.motions))
    motions = fitted(soft, moving, tries.motions, FINE)
    return _agreement(_overlap(soft, moving, motions, edge=3))


def _best(pair: NDArray[np.int64], likeness: Likeness) -> NDArray[np.int64]:
    """Return the row of the likeliest try of each pair, the first of equal ones."""
    order = np.lexsort((-likeness, pair))
    first = np.flatnonzero(np.diff(pair[order], prepend=-1))
    return order[first]


def _scale(motions: Motions) -> Likeness:
    """Return how many pixels of the moving image are one of the still one, at most 1."""
    area = np.abs(motions[:, 0] * motions[:, 3] - motions[:, 1] * motions[:, 2])
    return np.clip(np.sqrt(area), LEAST_SCALE, 1)


def _softened(images: Levels, scale: Likeness) -> Levels:
    """Return the images with as little detail as what is seen enlarged by ``1 / scale``."""
    deviation: Likeness = np.float32(0.5) * np.sqrt(1 / scale**2 - 1)
    return _blurred(images, deviation)


def _blurred(images: Levels, deviation: Likeness) -> Levels:
    """Return the images under Gaussians of so many pixels each, to an eighth."""
    steps = np.rint(8 * deviation).astype(np.int64)
    result = images.copy()
    for step in np.unique(steps[steps > 1]):
        blur, rows = _blur(float(step) / 8, images.shape[1]), steps == step
        result[rows] = blur @ images[rows] @ blur.T
    return result


@cache
def _blur(deviation: float, side: int) -> NDArray[np.float32]:
    apart = np.arange(side)[:, None] - np.arange(side)
    weight = np.exp(-(apart**2) / (2 * deviation**2))
    blur: NDArray[np.float64] = weight / weight.sum(axis=1, keepdims=True)
    return blur.astype(np.float32)


@dataclass(frozen=True)
class _Overlap:
    """Products of the gradients of two images laid on each other: (n, side, side), 0 outside."""

    both: Levels
    still: Levels
    moved: Levels
    shown: Likeness
    """Share of the energy of the still image's gradients that both show, (n,)."""


def _overlap(still: Levels, moving: Levels, motions: Motions, edge: int) -> _Overlap:
    """Lay one image on the other; so many pixels at the border of ``still`` do not count."""
    there, inside = moved(moving, motions, still.shape[1])
    (one_y, one_x), (other_y, other_x) = slopes(still), slopes(there.reshape(still.shape))
    border = within(still.shape[1], edge).reshape(still.shape[1:])
    seen = border * inside.reshape(still.shape)
    energy = one_y**2 + one_x**2
    whole = (energy * border).sum(axis=(1, 2))
    here = (energy * seen).sum(axis=(1, 2))
    return _Overlap(
        (one_y * other_y + one_x * other_x) * seen,
        energy * seen,
        (other_y**2 + other_x**2) * seen,
        here / np.maximum(whole, FLAT),
    )


def _correlation(lain: _Overlap) -> Likeness:
    """Return the correlation of the gradients; -1 for little overlap."""
    both, still, there = (each.sum(axis=(1, 2)) for each in (lain.both, lain.still, lain.moved))
    likeness = both / np.maximum(np.sqrt(still * there), FLAT)
    return np.where(lain.shown >= SHOWN, likeness, np.float32(-1))


def _agreement(lain: _Overlap) -> Likeness:
    """Return the mean likeness of ``CELLS`` x ``CELLS`` parts; -1 for little overlap.

    That of a part is 2ab / (a² + b²) of its gradients, after the contrast of the whole is made
    equal: it falls where one shows what the other does not. Each counts by the root of its energy,
    so that a garment's outline does not outweigh its print, nor a line of text all below it.
    """
    both, still, there = (_parts(each) for each in (lain.both, lain.still, lain.moved))
    gain = np.sqrt(still.sum(axis=1) / np.maximum(there.sum(axis=1), FLAT))[:, None]
    energy = (still + there * gain**2) / 2
    pixels = (lain.both.shape[1] / CELLS) ** 2
    noise, weight = NOISE * pixels, energy / np.sqrt(energy + FAINT * pixels)
    likeness = ((both * gain + noise) / (energy + noise) * weight).sum(axis=1)
    likeness /= np.maximum(weight.sum(axis=1), FLAT)
    return np.where(lain.shown >= SHOWN, likeness, np.float32(-1))


def _parts(levels: Levels) -> Levels:
    """Return the sums over the parts of each: (n, CELLS * CELLS)."""
    step = levels.shape[1] // CELLS
    parts: Levels = levels.reshape(len(levels), CELLS, step, CELLS, step).sum(axis=(2, 4))
    return parts.reshape(len(levels), CELLS * CELLS)
