"""Move units of several labels, one at a time, while that brings all shares nearer.

Such a unit cannot be placed well by one label alone, and those that follow may leave it where it
does harm. The measure is chi-square: squared distance from a share, over that share, summed over
all labels and splits, and over all samples as if they were one label more.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from imagemill.splits.draw import Floats, Ints

PASSES = 5
LARGEST = 10_000
"""Units that are looked at: where there are more, the small ones come out near their shares."""


@dataclass
class State:
    """Samples of each label in each split, and over all in the last row."""

    have: Floats
    goal: Floats
    spread: bool

    def better(self, rows: Ints, amount: Floats, at: int) -> int:
        """Return the split where a unit that is ``at`` one does most good: perhaps the same.

        ``rows`` and ``amount``: its labels and the row over all, and its samples of each.
        """
        off, goal, part = self.have[rows] - self.goal[rows], self.goal[rows], amount[:, None]
        there = ((2 * off + part) * part / goal).sum(axis=0)
        away = ((amount - 2 * off[:, at]) * amount / goal[:, at]).sum()
        gain = there + away
        gain[at] = 0
        best = int(gain.argmin())
        alone = self.spread and bool((self.have[rows, at] == amount).any())
        return at if alone or gain[best] > -1e-9 else best

    def move(self, rows: Ints, amount: Floats, at: int, to: int) -> None:
        """Count a unit in another split."""
        self.have[rows, at] -= amount
        self.have[rows, to] += amount


def mend(
    found: Ints, parts: pl.DataFrame, numbers: Floats, fixed: Ints, shares: Floats, *, spread: bool
) -> Ints:
    """Return ``found``, the split of each unit, with some moved; the rest as ``even.draw`` has it.

    A unit does not leave a split that has a label from it alone, where ``spread`` asks for that.
    """
    unit, label, count = (parts[name].to_numpy() for name in ("unit", "label", "count"))
    first = np.searchsorted(unit, np.arange(len(numbers) + 1))
    size = np.bincount(unit, count, len(numbers))
    mixed = np.flatnonzero(np.diff(first) > 1)
    mixed = mixed[np.lexsort((numbers[mixed], -size[mixed]))][:LARGEST]
    have = fixed.astype(np.float64)
    np.add.at(have, (label, found[unit]), count)
    have = np.vstack([have, have.sum(axis=0)])
    state = State(have, have.sum(axis=1, keepdims=True) * shares, spread)
    found = found.copy()
    for _ in range(PASSES):
        before = found.copy()
        for each in mixed.tolist():
            part = slice(first[each], first[each + 1])
            rows = np.append(label[part], len(fixed))
            amount = np.append(count[part], size[each])
            at = int(found[each])
            if (to := state.better(rows, amount, at)) != at:
                state.move(rows, amount, at, to)
                found[each] = to
        if np.array_equal(before, found):
            break
    return found
