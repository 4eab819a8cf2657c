"""Pairs of pictures in which some keypoints agree on how the one lies in the other.

Two keypoints that look alike say by their places, diameters and angles how one picture would be
moved, scaled and turned to lie on the other; a second pair of them that says the same is no chance
(D. Lowe, "Object Recognition from Local Scale-Invariant Features", 1999). All of it depends on the
two pictures alone: no word is left out because many pictures have it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.match import hamming
from imagemill.match.bands import Hashes
from imagemill.match.hamming import TooManyError

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

VOTED = {"left": pl.Int64, "right": pl.Int64, "number": pl.Int64}
"""``right`` under transform ``number`` lies on ``left``, a lower row number."""

BLOCK = 1 << 15  # pictures that are compared with all at a time
PAIRS = 1 << 21  # pairs of agreeing keypoints that are held at a time
SPEAKERS = 16  # keypoints of a pair of pictures, the first ones, that others may agree with

APART = 0.06  # of the longer side of ``left``: how near a second keypoint lies to where it should
OCTAVES = 0.6  # by which the scales that two keypoints tell may differ
ASKEW = 0.85  # cosine of the angle by which the turns that they tell may differ


@dataclass(frozen=True)
class Points:
    """The keypoints of all pictures, one picture after the other."""

    owner: Rows
    """Row of the picture, ascending, (k,)."""
    hashes: Hashes
    """(k,)."""
    mirrored: Hashes
    """The same of the mirrored picture, (k,)."""
    places: Floats
    """Across, down, diameter, angle; see ``tables.KEYPOINTS``. (k, 4)."""

    def of(self, rows: Rows) -> Rows:
        """Return which of them belong to some pictures."""
        chosen = np.zeros(int(max(self.owner.max(initial=-1), rows.max(initial=-1))) + 1, np.bool_)
        chosen[rows] = True
        return np.flatnonzero(chosen[self.owner])


def voted(points: Points, new: Rows, radius: int, most: int) -> pl.DataFrame:
    """Return the pairs, one at least of them ``new``, with two keypoints that agree, as ``VOTED``.

    Keypoints look alike within ``radius`` bits. Raises ``TooManyError``, with the row of a picture
    that is in many, when in a block of pictures more than ``most`` keypoints do.
    """
    found = [pl.DataFrame(schema=VOTED)]
    for first in range(0, len(new), BLOCK):
        some = points.of(new[first : first + BLOCK])
        for matches in _matches(points, some, radius, most):
            found += list(_agreed(points, matches))
    return pl.concat(found).unique().sort("left", "right", "number")


@dataclass(frozen=True)
class _Matches:
    """Keypoints that look alike: numbers of one of ``left`` and one of ``right`` a row, (m,)."""

    left: Rows
    right: Rows
    mirrored: bool

    def some(self, rows: Rows | NDArray[np.bool_]) -> Self:
        """Return some of them."""
        return type(self)(self.left[rows], self.right[rows], self.mirrored)


def _matches(points: Points, some: Rows, radius: int, most: int) -> Iterator[_Matches]:
    """Yield the matches of some keypoints with all, ``left`` always that of the lower row.

    The mirrored hash is that of ``right``: a pair is found alike whichever of the two is new.
    """
    every = np.arange(len(points.hashes))
    alike = (
        (points.hashes, every, points.hashes, some, False),
        (points.hashes, every, points.mirrored, some, True),
        (points.hashes, some, points.mirrored, every, True),
    )
    for left, lefts, right, rights, mirrored in alike:
        try:
            one, other = _near(left[lefts], right[rights], radius, most)
        except TooManyError as error:
            raise TooManyError(int(points.owner[lefts[error.index]])) from error
        found = _Matches(lefts[one], rights[other], mirrored)
        below = points.owner[found.left] < points.owner[found.right]
        yield found.some(below)
        if not mirrored:
            above = found.some(points.owner[found.left] > points.owner[found.right])
            yield _Matches(above.right, above.left, mirrored)


def _near(base: Hashes, query: Hashes, radius: int, most: int) -> tuple[Rows, Rows]:
    """Return the pairs of equal or near hashes; raises ``TooManyError`` with an index of base."""
    ones, others = _Distinct(base), _Distinct(query)
    try:
        one, other, _ = hamming.near(ones.hashes, others.hashes, radius, most)
    except TooManyError as error:
        raise TooManyError(int(ones.order[ones.first[error.index]])) from error
    width = others.counts[other]
    times = ones.counts[one] * width
    if times.sum() > most:
        busiest = int(np.bincount(one, weights=times).argmax())
        raise TooManyError(int(ones.order[ones.first[busiest]]))
    each = np.repeat(np.arange(len(one)), times)
    nth = np.arange(len(each)) - np.repeat(np.cumsum(times) - times, times)
    left = ones.order[ones.first[one[each]] + nth // width[each]]
    return left, others.order[others.first[other[each]] + nth % width[each]]


class _Distinct:
    """The distinct ones of some hashes, and where each of them is."""

    def __init__(self, hashes: Hashes) -> None:
        self.order = np.argsort(hashes, kind="stable")
        ordered = hashes[self.order]
        self.first = np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]))
        self.hashes = ordered[self.first]
        self.counts = np.diff(self.first, append=len(ordered))


def _agreed(points: Points, matches: _Matches) -> Iterator[pl.DataFrame]:
    """Yield, as ``VOTED``, the pairs of pictures in which a match agrees with another."""
    ordered, starts, counts = _by_pair(points, matches)
    speakers = np.minimum(counts, SPEAKERS)
    work = np.cumsum(speakers * counts)
    for low, high in _parts(work):
        each = np.arange(low, high)
        times = speakers[each] * counts[each]
        pair = np.repeat(each, times)
        nth = np.arange(len(pair)) - np.repeat(np.cumsum(times) - times, times)
        one, other = starts[pair] + nth // counts[pair], starts[pair] + nth % counts[pair]
        yield _told(points, ordered, one, other)


def _parts(work: Rows) -> Iterator[tuple[int, int]]:
    """Yield ranges of pairs of pictures whose ``work``, so far summed up, is about ``PAIRS``."""
    low = 0
    while low < len(work):
        done = int(work[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(work, done + PAIRS, side="right")))
        yield low, high
        low = high


def _by_pair(points: Points, matches: _Matches) -> tuple[_Matches, Rows, Rows]:
    """Return matches sorted by pair of pictures, and where each pair with several starts."""
    left, right = points.owner[matches.left], points.owner[matches.right]
    order = np.lexsort((matches.right, matches.left, right, left))
    ordered = matches.some(order)
    changed = (np.diff(left[order], prepend=-1) != 0) | (np.diff(right[order], prepend=-1) != 0)
    starts = np.flatnonzero(changed)
    counts = np.diff(starts, append=len(order))
    several = counts > 1
    return ordered, starts[several], counts[several]


def _told(points: Points, matches: _Matches, one: Rows, other: Rows) -> pl.DataFrame:
    """Return the pairs of pictures whose matches ``one`` and ``other`` say the same."""
    differ = (matches.left[one] != matches.left[other]) & (
        matches.right[one] != matches.right[other]
    )
    one, other = one[differ], other[differ]
    scale, turn = _motion(points, matches)
    cos, sin = np.cos(turn[one]), np.sin(turn[one])
    # Where the second keypoint of ``left`` should be, seen from the first.
    across, down = _between(points, matches.right, one, other, matches.mirrored)
    size = np.exp2(scale[one])
    seen_across, seen_down = _between(points, matches.left, one, other, mirrored=False)
    off = np.hypot(
        size * (cos * across - sin * down) - seen_across,
        size * (sin * across + cos * down) - seen_down,
    )
    same = (off < APART) & (np.abs(scale[one] - scale[other]) < OCTAVES)
    same &= np.cos(turn[one] - turn[other]) > ASKEW
    agreed = one[same]
    quarters = np.rint(-turn[agreed] / (np.pi / 2)).astype(np.int64) % 4
    return pl.DataFrame(
        {
            "left": points.owner[matches.left[agreed]],
            "right": points.owner[matches.right[agreed]],
            "number": quarters + 4 * matches.mirrored,
        },
        VOTED,
    ).unique()


def _motion(points: Points, matches: _Matches) -> tuple[Floats, Floats]:
    """Return how much larger ``left`` is, in octaves, and how it is turned, in radians."""
    one, other = points.places[matches.left], points.places[matches.right]
    angle = np.pi - other[:, 3] if matches.mirrored else other[:, 3]
    return np.log2(one[:, 2] / other[:, 2]), one[:, 3] - angle


def _between(
    points: Points, side: Rows, one: Rows, other: Rows, mirrored: bool
) -> tuple[Floats, Floats]:
    """Return how far the keypoint of match ``other`` is from that of ``one``, across and down."""
    apart = points.places[side[other], :2] - points.places[side[one], :2]
    return (-apart[:, 0] if mirrored else apart[:, 0]), apart[:, 1]
