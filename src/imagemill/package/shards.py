"""Shards: files that hold some hundreds of samples of one split, in shuffled order.

Samples are sorted by a hash of their name and the seed. Where a shard ends is decided by the last
digits of that hash, within bounds, so that the sample put in, taken out or changed touches the
shard that it falls into and at times a neighbour; all others stay as they are, to the bit. A
shard's name is a hash of what it holds. See ``imagemill.packs``, which does this by bytes.
"""

import shutil
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.package.renditions import PLACE, Place, Shelf

LEAST, MOST = 1 / 8, 8  # times the average, as for packs
NEXT = ".next"  # folder of what is being written, beside what is there

INDEX: dict[str, Any] = {
    "member": pl.String,  # as in ``tables.CONTENTS``
    "shard": pl.String,  # path below the format's folder
    "row": pl.Int32,  # position in the shard
    "offset": pl.Int64,  # of the image's first byte in the shard
    "bytes": pl.Int64,
}
"""Where each image lies; ``index.parquet`` of formats in which that is not plain."""


def ordered(listed: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return ``listed`` by part and then shuffled by ``seed``, with ``order``: 32 hex digits."""
    names = listed.select("sample", "copy").iter_rows()
    order = [sha256(f"{seed} {copy} {name}".encode()).hexdigest()[:32] for name, copy in names]
    return listed.with_columns(pl.Series("order", order, pl.String)).sort("part", "order")


def cuts(order: pl.Series, average: int) -> Iterator[tuple[int, int]]:
    """Yield first and past-the-end row of each shard of samples with this sorted ``order``."""
    tail = order.str.slice(16).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    ends = np.flatnonzero(tail < np.uint64(min(2**64 - 1, 2**64 // average))) + 1
    yield from _bounded(ends, len(order), max(1, int(LEAST * average)), max(1, MOST * average))


def _bounded(
    ends: NDArray[np.int64], count: int, least: int, most: int
) -> Iterator[tuple[int, int]]:
    start = 0
    while start < count:
        at = int(np.searchsorted(ends, start + least))
        end = int(ends[at]) if at < len(ends) else count
        end = min(end, start + most, count)
        yield start, end
        start = end


class Writer(Protocol):
    """One sharded format: how a shard is written and read. Goes to the workers."""

    @property
    def suffix(self) -> str:
        """Of a file's name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it writes of a row, besides its place and ``member``."""

    def write(self, path: Path, samples: Iterator["Sample"]) -> None:
        """Write the shard; equal samples give equal bytes."""

    def read(self, path: Path) -> Iterator["Read"]:
        """Yield every sample in order. Raises ``ValueError`` or ``LookupError`` for no shard."""


class Read(NamedTuple):
    """A sample that was read back."""

    member: str | None
    """Null in formats that name no files."""
    said: tuple[Any, ...]
    data: bytes


class Sample(NamedTuple):
    """One sample of a shard."""

    member: str
    said: tuple[Any, ...]
    """Values of the writer's columns."""
    data: bytes


Plan = Iterable[tuple[str, pl.DataFrame]]
"""The path of each shard below the format's folder, and its rows."""


@dataclass(frozen=True)
class Task:
    """A shard that is to be there."""

    writer: Writer
    shelf: Shelf
    old: Path
    """Where it lies if an earlier build has made it."""
    new: Path
    rows: pl.DataFrame
    """Columns of ``Place``, ``member``, and the writer's columns."""


@dataclass
class Written:
    """What became of the shards of a format."""

    names: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Bytes of each file."""
    fresh: int = 0
    """How many were written, and were not there before."""


def planned(
    listed: pl.DataFrame, average: int, writer: Writer
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the shards of ``listed``, which is ``ordered``, of so many samples on average."""
    for (part,), rows in listed.group_by("part", maintain_order=True):
        for start, end in cuts(rows["order"], average):
            shard = rows.slice(start, end - start)
            yield f"{part}/{_name(shard, writer)}.{writer.suffix}", shard


def _name(rows: pl.DataFrame, writer: Writer) -> str:
    text = rows.select(pl.struct("member", "packaged", *writer.columns).struct.json_encode())
    return sha256("\n".join(text.to_series()).encode()).hexdigest()[:20]


def write(plan: Plan, writer: Writer, shelf: Shelf, out: Path, engine: Engine) -> Written:
    """Make every shard of ``plan`` lie below ``out`` or ``out/.next``, read and compared.

    A shard that is there and reads back right is left alone. ``commit`` is to be called then.
    """
    shutil.rmtree(out / NEXT, ignore_errors=True)
    columns = [*PLACE, "member", *writer.columns]
    written = Written()

    def each() -> Iterator[Task]:
        for name, rows in plan:
            written.names.append(name)
            written.counts.append(len(rows))
            yield Task(writer, shelf, out / name, out / NEXT / name, rows.select(columns))

    for fresh, length in engine.map(_ensure, each()):
        written.fresh += fresh
        written.lengths.append(length)
    return written


def _ensure(task: Task) -> tuple[bool, int]:
    """Write a shard unless it is there and right; return whether it was written, and its length."""
    if task.old.exists() and not _wrong(task, task.old):
        return False, task.old.stat().st_size
    task.new.parent.mkdir(parents=True, exist_ok=True)
    try:
        task.writer.write(task.new, _samples(task))
    except OSError:
        task.new.unlink(missing_ok=True)
        raise
    wrong = _wrong(task, task.new)
    if wrong:
        _check_sources(task)
        raise BuildError(
            f"package: {task.new.name}: {wrong} is not as the manifest says when it is read back; "
            "the disk or memory is at fault. Build again."
        )
    return True, task.new.stat().st_size


def _check_sources(task: Task) -> None:
    """Raise ``BuildError`` where the packs do not hold what they should."""
    with task.shelf.open() as shelf:
        for row in task.rows.select(PLACE).iter_rows():
            shelf.bytes(Place(*row))


def _samples(task: Task) -> Iterator[Sample]:
    count = len(PLACE)
    with task.shelf.open() as shelf:
        for row in task.rows.iter_rows():
            yield Sample(row[count], row[count + 1 :], shelf.unchecked(Place(*row[:count])))


def _wrong(task: Task, path: Path) -> str | None:
    """Return the first member of a shard that does not read back as it should."""
    expected = task.rows.select("member", "packaged", *task.writer.columns).iter_rows()
    try:
        found = task.writer.read(path)
        for member, packaged, *said in expected:
            read = next(found, Read(None, (), b""))
            named = read.member is None or read.member == member
            if not named or list(read.said) != said or _sha(read.data) != packaged:
                return str(member)
        return None if next(found, None) is None else "a sample too many"
    except (ValueError, OSError, LookupError, struct.error) as error:
        return f"a sample ({error})"


def _sha(data: bytes) -> str:
    return sha256(data).hexdigest()


def commit(out: Path, wanted: set[str]) -> None:
    """Put what was written below ``out/.next`` in its place, and remove all but ``wanted``.

    ``wanted`` are paths below ``out``, with ``/``. Only renames and deletions: nothing that needs
    room on the disk.
    """
    for path in sorted((out / NEXT).rglob("*")):
        if path.is_file():
            target = out / path.relative_to(out / NEXT)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    shutil.rmtree(out / NEXT, ignore_errors=True)
    for path in sorted(out.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(out).as_posix() not in wanted:
            path.unlink()
