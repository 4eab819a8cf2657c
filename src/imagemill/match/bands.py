"""Which bits of near hashes must be equal: the choices of bands that a search goes through.

By the pigeonhole principle twice over. Cut the 64 bits into parts: two hashes within ``radius``
differ in few bits of one part at least (Norouzi et al., "Fast Exact Search in Hamming Space with
Multi-Index Hashing", 2012). Cut that part into more bands than bits may differ: some of the bands
are equal, so it is enough to compare the hashes that are equal in them, for every choice of as
many bands (Manku et al., "Detecting Near-Duplicates for Web Crawling", 2007).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Moves = list[tuple[int, int]]
"""A permutation of bits: (mask, left shift) of bits that move by as much."""

Work = tuple[float, float]
"""Hashes to sort for a choice, and pairs to compare if no bit had to be equal."""

BITS = 64
BLOCK = 1 << 16  # hashes worked on at a time: few enough for the processor's cache
PARTS = 4  # at most
SAMPLE = 1 << 12  # hashes that tell how many are equal in some bands
FINER = 10  # bands that a part is cut into, at most, beyond the bits that may differ in it

# Nanoseconds on one core, to choose the fastest plan: every plan is exact.
SORTING = 15.0  # to sort one hash and find those equal to it in some bands
COMPARING = 2.5  # to compare two


@dataclass(frozen=True)
class Choice:
    """Bands in which hashes are compared when they are equal; a pair may come up in several."""

    key: int
    """The bits of these bands."""
    unequal: tuple[int, ...]
    """Bands, each of which differs in a pair that no earlier choice of the same part has."""
    parts: tuple[tuple[int, int], ...]
    """Bits of each part up to this choice's, and how many of them may differ for it to count."""

    @cached_property
    def front(self) -> Moves:
        """The permutation that makes the key the highest bits."""
        rest = [bit for bit in range(BITS) if not self.key >> bit & 1]
        return moves(rest + [bit for bit in range(BITS) if self.key >> bit & 1])

    def first(self, differing: Hashes) -> NDArray[np.bool_]:
        """Return whether this choice is the first that has pairs with these differing bits."""
        new: NDArray[np.bool_] = (differing & np.uint64(self.key)) == 0
        for band in self.unequal:
            new &= (differing & np.uint64(band)) != 0
        *earlier, own = [
            np.bitwise_count(differing & np.uint64(part)) <= most for part, most in self.parts
        ]
        for counts in earlier:
            new &= ~counts
        new &= own
        return new


def moves(sources: list[int]) -> Moves:
    """Return the permutation that brings bit ``sources[i]`` to place ``i``."""
    found: dict[int, int] = {}
    for place, source in enumerate(sources):
        found[place - source] = found.get(place - source, 0) | 1 << source
    return [(mask, shift) for shift, mask in found.items()]


def undone(permutation: Moves) -> Moves:
    """Return the permutation that undoes another."""
    return [(mask << shift if shift > 0 else mask >> -shift, -shift) for mask, shift in permutation]


def permuted(hashes: Hashes, permutation: Moves) -> Hashes:
    """Return ``hashes`` with their bits moved."""
    result = np.zeros_like(hashes)
    held = np.empty(min(BLOCK, len(hashes)), np.uint64)
    for start in range(0, len(hashes), BLOCK):
        block, out = hashes[start : start + BLOCK], result[start : start + BLOCK]
        some = held[: len(block)]
        for mask, shift in permutation:
            np.bitwise_and(block, np.uint64(mask), out=some)
            turn = np.left_shift if shift > 0 else np.right_shift
            turn(some, np.uint64(abs(shift)), out=some)
            np.bitwise_or(out, some, out=out)
    return result


def even(hashes: Hashes) -> Moves:
    """Return a permutation after which neighbouring bits, of any part, tell about as much.

    Bits that are nearly always alike would make all hashes equal in a band of them.
    """
    sample = hashes[:: max(1, len(hashes) // SAMPLE)]
    ones = [int((sample >> np.uint64(bit) & np.uint64(1)).sum()) for bit in range(BITS)]
    telling = sorted(range(BITS), key=lambda bit: (abs(2 * ones[bit] - len(sample)), bit))
    return moves([telling[int(f"{place:06b}"[::-1], 2)] for place in range(BITS)])


def plan(base: Hashes, query: Hashes | None, radius: int) -> list[Choice]:
    """Return the choices among which every pair within ``radius`` is, by the fastest plan.

    Of pairs of ``base`` and ``query``, or of ``base`` itself where there is no query.
    """
    count = len(base)
    work = (count, count**2 / 2) if query is None else (count + len(query), count * len(query))
    sample = base[:: max(1, count // SAMPLE)]
    plans = [_plan(parts, radius, sample, work) for parts in range(1, min(radius + 1, PARTS) + 1)]
    return min(plans, key=lambda plan: plan[0])[1]


def _plan(parts: int, radius: int, sample: Hashes, work: Work) -> tuple[float, list[Choice]]:
    """Return the time, in nanoseconds, and the choices of a plan with so many parts."""
    total, choices, counted = 0.0, list[Choice](), list[tuple[int, int]]()
    for number in range(parts):
        low, high = BITS * number // parts, BITS * (number + 1) // parts
        # If every part differed in one bit more, the whole would in more than the radius.
        most = (radius + 1 + number) // parts - 1
        counts = range(max(most, 1), min(high - low, most + FINER) + 1)
        ways = [_bands(low, high, count) for count in counts]
        times = [_time(way, most, sample, work) for way in ways]
        total += min(times)
        counted.append((_mask(low, high), most))
        choices += _choices(ways[times.index(min(times))], tuple(counted))
    return total, choices


def _mask(low: int, high: int) -> int:
    return (1 << high) - (1 << low)


def _bands(low: int, high: int, count: int) -> list[int]:
    edges = [low + (high - low) * band // count for band in range(count + 1)]
    return [_mask(*edge) for edge in pairwise(edges)]


def _choices(bands: list[int], parts: tuple[tuple[int, int], ...]) -> Iterator[Choice]:
    """Yield the choices among the ``bands`` of the last of ``parts``.

    Of a pair with more equal bands than need be, the first ones are chosen.
    """
    most = parts[-1][1]
    for chosen in combinations(range(len(bands)), len(bands) - most):
        last = max(chosen, default=-1)
        unequal = tuple(bands[n] for n in range(last) if n not in chosen)
        yield Choice(sum(bands[n] for n in chosen), unequal, parts)


def _time(bands: list[int], most: int, sample: Hashes, work: Work) -> float:
    equal = len(bands) - most
    keys = [sum(bands[:equal]), sum(bands[most:]), sum(bands[::2][:equal])]
    share = sum(_equal(sample, key) for key in keys) / len(keys)
    return comb(len(bands), equal) * (SORTING * work[0] + COMPARING * work[1] * share)


def _equal(sample: Hashes, key: int) -> float:
    """Return the share of pairs that are equal in ``key``, at least as many as by chance."""
    _, counts = np.unique(sample & np.uint64(key), return_counts=True)
    pairs = len(sample) * (len(sample) - 1)
    found = int((counts * (counts - 1)).sum()) / max(pairs, 1)
    return max(found, 0.5 ** key.bit_count())
