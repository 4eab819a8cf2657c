"""What a package holds, whatever its format: images, labels, splits, and where rows are from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Source(ABC):
    """Images of a package, by row. Goes to workers, so it is picklable."""

    @abstractmethod
    def starts(self) -> Rows:
        """Return the first row of each shard, or of each part that is read as a whole."""

    @abstractmethod
    def identity(self) -> bytes:
        """Return what tells these rows from others, without reading them."""


class Files(Source):
    """Images as files: JPEG, PNG or WebP."""

    @abstractmethod
    def files(self, rows: Rows) -> list[bytes | memoryview]:
        """Return the bytes of each row."""


class Pixels(Source):
    """Images as pixels of one shape."""

    shape: tuple[int, int, int]
    """Height, width and channels."""

    @abstractmethod
    def fill(self, rows: Rows, out: NDArray[np.uint8]) -> None:
        """Put rows into ``out``, uint8 (rows, height, width, channels)."""


Provenance = tuple[Sequence[str], NDArray[np.int32]]
"""For each row its sample's name, and the number of the copy."""


@dataclass(frozen=True)
class Contents:
    """An opened package; rows of a split follow one another."""

    format: str
    source: Files | Pixels
    labels: NDArray[np.int64]
    names: Mapping[int, str]
    """Labels by number."""
    splits: Mapping[str, range]
    provenance: Callable[[], Provenance]
    """Read when it is asked for. Goes to workers, so it must be picklable."""


FIRST = ("train", "training", "val", "valid", "validation", "dev", "test")


def in_order(splits: Iterable[str]) -> list[str]:
    """Return splits as people list them: train first, then validation, then test, then others."""
    known = {name: at for at, name in enumerate(FIRST)}
    return sorted(splits, key=lambda name: (known.get(name, len(FIRST)), name))


def ranges(counts: Mapping[str, int]) -> dict[str, range]:
    """Return the rows of each split, from the number of its rows, in this order."""
    ends = np.cumsum([0, *counts.values()]).tolist()
    return {name: range(ends[n], ends[n + 1]) for n, name in enumerate(counts)}
