"""An opened package: rows, labels, splits, and pictures of them."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill import label_maps
from imagemill.errors import suggest
from imagemill.readers import grid, layout, numbering
from imagemill.readers.contents import Contents, Provenance, Rows
from imagemill.readers.errors import LabelsChanged, PackageError
from imagemill.readers.pixels import Images, Look


class Item(NamedTuple):
    """One row of a package."""

    image: Image.Image
    label: int
    name: str
    """Of the label."""


@dataclass(frozen=True)
class Package:
    """A package, or some of its rows; made by ``imagemill.open``."""

    path: Path
    contents: Contents
    rows: Rows
    """Of the contents, in the order of this package."""
    names: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def format(self) -> str:
        """The package stage's name of the format."""
        return self.contents.format

    @property
    def labels(self) -> NDArray[np.int64]:
        """The number of each row's label."""
        return self.contents.labels[self.rows]

    @property
    def label_map(self) -> dict[int, str]:
        """Labels by number, those without an image too. Store it with what you train."""
        return dict(self.names)

    @property
    def num_labels(self) -> int:
        """One more than the largest number: the outputs that a classifier needs."""
        return max(self.names, default=-1) + 1

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split. ``all`` is the split of images that have none."""
        found = {
            name: int(np.count_nonzero((self.rows >= span.start) & (self.rows < span.stop)))
            for name, span in self.contents.splits.items()
        }
        return {name: count for name, count in found.items() if count}

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each label."""
        found = np.bincount(self.labels, minlength=self.num_labels).tolist()
        return {label: found[number] for number, label in self.names.items()}

    @property
    def weights(self) -> NDArray[np.float32]:
        """Weight of each label by number, inverse to its rows: their mean over all rows is 1.

        0 where a label has no row. As scikit-learn's ``class_weight="balanced"``.
        """
        found = np.bincount(self.labels, minlength=self.num_labels)
        there = np.count_nonzero(found)
        weights = len(self) / np.maximum(found * there, 1)
        return np.where(found > 0, weights, 0).astype(np.float32)

    @property
    def samples(self) -> list[str]:
        """Of each row the sample that it is from: ``<source>/<key>``."""
        said = self._provenance[0]
        return [said[row] for row in self.rows.tolist()]

    @property
    def copies(self) -> NDArray[np.int32]:
        """Of each row 0 for an image itself; 1, 2, ... for what augmentation derived from it."""
        return self._provenance[1][self.rows]

    @cached_property
    def _provenance(self) -> Provenance:
        return self.contents.provenance()

    @overload
    def __getitem__(self, key: int) -> Item: ...
    @overload
    def __getitem__(self, key: str | slice | Sequence[int] | NDArray[Any]) -> "Package": ...
    def __getitem__(self, key: Any) -> "Item | Package":
        """Return the row of a number; or the part that is a split, a slice, or any rows."""
        if isinstance(key, int | np.integer):
            if not -len(self) <= key < len(self):
                raise IndexError(f"{self.path}: row {key:,} of {len(self):,}")
            return next(iter(self._items(self.rows[[int(key)]])))
        if isinstance(key, str):
            return self._split(key)
        return replace(self, rows=self.rows[key] if isinstance(key, slice) else self._of(key))

    def _of(self, key: Any) -> Rows:
        """Return the rows that a list of numbers names, or a mask."""
        found = np.asarray(key)
        rows: Rows = self.rows[found if found.size else found.astype(np.int64)]
        return rows

    def _split(self, name: str) -> "Package":
        if name not in self.contents.splits:
            raise PackageError(f"{self.path}: no split {name}{suggest(name, self.contents.splits)}")
        span = self.contents.splits[name]
        return replace(self, rows=self.rows[(self.rows >= span.start) & (self.rows < span.stop)])

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self), 64):
            yield from self._items(self.rows[start : start + 64])

    def _items(self, rows: Rows) -> Iterator[Item]:
        images = Images(self.contents, Look()).images(rows)
        for image, label in zip(images, self.contents.labels[rows].tolist(), strict=True):
            yield Item(image, label, self.names[label])

    def take(self, rows: Sequence[int] | NDArray[Any]) -> list[Item]:
        """Return items of any rows, in any order, also several times."""
        return list(self._items(self._of(rows)))

    def sample(self, count: int = 25, seed: int | None = None) -> list[Item]:
        """Return random items, each at most once; the same ones for the same ``seed``."""
        return self.take(self._drawn(count, seed))

    def _drawn(self, count: int, seed: int | None) -> Rows:
        chance = np.random.default_rng(seed)
        drawn: Rows = chance.permutation(len(self))[:count].astype(np.int64)
        return drawn

    def grid(self, count: int = 25, seed: int | None = 0, side: int = 112) -> Image.Image:
        """Return a sheet of random rows, each squeezed into ``side`` pixels, with their labels."""
        return grid.drawn(self.sample(count, seed), side)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        return (
            f"<imagemill {self.format} {self.path}: {len(self):,} images of "
            f"{self.num_labels:,} labels; {parts}>"
        )

    def _repr_png_(self) -> bytes:
        return grid.png(self.grid())

    def _repr_html_(self) -> str:
        return grid.html(repr(self), self.counts, self.grid())


def opened(
    path: str | Path, labels: numbering.Labels | Package | None = None, renumber: bool = False
) -> Package:
    """Open the package at ``path``; see ``imagemill.open``."""
    place = Path(path).expanduser()
    contents = layout.opened(place)
    if not len(contents.labels):
        raise PackageError(f"{place} holds no image. Build it, or fetch it again.")
    if labels is not None:
        contents = _compared(place, contents, numbering.numbered(labels), renumber)
    rows = np.arange(len(contents.labels), dtype=np.int64)
    return Package(place, contents, rows, contents.names)


def _compared(path: Path, contents: Contents, before: dict[int, str], renumber: bool) -> Contents:
    """Warn where labels have other numbers than ``before``, or give them those."""
    if not renumber:
        lines = label_maps.difference(before, contents.names)
        if lines:
            warnings.warn(numbering.told(lines, path), LabelsChanged, stacklevel=4)
        return contents
    numbers = numbering.renumbered(before, contents.names)
    table = np.zeros(max(numbers) + 1, np.int64)
    table[list(numbers)] = list(numbers.values())
    after = {numbers[number]: label for number, label in contents.names.items()}
    new = sorted(set(after) - set(before))
    if new:
        names = ", ".join(f"{number},{after[number]}" for number in new[: label_maps.SHOWN])
        warnings.warn(
            f"{path}: {len(new):,} labels are new to those given, and come after them: {names}",
            LabelsChanged,
            stacklevel=4,
        )
    names_after = dict(sorted({**before, **after}.items()))
    return replace(contents, labels=table[contents.labels], names=names_after)
