"""In which order rows are read: the same for a seed and an epoch on any machine."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from imagemill.readers.contents import Rows
from imagemill.readers.errors import PackageError

Shuffle = Literal["none", "rows", "shards"]
"""none: as they lie; rows: any row anywhere; shards: few shards at a time, for slow disks."""

Uneven = Literal["keep", "drop", "repeat"]
"""What becomes of rows that cannot be divided by the ranks."""

MIXED = 8  # shards whose rows are shuffled together


@dataclass(frozen=True)
class Order:
    """How the rows of an epoch follow one another, and which of them a rank gets."""

    shuffle: Shuffle
    seed: int
    rank: int
    world: int
    uneven: Uneven

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise PackageError(f"seed={self.seed!r} must be a whole number, 0 or more")
        if not 0 <= self.rank < self.world:
            raise PackageError(f"rank={self.rank} must be from 0 to world - 1 = {self.world - 1}")
        for name, given, known in (
            ("shuffle", self.shuffle, get_args(Shuffle)),
            ("uneven", self.uneven, get_args(Uneven)),
        ):
            if given not in known:
                raise PackageError(f"{name}={given!r} is none of {', '.join(map(repr, known))}")

    def count(self, rows: int) -> int:
        """Return how many of so many rows this rank gets."""
        if self.uneven == "repeat":
            return -(-rows // self.world)
        return rows // self.world + (self.uneven == "keep" and self.rank < rows % self.world)

    def positions(self, epoch: int, count: int, starts: Rows) -> Rows:
        """Return positions of this rank's rows among ``count``; shards begin at ``starts``."""
        chance = _chance(self.seed, epoch)
        if self.shuffle == "shards" and count:
            return self._by_shards(chance, count, starts)
        everything = np.arange(count, dtype=np.int64)
        if self.shuffle == "rows":
            everything = chance.permutation(count).astype(np.int64)
        return self._evened(everything)[self.rank :: self.world]

    def _evened(self, rows: Rows) -> Rows:
        if self.uneven == "keep":
            return rows
        if self.uneven == "drop":
            return rows[: len(rows) // self.world * self.world]
        return np.resize(rows, -(-len(rows) // self.world) * self.world)

    def _by_shards(self, chance: np.random.RandomState, count: int, starts: Rows) -> Rows:
        """Return rows of shards in random order; each rank has whole shards, but for its ends."""
        ends = np.append(starts[1:], count)
        order = chance.permutation(len(starts))
        spans = [np.arange(starts[n], ends[n], dtype=np.int64) for n in order]
        everything = self._evened(np.concatenate(spans))
        cuts = np.cumsum([0, *(Order.count(self._of(r), count) for r in range(self.world))])
        mine = everything[cuts[self.rank] : cuts[self.rank + 1]]
        step = max(1, MIXED * count // len(starts))
        for at in range(0, len(mine), step):
            mine[at : at + step] = chance.permutation(mine[at : at + step])
        return mine

    def _of(self, rank: int) -> "Order":
        return Order(self.shuffle, self.seed, rank, self.world, self.uneven)


def _chance(seed: int, epoch: int) -> np.random.RandomState:
    """Return a generator whose stream NumPy has frozen, unlike that of ``default_rng``."""
    words = np.random.SeedSequence([seed, epoch]).generate_state(8)
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(words.tolist())))


def batches(rows: Rows, each: int, whole: bool) -> list[Rows]:
    """Cut rows into batches; with ``whole`` the last one is left out where it is smaller."""
    end = len(rows) // each * each if whole else len(rows)
    return [rows[at : at + each] for at in range(0, end, each)]
