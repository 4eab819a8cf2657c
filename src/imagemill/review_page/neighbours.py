"""The images most like one, by their embeddings."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROWS = 1 << 16  # embeddings compared at a time


class Neighbour(NamedTuple):
    """An image and how like it is."""

    digest: str
    likeness: float
    """Cosine."""


class Neighbours:
    """Looks through all embeddings of a build; they stay in memory, two bytes a number."""

    def __init__(self, table: Path) -> None:
        rows = pl.read_parquet(table, columns=["digest", "embedding"]).sort("digest")
        self._digests = rows["digest"]
        flat = np.frombuffer(b"".join(rows["embedding"]), "<f2")
        self._vectors: NDArray[np.float16] = flat.reshape(len(rows), -1)

    def of(self, digest: str, count: int) -> list[Neighbour]:
        """Return the ``count`` images most like it, the nearest first; none where it has no row."""
        at = int(self._digests.search_sorted(digest))
        if at >= len(self._digests) or self._digests[at] != digest:
            return []
        mine = self._vectors[at].astype(np.float32)
        parts = range(0, len(self._vectors), ROWS)
        likeness = np.concatenate(
            [self._vectors[start : start + ROWS].astype(np.float32) @ mine for start in parts]
        )
        likeness[at] = -np.inf
        best = np.argsort(-likeness, kind="stable")[: min(count, len(likeness) - 1)]
        return [Neighbour(self._digests[int(each)], float(likeness[each])) for each in best]
