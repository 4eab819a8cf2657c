"""``manifest.parquet`` and ``labels.json``, which lie beside the data of every format."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagemill import label_maps
from imagemill.readers.contents import Contents, Provenance, in_order, ranges
from imagemill.readers.errors import PackageError
from imagemill.readers.extents import Extents, Stamp, check, stamp

FILE = "manifest.parquet"
NEEDED = "pip install 'pyarrow>=17'"


@dataclass(frozen=True)
class Table:
    """Columns of the manifest, in its order: by member."""

    members: Sequence[str]
    packaged: Sequence[str]
    bytes: NDArray[np.int64]
    splits: Sequence[str]
    """``all`` where an image has none."""
    labels: Sequence[str]
    classes: NDArray[np.int64]


def arrow(name: str, what: Path) -> Any:
    """Return ``pyarrow`` or a part of it; raises ``PackageError`` where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise PackageError(
            f"{what}: reading it needs pyarrow, which is not installed: {NEEDED}"
        ) from error


def columns(folder: Path, *names: str) -> list[Any]:
    """Return columns of the manifest, as Arrow has them. Raises ``PackageError`` without one."""
    path = folder / FILE
    if not path.exists():
        raise PackageError(f"{folder}: {FILE} is not there, so its labels are not known. Fetch it.")
    # Not by ``read_table``, which imports pandas where that is installed.
    with arrow("pyarrow.parquet", path).ParquetFile(path) as file:
        table = file.read(list(names))
    return [table.column(name) for name in names]


def seen(folder: Path) -> Stamp | None:
    """Return what tells the manifest from another; null where there is none."""
    path = folder / FILE
    return stamp(path) if path.exists() else None


def integers(column: Any) -> NDArray[np.int64]:
    """Return a column of Arrow, whose own ``to_numpy`` imports pandas where that is installed."""
    return np.array(column.to_pylist(), np.int64)


def read(folder: Path) -> Table:
    """Return what tells rows of packs, and their labels."""
    member, packaged, size, split, label, number = columns(
        folder, "member", "packaged", "bytes", "split", "label", "class"
    )
    return Table(
        member.to_pylist(),
        packaged.to_pylist(),
        integers(size),
        [each or "all" for each in split.to_pylist()],
        label.to_pylist(),
        integers(number),
    )


def names(folder: Path) -> dict[int, str] | None:
    """Return the labels by number; null where neither file of them can be read."""
    if (folder / label_maps.FILE).exists():
        return dict(enumerate(json.loads((folder / label_maps.FILE).read_text(encoding="utf-8"))))
    try:
        numbers, labels = columns(folder, "class", "label")
    except PackageError:
        return None
    return dict(sorted(zip(numbers.to_pylist(), labels.to_pylist(), strict=True)))


def by_split(table: Table) -> tuple[NDArray[np.int64], dict[str, range]]:
    """Return the rows of ``table`` with those of a split together, and where each split is."""
    found, counts = np.unique(np.array(table.splits), return_counts=True)
    many = dict(zip(found.tolist(), counts.tolist(), strict=True))
    order = in_order(many)
    place = {name: at for at, name in enumerate(order)}
    rows = np.argsort([place[name] for name in table.splits], kind="stable").astype(np.int64)
    return rows, ranges({name: many[name] for name in order})


def contents(form: str, folder: Path, table: Table, extents: Extents) -> Contents:
    """Return the contents of a package whose labels and splits are in its manifest."""
    rows, splits = by_split(table)
    known = names(folder) or dict(sorted(zip(table.classes.tolist(), table.labels, strict=True)))
    files = extents.taken(rows)
    labels = table.classes[rows]
    return Contents(form, files, labels, known, splits, InOrder(folder, rows, seen(folder)))


@dataclass(frozen=True)
class InOrder:
    """Where the rows of a manifest are from, in this order."""

    folder: Path
    rows: NDArray[np.int64]
    said: Stamp | None

    def __call__(self) -> Provenance:
        """Read it. Raises ``PackageError`` where it has changed since the package was opened."""
        if self.said is not None:
            check(self.folder / FILE, self.said)
        sample, copy = columns(self.folder, "sample", "copy")
        said = sample.to_pylist()
        return [said[row] for row in self.rows.tolist()], integers(copy)[self.rows].astype(np.int32)


@dataclass(frozen=True)
class ByMember:
    """Where rows are from whose members' names are asked for."""

    folder: Path
    members: Any
    """Gives the names, when they are needed."""
    said: Stamp | None

    def __call__(self) -> Provenance:
        """Read it; samples are members' names where there is no manifest, or no pyarrow."""
        named: list[str] = self.members()
        if self.said is not None:
            check(self.folder / FILE, self.said)
        try:
            member, sample, copy = columns(self.folder, "member", "sample", "copy")
        except PackageError:  # then a member's name is all that is known
            return named, np.zeros(len(named), np.int32)
        said = dict(
            zip(
                member.to_pylist(),
                zip(sample.to_pylist(), copy.to_pylist(), strict=True),
                strict=True,
            )
        )
        samples, copies = zip(*(said[name] for name in named), strict=True)
        return samples, np.array(copies, np.int32)
