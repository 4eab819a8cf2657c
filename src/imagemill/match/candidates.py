"""Pairs of pictures whose perceptual hashes are near, under any rotation or mirror.

The hash of a turned picture is not exactly the turned hash (its median may move), so each pair is
compared both ways round, and the smaller distance counts.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.match import hamming
from imagemill.match.hamming import TooManyError
from imagemill.tables import INVERSE, TRANSFORMS

NEAR = {"left": pl.Int64, "right": pl.Int64, "number": pl.Int64, "distance": pl.Int64}
"""``right`` under transform ``number`` is near ``left``, a lower row number."""

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]

UPRIGHT = np.array([0])  # the number of the transform that is none


def candidates(hashes: Hashes, new: Rows, radius: int, most: int) -> pl.DataFrame:
    """Return the pairs, one at least of them ``new``, within ``radius`` bits, as ``NEAR``, sorted.

    ``hashes`` (n, 8) are those of the pictures under all transforms. Raises ``TooManyError``,
    with the row of a picture that is in many, when there are more than ``most``.
    """
    if not len(new):
        return pl.DataFrame(schema=NEAR)
    every = np.arange(len(hashes))
    upright = _Hashes(hashes, every, UPRIGHT)
    if len(new) == len(hashes):
        turned = _Hashes(hashes, every, np.arange(1, len(TRANSFORMS)))
        found = [_within(upright, radius, most), _near(upright, turned, radius, most)]
    else:
        numbers = np.arange(len(TRANSFORMS))
        found = [
            _near(_Hashes(hashes, new, UPRIGHT), _Hashes(hashes, every, numbers), radius, most),
            _near(upright, _Hashes(hashes, new, numbers), radius, most),
        ]
    pairs = pl.concat(found).group_by("left", "right", "number").agg(pl.col("distance").min())
    return pairs.select(*NEAR).sort("left", "right", "number")


class _Hashes:
    """The distinct hashes of some pictures under some transforms, and whose they are."""

    def __init__(self, hashes: Hashes, rows: Rows, numbers: Rows) -> None:
        some = hashes[np.ix_(rows, numbers)]
        self._rows, self._numbers = rows, numbers
        self._order = np.argsort(some, axis=None)
        ordered = some.ravel()[self._order]
        self._first = np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]))
        self.distinct = ordered[self._first]
        self.counts = np.diff(self._first, append=len(ordered))

    def owners(self, at: Rows, nth: Rows | int = 0) -> tuple[Rows, Rows]:
        """Return the row and the transform of the ``nth`` that has each of these hashes."""
        place = self._order[self._first[at] + nth]
        width = len(self._numbers)
        return self._rows[place // width], self._numbers[place % width]


def _within(upright: _Hashes, radius: int, most: int) -> pl.DataFrame:
    try:
        one, other, distance = hamming.within(upright.distinct, radius, most)
    except TooManyError as error:
        raise _named(error.index, upright) from error
    equal = np.flatnonzero(upright.counts > 1)
    ones, others = np.concatenate([one, equal]), np.concatenate([other, equal])
    distances = np.concatenate([distance, np.zeros(len(equal), np.uint8)])
    return _owned(upright, upright, (ones, others, distances), most)


def _near(upright: _Hashes, turned: _Hashes, radius: int, most: int) -> pl.DataFrame:
    try:
        found = hamming.near(upright.distinct, turned.distinct, radius, most)
    except TooManyError as error:
        raise _named(error.index, upright) from error
    return _owned(upright, turned, found, most)


def _owned(upright: _Hashes, turned: _Hashes, found: hamming.Found, most: int) -> pl.DataFrame:
    """Return the pairs of pictures that have the pairs of hashes ``found``."""
    one, other, distance = found
    width = turned.counts[other]
    times = upright.counts[one] * width
    if times.sum() > most:
        raise _named(int(np.bincount(one, weights=times).argmax()), upright)
    each = np.repeat(np.arange(len(one)), times)
    nth = np.arange(len(each)) - np.repeat(np.cumsum(times) - times, times)
    left, _ = upright.owners(one[each], nth // width[each])
    right, number = turned.owners(other[each], nth % width[each])
    return _ordered(left, right, number, distance[each].astype(np.int64))


def _named(index: int, hashes: _Hashes) -> TooManyError:
    return TooManyError(int(hashes.owners(np.array([index]))[0][0]))


def _ordered(left: Rows, right: Rows, number: Rows, distance: Rows) -> pl.DataFrame:
    swapped = left > right
    back = np.array(INVERSE)[number]
    found = {
        "left": np.where(swapped, right, left),
        "right": np.where(swapped, left, right),
        "number": np.where(swapped, back, number),
        "distance": distance,
    }
    return pl.DataFrame(found, NEAR).filter(pl.col("left") < pl.col("right"))
