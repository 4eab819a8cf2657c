"""Exact search for 64-bit hashes that differ in few bits; nothing within the radius is missed.

For every choice of bits that near hashes may have in common (``bands``), the hashes are sorted by
these bits and those that are equal in them compared. Each pair is taken from one choice only.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.match.bands import BLOCK, Choice, Hashes, Moves, even, permuted, plan, undone

Indices = NDArray[np.int64]
Found = tuple[Indices, Indices, NDArray[np.uint8]]
Values = tuple[Hashes, Hashes]

SIFT = 1 << 20  # pairs of one choice that are held before they are sifted


class TooManyError(Exception):
    """More pairs are near than the caller can take, a good part of them with ``base[index]``."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def within(hashes: Hashes, radius: int, most: int) -> Found:
    """Return the pairs of ``hashes``, all different, that differ in at most ``radius`` bits.

    As (one index, greater index, differing bits), sorted. Raises ``TooManyError`` when there are
    more than ``most``.
    """
    packed = _search(hashes, None, radius, most)
    one, other = _unpacked(packed)
    np.copyto(packed, _packed(np.minimum(one, other), np.maximum(one, other)))
    return _sorted(packed, hashes, hashes)


def near(base: Hashes, query: Hashes, radius: int, most: int) -> Found:
    """Return the pairs of one of ``base`` and one of ``query`` within ``radius`` bits.

    As (base index, query index, differing bits), sorted. The hashes of each side are all
    different. Raises ``TooManyError`` when there are more than ``most`` pairs.
    """
    return _sorted(_search(base, query, radius, most), base, query)


def _packed(one: Indices, other: Indices) -> Hashes:
    return one.astype(np.uint64) << np.uint64(32) | other.astype(np.uint64)


def _unpacked(pairs: Hashes) -> tuple[Indices, Indices]:
    other = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return (pairs >> np.uint64(32)).astype(np.int64), other


def _sorted(packed: Hashes, base: Hashes, query: Hashes) -> Found:
    packed.sort()
    one, other = _unpacked(packed)
    return one, other, np.bitwise_count(base[one] ^ query[other])


def _search(base: Hashes, query: Hashes | None, radius: int, most: int) -> Hashes:
    """Return the packed pairs of ``base`` and ``query``, or of ``base`` itself, in any order."""
    evened = even(base)
    left = _Side(base, evened)
    right = left if query is None else _Side(query, evened)
    choices = plan(left.hashes, None if query is None else right.hashes, radius)
    search = _Search(left, right, radius, most)
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        try:
            found = list(pool.map(search.pairs, choices))
        finally:
            pool.shutdown(cancel_futures=True)
    return np.concatenate([np.empty(0, np.uint64), *found])


class _Side:
    """The hashes of one side, their bits evened out, and where each of them is."""

    def __init__(self, hashes: Hashes, evened: Moves) -> None:
        self.hashes = permuted(hashes, evened)
        self._order = np.argsort(self.hashes)
        self._ordered = self.hashes[self._order]

    def ordered(self, choice: Choice) -> Hashes:
        """Return the hashes with the key of ``choice`` in front, sorted."""
        moved = permuted(self.hashes, choice.front)
        moved.sort()
        return moved

    def indices(self, hashes: Hashes) -> Indices:
        """Return where these hashes are."""
        return self._order[np.searchsorted(self._ordered, hashes)]


@dataclass
class _Search:
    """One search, by threads: NumPy lets them run side by side while it works on arrays."""

    left: _Side
    right: _Side
    radius: int
    most: int
    found: int = 0
    lock: Lock = field(default_factory=Lock)

    def pairs(self, choice: Choice) -> Hashes:
        """Return the packed indices of the near pairs that no earlier choice has."""
        parts = [self._new(part, choice) for part in _gathered(self._near(choice))]
        return np.concatenate(parts)

    def _new(self, pairs: Values, choice: Choice) -> Hashes:
        one, other = (permuted(side, undone(choice.front)) for side in pairs)
        new = choice.first(one ^ other)
        left, right = self.left.indices(one[new]), self.right.indices(other[new])
        with self.lock:
            self.found += len(left)
        if self.found > self.most:
            raise TooManyError(int(np.bincount(left).argmax()))
        return _packed(left, right)

    def _near(self, choice: Choice) -> Iterator[Values]:
        """Yield the pairs within the radius that are equal in the key, which is in front."""
        own = self.right is self.left
        base = self.left.ordered(choice)
        query = base if own else self.right.ordered(choice)
        bits = min(choice.key.bit_count(), len(base).bit_length())
        counts = np.bincount(_highest(base, bits), minlength=1 << bits)
        ends = np.cumsum(counts)
        for first in range(0, len(query), BLOCK):
            block = query[first : first + BLOCK]
            at = _highest(block, bits)
            start = first + 1 + np.arange(len(block)) if own else (ends - counts)[at]
            yield from _compared(base, block, start, ends[at] - start, self.radius)


def _highest(hashes: Hashes, bits: int) -> Indices:
    return (hashes >> np.uint64(64 - bits)).astype(np.int64)


def _compared(
    base: Hashes, block: Hashes, start: Indices, count: Indices, radius: int
) -> Iterator[Values]:
    """Yield the near pairs of each of ``block`` and its ``count`` of ``base`` from ``start`` on."""
    held, bits, near = (np.empty(len(block), kind) for kind in (np.uint64, np.uint8, np.bool_))
    longest = int(count.max(initial=0))
    for step in range(longest):
        live = np.flatnonzero(count > step)
        if len(live) < longest - step:  # few with many to compare
            yield from _compared_singly(base, block[live], start[live], count[live] - step, radius)
            return
        if 2 * len(live) <= len(block):
            block, start, count = block[live], start[live], count[live]
        other = base.take(start, out=held[: len(block)], mode="clip")
        differing = np.bitwise_xor(other, block, out=other)
        differ = np.bitwise_count(differing, out=bits[: len(block)])
        hit = np.flatnonzero(np.less_equal(differ, radius, out=near[: len(block)]))
        if len(hit):
            hit = hit[count[hit] > step]
            yield differing[hit] ^ block[hit], block[hit]
        start += 1


def _compared_singly(
    base: Hashes, block: Hashes, start: Indices, count: Indices, radius: int
) -> Iterator[Values]:
    for one, low, length in zip(block, start, count, strict=True):
        for first in range(low, low + length, BLOCK):
            many = base[first : min(first + BLOCK, low + length)]
            hit = many[np.bitwise_count(many ^ one) <= radius]
            yield hit, np.full(len(hit), one)


def _gathered(parts: Iterable[Values]) -> Iterator[Values]:
    """Yield the pairs of many small parts in few large ones."""
    held: list[Values] = []
    length = 0
    for part in parts:
        held.append(part)
        length += len(part[0])
        if length >= SIFT:
            yield _joined(held)
            held, length = [], 0
    yield _joined(held)


def _joined(parts: list[Values]) -> Values:
    none = np.empty(0, np.uint64)
    ones = np.concatenate([none, *(one for one, _ in parts)])
    return ones, np.concatenate([none, *(other for _, other in parts)])
