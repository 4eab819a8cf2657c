"""Exact search for 64-bit hashes that differ in few bits.

Pigeonhole (Norouzi et al., "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2012):
two hashes within ``radius`` bits agree on at least one of ``radius + 1`` bands of bits, so only
hashes that share a band are compared. Nothing within the radius is missed.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

CHUNK = 1 << 22  # candidate pairs compared at a time: about 100 MB


def within(base: Hashes, query: Hashes, radius: int) -> tuple[Indices, Indices, Indices]:
    """Return all (base index, query index, distance) with at most ``radius`` differing bits.

    Each pair once, sorted by base and query index.
    """
    found: list[NDArray[np.int64]] = [np.empty((0, 3), np.int64)]
    for band in _bands(radius + 1):
        for left, right in _sharing(base & band, query & band):
            distance = np.bitwise_count(base[left] ^ query[right]).astype(np.int64)
            near = distance <= radius
            found.append(np.stack([left[near], right[near], distance[near]], axis=1))
    rows = np.unique(np.concatenate(found), axis=0)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _bands(count: int) -> list[np.uint64]:
    edges = [round(64 * i / count) for i in range(count + 1)]
    return [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]


def _sharing(base: Hashes, query: Hashes) -> Iterator[tuple[Indices, Indices]]:
    """Yield index arrays of all pairs with equal values, in bounded chunks."""
    order = np.argsort(base, kind="stable")
    start = np.searchsorted(base[order], query, "left")
    count = np.searchsorted(base[order], query, "right") - start
    total = np.cumsum(count)
    first = 0
    while first < len(query):
        before = total[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(total, before + CHUNK, "right")))
        part = slice(first, last)
        right = np.repeat(np.arange(first, last), count[part])
        ends = np.cumsum(count[part])
        within_run = np.arange(len(right)) - np.repeat(ends - count[part], count[part])
        yield order[np.repeat(start[part], count[part]) + within_run], right
        first = last
