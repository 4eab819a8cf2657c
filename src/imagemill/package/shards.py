"""Shards: files that hold some hundreds of samples of one split, in shuffled order.

Samples are sorted by a hash of their name and the seed. Where a shard ends is decided by the last
digits of that hash, within bounds, so that the sample put in, taken out or changed touches the
shard that it falls into and at times a neighbour; all others stay as they are, to the bit. A
shard's name is a hash of what it holds. See ``imagemill.packs``, which does this by bytes.
"""

import shutil
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.package.checksums import Files
from imagemill.package.lots import AT_ONCE, Lot, by_member, listings
from imagemill.package.shelf import PLACE, Place, Shelf, values
from imagemill.tables import Pieces

LEAST, MOST = 1 / 8, 8  # times the average, as for packs
NAME = 20  # hex digits of a shard's name
NEXT = ".next"  # folder of what is being written, beside what is there

INDEX: dict[str, Any] = {
    "member": pl.String,  # as in ``tables.CONTENTS``
    "shard": pl.String,  # path below the format's folder
    "row": pl.Int32,  # position in the shard
    "offset": pl.Int64,  # of the image's first byte in the shard
    "bytes": pl.Int64,
}
"""Where each image lies; ``index.parquet`` of formats in which that is not plain."""


def ordered(lot: Lot, seed: int) -> Lot:
    """Return ``lot`` by part and then shuffled by ``seed``, with ``order``, by which to ``cut``."""
    keys = [_hashed(each, seed) for each in lot.slices()]
    high, low = np.concatenate([np.zeros((0, 2), np.uint64), *keys]).T
    order = np.lexsort((low, high, lot.rows["part"].to_numpy()))
    return lot.taken(order).having(order=pl.Series(low[order]))


def _hashed(lot: Lot, seed: int) -> NDArray[np.uint64]:
    """Return the first 16 bytes of a hash of each row, as two numbers."""
    samples = lot.images["sample"].gather(lot.rows["image"]).to_list()
    names = zip(samples, lot.rows["copy"].to_list(), strict=True)
    hashes = [sha256(f"{seed} {copy} {name}".encode()).digest()[:16] for name, copy in names]
    return np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64).reshape(-1, 2)


def cuts(order: pl.Series, average: int) -> Iterator[tuple[int, int]]:
    """Yield first and past-the-end row of each shard of samples in this ``order``."""
    tail = order.to_numpy()
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


class Shard(NamedTuple):
    """What one shard is to hold, a value a sample in each."""

    members: Sequence[str]
    said: Sequence[tuple[Any, ...]]
    """Values of the writer's columns."""
    lengths: Sequence[int]
    """Bytes of the images."""


Read = tuple[str | None, tuple[Any, ...], bytes]
"""A sample that was read back: its member, null in formats that name no files; what is said of it;
its image."""


class Writer(Protocol):
    """One sharded format: how a shard is written and read. Goes to the workers."""

    @property
    def suffix(self) -> str:
        """Of a file's name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it writes of a row, besides its place and ``member``."""

    def write(self, path: Path, shard: Shard, images: Iterator[bytes]) -> None:
        """Write the shard; equal samples give equal bytes. Few images are in memory at a time."""

    def read(self, path: Path) -> Iterator[Read]:
        """Yield every sample in order. Raises ``ValueError`` or ``LookupError`` for no shard."""


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
    shard: Shard
    places: Sequence[tuple[Any, ...]]
    """Values of ``Place``."""

    def packaged(self) -> Iterator[str]:
        """Yield the sha256 of each image."""
        return (place[_PACKAGED] for place in self.places)


_PACKAGED = PLACE.index("packaged")


class Done(NamedTuple):
    """What became of one shard."""

    fresh: bool
    """Whether it was written, and was not there before."""
    length: int
    digest: str
    """sha256 of the file."""


@dataclass
class Written:
    """What became of the shards of a format."""

    names: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Bytes of each file."""
    digests: list[str] = field(default_factory=list)
    """sha256 of each file."""
    fresh: int = 0
    """How many were written, and were not there before."""

    def files(self) -> Files:
        """Return the sha256 of each file."""
        return dict(zip(self.names, self.digests, strict=True))


def planned(lot: Lot, average: int, writer: Writer) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the shards of ``lot``, which is ``ordered``, of so many samples on average."""
    for part, rows in lot.parts():
        for some in _together(cuts(rows.rows["order"], average)):
            first, last = some[0][0], some[-1][1]
            listed = rows.slice(first, last - first).frame().with_columns(_MEMBER)
            for start, end in some:
                shard = listed.slice(start - first, end - start)
                yield f"{part}/{_name(shard, writer)}.{writer.suffix}", shard


def _together(ranges: Iterator[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield ranges that follow one another, some thousand rows at a time."""
    held: list[tuple[int, int]] = []
    for each in ranges:
        held.append(each)
        if each[1] - held[0][0] >= AT_ONCE:
            yield held
            held = []
    if held:
        yield held


def contents(lot: Lot) -> Pieces:
    """Yield ``tables.CONTENTS`` of what was ``planned``."""
    return listings(by_member(lot, _MEMBER), _MEMBER)


def _escaped(name: pl.Expr) -> pl.Expr:
    return name.str.replace_all("%", "%25", literal=True).str.replace_all(".", "%2E", literal=True)


_MEMBER = pl.format("{}/{}.{}", "folder", _escaped(pl.col("name")), "suffix").alias("member")
"""The path of each row's image in its shard; its file's name has one dot, see ``webdataset``."""


def _name(rows: pl.DataFrame, writer: Writer) -> str:
    text = rows.select(pl.struct("member", "packaged", *writer.columns).struct.json_encode())
    return sha256("\n".join(text.to_series()).encode()).hexdigest()[:NAME]


def write(plan: Plan, writer: Writer, shelf: Shelf, out: Path, engine: Engine) -> Written:
    """Make every shard of ``plan`` lie below ``out`` or ``out/.next``, read and compared.

    A shard that is there and reads back right is left alone. ``commit`` is to be called then.
    """
    shutil.rmtree(out / NEXT, ignore_errors=True)
    written = Written()

    def each() -> Iterator[Task]:
        for name, rows in plan:
            written.names.append(name)
            written.counts.append(len(rows))
            yield _task(writer, shelf, out, name, rows)

    for done in engine.map(_ensure, each()):
        written.fresh += done.fresh
        written.lengths.append(done.length)
        written.digests.append(done.digest)
    return written


def _task(writer: Writer, shelf: Shelf, out: Path, name: str, rows: pl.DataFrame) -> Task:
    said = values(rows, writer.columns) if writer.columns else [()] * len(rows)
    shard = Shard(rows["member"].to_list(), said, rows["bytes"].to_list())
    return Task(writer, shelf, out / name, out / NEXT / name, shard, values(rows))


def _ensure(task: Task) -> Done:
    """Write a shard unless it is there and right; return what it is."""
    if task.old.exists() and not _wrong(task, task.old):
        return _done(task.old, fresh=False)
    task.new.parent.mkdir(parents=True, exist_ok=True)
    try:
        with task.shelf.open() as shelf:
            task.writer.write(task.new, task.shard, shelf.unchecked(task.places))
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
    return _done(task.new, fresh=True)


def _done(path: Path, *, fresh: bool) -> Done:
    with path.open("rb") as file:
        return Done(fresh, path.stat().st_size, file_digest(file, "sha256").hexdigest())


def _check_sources(task: Task) -> None:
    """Raise ``BuildError`` where the packs do not hold what they should."""
    with task.shelf.open() as shelf:
        for place in task.places:
            shelf.bytes(Place(*place))


def _wrong(task: Task, path: Path) -> str | None:
    """Return the first member of a shard that does not read back as it should."""
    shard = task.shard
    try:
        found = task.writer.read(path)
        for member, packaged, said in zip(shard.members, task.packaged(), shard.said, strict=True):
            there, says, data = next(found, _NONE)
            if there not in (None, member) or says != said or _sha(data) != packaged:
                return member
        return None if next(found, None) is None else "a sample too many"
    except (ValueError, OSError, LookupError, struct.error) as error:
        return f"a sample ({error})"


_NONE: Read = (None, (), b"")


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
