"""Pairs of pictures whose vectors, of unit length, point nearly the same way: all of them, exactly.

Each is compared with each by matrix products of blocks. Those sum up in an order of their own, so
what comes near the limit is computed again, in one order, and that counts.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.match.hamming import TooManyError

Rows = NDArray[np.int64]
Vectors = NDArray[np.float16] | NDArray[np.float32]

ALIKE = {"left": pl.Int64, "right": pl.Int64}
BLOCK = 1 << 11  # vectors of either side of a product
MARGIN = 1e-3  # by which a product may be off
DECIMALS = 4


def alike(one: Vectors, other: Vectors, new: Rows, least: float, most: int) -> pl.DataFrame:
    """Return the rows, as ``ALIKE``, where one has at least that cosine to another, the greater.

    Of ``one`` and ``other``, both (n, d), one row at least is ``new``. Raises ``TooManyError``,
    with a row that is in many, when there are more than ``most``.
    """
    fresh = np.zeros(len(one), np.bool_)
    fresh[new] = True
    found, total = [pl.DataFrame(schema=ALIKE)], 0
    for left, right in _near(one, other, new, fresh, least - MARGIN):
        exact = cosines(one[left], other[right]) >= least
        found.append(pl.DataFrame({"left": left[exact], "right": right[exact]}, ALIKE))
        total += len(found[-1])
        if total > most:
            every = np.concatenate([each[side] for each in found for side in ("left", "right")])
            raise TooManyError(int(np.bincount(every).argmax()))
    return pl.concat(found).unique().sort("left", "right")


def cosines(one: Vectors, other: Vectors) -> NDArray[np.float64]:
    """Return the cosines, to 4 decimals, of vectors (n, d) that belong together."""
    products = [
        np.einsum(
            "ij,ij->i",
            one[first : first + BLOCK].astype(np.float64),
            other[first : first + BLOCK].astype(np.float64),
        )
        for first in range(0, len(one), BLOCK)
    ]
    return np.concatenate([np.empty(0), *products]).round(DECIMALS)


def _near(
    one: Vectors, other: Vectors, new: Rows, fresh: NDArray[np.bool_], least: float
) -> Iterator[tuple[Rows, Rows]]:
    for first in range(0, len(one), BLOCK):
        block = np.arange(first, min(first + BLOCK, len(one)))
        lefts, rights = one[block].astype(np.float32), other[block].astype(np.float32)
        for start in range(0, len(new), BLOCK):
            rows = new[start : start + BLOCK]
            yield from _both(lefts, rights, block, one, other, rows, fresh, least)


def _both(
    lefts: Vectors,
    rights: Vectors,
    block: Rows,
    one: Vectors,
    other: Vectors,
    rows: Rows,
    fresh: NDArray[np.bool_],
    least: float,
) -> Iterator[tuple[Rows, Rows]]:
    """Yield the near pairs of a block of all and some new ones, the lower row first."""
    low, high = int(block[0]), int(block[-1])
    if low < rows[-1]:
        at, by = np.nonzero(lefts @ other[rows].astype(np.float32).T >= least)
        left, right = block[at], rows[by]
        yield left[left < right], right[left < right]
    if rows[0] < high and not fresh[block].all():
        by, at = np.nonzero(one[rows].astype(np.float32) @ rights.T >= least)
        left, right = rows[by], block[at]
        old = (left < right) & ~fresh[right]  # of two new ones, the other product has told
        yield left[old], right[old]
