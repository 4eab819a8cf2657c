"""Draw units so that every split gets its share of all samples and of each label.

The quota method of apportionment (Balinski and Young 1975), run on all labels at once. Units of
several samples go first, the largest first. A split is *behind* in a label while it has less than
its share of what is placed of it, the unit included. A unit goes to a split that is behind in its
labels; of several, the one that needs it most overall has it, by Sainte-Laguë's divisors. Units of
one sample then fill what each label lacks, all labels in one go; the few that rounding leaves over
go one by one like the large ones, the least free first. Hashes decide between equals.

The bound, where each unit has one label: a split gets less of a label than its share plus one unit,
the largest of the label, unless more is fixed there; and lacks at most what the others have beyond
theirs. With two splits: less than one unit off. A unit of several labels goes where it is least
beyond a share; there is no bound then, and ``mend`` looks at it again. Over all: less than one
sample off with two splits and units of one sample; else there is no proof (bench/README.md has
figures). Where ``spread`` asks so, a label with a unit for each split is in each, which may cost
the fractions one unit a rare label and split.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from imagemill.splits.draw import Floats, Ints

TINY = 1e-9
"""Less than any difference between shares of whole samples."""

Parts = Sequence[tuple[int, int]]
"""Of a unit: labels, and its samples of each."""


@dataclass
class Counts:
    """Samples that are placed, and units that wait."""

    have: list[list[int]]
    """Samples placed, by label and split."""
    placed: list[int]
    """Samples placed, by label."""
    whole: list[int]
    """Samples there will be, by label."""
    waiting: list[int]
    """Units not placed, by label."""
    total: list[int]
    """Samples placed, by split."""
    shares: list[float]
    spread: bool

    def place(self, parts: Parts) -> int:
        """Count a unit in; return its split."""
        split = self._best(parts)
        for label, count in parts:
            self.have[label][split] += count
            self.placed[label] += count
            self.waiting[label] -= 1
            self.total[split] += count
        return split

    def slack(self) -> Ints:
        """Return for each label how many splits lack some of it, less the units that wait."""
        whole = np.array(self.whole).reshape(-1, 1)
        have = np.array(self.have).reshape(-1, len(self.shares))
        lacking = have < whole * np.array(self.shares) - TINY
        found: Ints = lacking.sum(axis=1) - np.array(self.waiting)
        return found

    def _best(self, parts: Parts) -> int:
        harm = [0.0] * len(self.shares)
        for label, count in parts:
            goal = self.placed[label] + count
            self._add_harm(harm, label, count, goal)
        least = min(harm) + TINY
        half = sum(count for _, count in parts) / 2
        need = [(have + half) / share for have, share in zip(self.total, self.shares, strict=True)]
        return min(range(len(need)), key=lambda s: (harm[s] > least, need[s]))

    def _add_harm(self, harm: list[float], label: int, count: int, goal: int) -> None:
        have = self.have[label]
        for split, share in enumerate(self.shares):
            if have[split] > share * goal - TINY:
                harm[split] += (have[split] + count - share * goal) / self.whole[label]
        if self.spread and self.waiting[label] <= have.count(0):
            for split, there in enumerate(have):
                harm[split] += there > 0


def draw(
    parts: pl.DataFrame, numbers: Floats, fixed: Ints, shares: Floats, *, spread: bool
) -> Ints:
    """Return the position of the split of each unit.

    ``parts``: ``unit, label, count`` (Int64), sorted by unit and label: samples of each label in
    each unit. ``numbers``: by unit, in 0..1. ``fixed``: samples that are there already, by label
    and split. ``shares``: by split, above 0, with the sum 1.
    """
    unit, label, count = (parts[name].to_numpy() for name in ("unit", "label", "count"))
    size = np.bincount(unit, count, len(numbers)).astype(np.int64)
    first = np.searchsorted(unit, np.arange(len(numbers) + 1))
    counts = _counts(label, count, fixed, shares, spread=spread)
    found = np.full(len(numbers), -1, np.int64)

    def one_by_one(these: Ints) -> None:
        for each, listed in zip(these.tolist(), _listed(these, first, label, count), strict=True):
            found[each] = counts.place(listed)

    large = np.flatnonzero(size > 1)
    one_by_one(large[np.lexsort((numbers[large], -size[large]))])
    ones = np.flatnonzero(size == 1)
    of = label[first[ones]]
    found[ones] = _fill(of, numbers[ones], counts)
    over = np.flatnonzero(found < 0)
    slack = counts.slack()[label[first[over]]]
    one_by_one(over[np.lexsort((numbers[over], slack))])
    return found


def _counts(label: Ints, count: Ints, fixed: Ints, shares: Floats, *, spread: bool) -> Counts:
    placed = fixed.sum(axis=1)
    coming = np.bincount(label, count, len(fixed)).astype(np.int64)
    return Counts(
        have=fixed.tolist(),
        placed=placed.tolist(),
        whole=(placed + coming).tolist(),
        waiting=np.bincount(label, minlength=len(fixed)).tolist(),
        total=fixed.sum(axis=0).tolist(),
        shares=shares.tolist(),
        spread=spread,
    )


def _listed(these: Ints, first: Ints, label: Ints, count: Ints) -> Iterator[Parts]:
    for start, end in zip(first[these].tolist(), first[these + 1].tolist(), strict=True):
        yield list(zip(label[start:end].tolist(), count[start:end].tolist(), strict=True))


def _fill(of: Ints, numbers: Floats, counts: Counts) -> Ints:
    """Place units of one sample, of which ``of`` is the label; return -1 for those left over."""
    shares = np.array(counts.shares)
    have = np.array(counts.have, np.int64).reshape(-1, len(shares))
    coming = np.bincount(of, minlength=len(have))
    sure = _sure(have, coming, shares, spread=counts.spread)
    order = np.lexsort((numbers, of))
    rank = np.arange(len(of)) - np.searchsorted(of[order], of[order])
    split = (rank[:, None] >= sure.cumsum(axis=1)[of[order]]).sum(axis=1)
    found = np.empty(len(of), np.int64)
    found[order] = np.where(split < len(shares), split, -1)
    have += sure
    counts.have, counts.placed = have.tolist(), have.sum(axis=1).tolist()
    counts.waiting, counts.total = (coming - sure.sum(axis=1)).tolist(), have.sum(axis=0).tolist()
    return found


def _sure(have: Ints, coming: Ints, shares: Floats, *, spread: bool) -> Ints:
    """Return how many of ``coming`` each split has to get, by label and split."""
    empty = (have == 0) & spread
    few = empty.any(axis=1) & (coming <= empty.sum(axis=1))  # one each, as needs them most
    least = (empty & ~few[:, None]).astype(np.int64)
    wanted = _level(have, least, np.where(few, 0, coming), shares)
    return np.floor(wanted + TINY).astype(np.int64)


def _level(have: Ints, least: Ints, coming: Ints, shares: Floats) -> Floats:
    """Return how many of ``coming`` each split gets, to be as near its share as can be.

    By label and split: at least ``least``, else what lifts the split to its share of one level,
    the same for all splits of a label; the rows add up to ``coming``.
    """
    start = (have + least) / shares
    order = np.argsort(start, axis=1, kind="stable")
    begins = np.take_along_axis(start, order, axis=1)
    width = shares[order].cumsum(axis=1)
    spent = np.take_along_axis(start * shares, order, axis=1).cumsum(axis=1)
    levels = ((coming - least.sum(axis=1))[:, None] + spent) / width
    top = (levels >= begins - TINY).cumsum(axis=1).argmax(axis=1)
    level = np.take_along_axis(levels, top[:, None], axis=1)
    return np.maximum(least, level * shares - have)
