"""Exact search for 64-bit hashes that differ in few bits.

Multi-index hashing (Norouzi et al., "Fast Exact Search in Hamming Space with Multi-Index
Hashing", 2012): of the four 16-bit bands of two hashes that differ in ``radius`` bits, one at
least differs in a quarter of them, so only hashes that nearly agree in a band are compared.
Nothing within the radius is missed.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
Found = tuple[Indices, Indices, Indices]

BANDS = 4
WIDTH = 16  # bits of a band
CHUNK = 1 << 20  # candidate pairs compared at a time: about 50 MB


def near(base: Hashes, query: Hashes, radius: int) -> Iterator[Found]:
    """Yield (base index, query index, distance) of all pairs within ``radius`` bits.

    Each pair once, in chunks of bounded length and of no particular order.
    """
    spread = _spread(radius)
    for band, most in enumerate(spread):
        order, bounds = _buckets(_band(base, band))
        ordered = base[order]
        for probe in _probes(_band(query, band), most):
            for place, right in _sharing(bounds, probe):
                differing = ordered[place] ^ query[right]
                distance = np.bitwise_count(differing).astype(np.int64)
                hit = distance <= radius
                for earlier in range(band):  # which has found it already
                    hit &= np.bitwise_count(_band(differing, earlier)) > spread[earlier]
                yield order[place[hit]], right[hit], distance[hit]


def _spread(radius: int) -> list[int]:
    """Return how many bits each band may differ in; -1 where one need not be looked at.

    If every band differed in more, the whole would differ in more than ``radius``.
    """
    least, rest = divmod(radius, BANDS)
    return [least if band <= rest else least - 1 for band in range(BANDS)]


def _band(hashes: Hashes, band: int) -> NDArray[np.uint16]:
    return (hashes >> np.uint64(WIDTH * band)).astype(np.uint16)


def _buckets(values: NDArray[np.uint16]) -> tuple[Indices, Indices]:
    """Return the order that sorts ``values``, and where in it each possible value begins."""
    counts = np.bincount(values, minlength=1 << WIDTH)
    return np.argsort(values, kind="stable"), np.concatenate([[0], np.cumsum(counts)])


def _probes(values: NDArray[np.uint16], most: int) -> Iterator[NDArray[np.uint16]]:
    """Yield ``values`` with every choice of at most ``most`` bits flipped."""
    for count in range(most + 1):
        for bits in combinations(range(WIDTH), count):
            yield values ^ np.uint16(sum(1 << bit for bit in bits))


def _sharing(bounds: Indices, probe: NDArray[np.uint16]) -> Iterator[tuple[Indices, Indices]]:
    """Yield places in the sorted base and numbers of the probe with equal values, in chunks."""
    start = bounds[probe]
    count = bounds[probe.astype(np.int64) + 1] - start
    ends = np.cumsum(count)
    total = int(ends[-1]) if len(ends) else 0
    for first in range(0, total, CHUNK):
        pairs = np.arange(first, min(first + CHUNK, total))
        low, high = np.searchsorted(ends, [pairs[0], pairs[-1]], "right")
        runs = np.arange(low, high + 1)
        inside = np.minimum(ends[runs], pairs[-1] + 1) - np.maximum(ends[runs] - count[runs], first)
        right = np.repeat(runs, inside)
        yield start[right] + pairs - (ends[right] - count[right]), right
