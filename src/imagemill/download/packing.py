"""Write the packs: their members copied from old packs, from the spool, or read from a source."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import polars as pl

from imagemill import packs
from imagemill.engine import Engine, threads
from imagemill.packs import Member, Pack
from imagemill.progress import progress
from imagemill.sources import Source
from imagemill.sources.objects import Readable, UnavailableError
from imagemill.tables import PLACES

SOON = 100_000
"""Members that this process writes itself before workers would have started."""

HANDS = threads(4)

FAILED = {"source": pl.String, "key": pl.String, "reason": pl.String, "detail": pl.String}
"""Columns of objects that could not be had."""


@dataclass(frozen=True)
class Origins:
    """Where contents can be had from: (places, spooled) by digest, and the sources' objects."""

    places: pl.DataFrame
    spooled: pl.DataFrame
    spool: Path
    folder: Path
    root: Path
    sources: dict[str, Source]


class _Origin(NamedTuple):
    """Where the bytes of a content may be: in a local file, or else in an object of a source."""

    digest: str
    length: int
    spooled: bool | None
    """Whether ``file`` lies in the spool, not among the packs; null where no file has it."""
    file: str | None
    at: int | None
    """Offset of the content in ``file``."""
    source: str | None
    key: str | None


@dataclass(frozen=True)
class _Task:
    """One pack to write, with the columns of ``_Origin``: some rows for each member, in order."""

    origins: pl.DataFrame
    folder: Path
    spool: Path
    root: Path
    sources: dict[str, Source]


@dataclass(frozen=True)
class _Done:
    """What came of one task: contents that could not be had, and how many were read."""

    failed: tuple[tuple[str, str, str], ...]
    read: int


def pack(
    wanted: pl.DataFrame, origins: Origins, average: int, engine: Engine
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Write the packs of ``wanted``, whose contents are known by digest and length.

    Returns where each content lies (``tables.PLACES``), the objects that could not be had
    (``FAILED``) and how many were read.
    """
    failed: dict[str, tuple[str, str]] = {}
    read = 0
    while True:
        places, missing = _plan(wanted, list(failed), average, origins.folder)
        done = _run(_tasks(places, missing, wanted, origins), engine)
        read += sum(each.read for each in done)
        new = {digest: (reason, said) for each in done for digest, reason, said in each.failed}
        if not new:
            break
        failed |= new
    columns = dict.fromkeys(("digest", "reason", "detail"), pl.String)
    why = pl.DataFrame([(digest, *said) for digest, said in failed.items()], columns, orient="row")
    lost = wanted.select("source", "key", "digest").join(why, on="digest").select(*FAILED)
    return places, lost, read


def _plan(
    wanted: pl.DataFrame, failed: list[str], average: int, folder: Path
) -> tuple[pl.DataFrame, list[str]]:
    """Return the places that contents will have, in order, and the packs that are not there."""
    contents = (
        wanted.filter(~pl.col("digest").is_in(failed))
        .select("digest", length="bytes")
        .unique("digest")
        .sort("digest")
    )
    names, offsets, missing = [], [], []
    for each in packs.plan(_members(contents.iter_rows()), average):
        names += [each.name] * len(each.members)
        offsets += [offset for _, offset in each.offsets()]
        if not packs.holds(folder, each):
            missing.append(each.name)
    columns = [pl.Series("pack", names, pl.String), pl.Series("offset", offsets, pl.Int64)]
    return contents.with_columns(columns).select(*PLACES.columns), missing


def _members(contents: Iterator[tuple[str, int]]) -> Iterator[Member]:
    # ".img" makes the digest the key of a WebDataset sample.
    return (Member(f"{digest}.img", digest, length) for digest, length in contents)


def _tasks(
    places: pl.DataFrame, missing: list[str], wanted: pl.DataFrame, origins: Origins
) -> list[_Task]:
    needed = places.filter(pl.col("pack").is_in(missing))
    if needed.is_empty():
        return []
    told = needed.select("digest", "length", "pack").join(
        _stored(needed, origins), on="digest", how="left", maintain_order="left"
    )
    objects = (
        wanted.select("digest", "source", "key")
        .join(told.filter(pl.col("file").is_null()), on="digest", how="semi")
        .sort("source", "key")
    )
    rows = told.join(objects, on="digest", how="left", maintain_order="left_right")
    folder, root, sources = origins.folder, origins.root, origins.sources
    return [
        _Task(each.select(*_Origin._fields), folder, origins.spool, root, sources)
        for each in rows.partition_by("pack", maintain_order=True)
    ]


def _stored(needed: pl.DataFrame, origins: Origins) -> pl.DataFrame:
    """Return the local file that has each content, where one has."""
    held = origins.places.select("digest", file="pack", at="offset", spooled=pl.lit(value=False))
    spooled = origins.spooled.select("digest", "file", at="offset", spooled=pl.lit(value=True))
    found = pl.concat([held, spooled])
    return found.join(needed, on="digest", how="semi").unique("digest", keep="first")


def _run(tasks: list[_Task], engine: Engine) -> list[_Done]:
    total = sum(len(task.origins) for task in tasks)
    finished = []
    chosen = engine if total > SOON else HANDS
    with progress("pack", total, "objects") as advance:
        for task, done in zip(tasks, chosen.map(_write, tasks), strict=True):
            finished.append(done)
            advance(len(task.origins))
    return finished


def _write(task: _Task) -> _Done:
    """Write one pack, unless a member cannot be had."""
    rows = map(_Origin._make, task.origins.iter_rows())
    origins = {digest: tuple(each) for digest, each in groupby(rows, lambda row: row.digest)}
    members = _members((digest, each[0].length) for digest, each in origins.items())
    failed: list[tuple[str, str, str]] = []
    readers = _Readers(task)

    def content(member: Member) -> bytes:
        try:
            return readers.content(origins[member.digest])
        except UnavailableError as error:
            failed.append((member.digest, error.reason, error.detail))
            return bytes(member.length)

    with readers:
        packs.write(Pack(tuple(members)), task.folder, content, keep=lambda: not failed)
    return _Done(tuple(failed), readers.read)


class _Readers:
    """Reads contents from local files and from sources, which are opened when first needed."""

    def __init__(self, task: _Task) -> None:
        self._task = task
        self._packs = packs.Reader(task.folder)
        self._spool = packs.Reader(task.spool)
        self._sources: dict[str, Readable] = {}
        self.read = 0

    def __enter__(self) -> "_Readers":
        return self

    def __exit__(self, *_: object) -> None:
        self._packs.close()
        self._spool.close()

    def content(self, origins: tuple[_Origin, ...]) -> bytes:
        """Return the checked bytes of a content. Raises ``UnavailableError``."""
        first = origins[0]
        if first.file is not None and first.at is not None:
            reader = self._spool if first.spooled else self._packs
            return reader.content(first.digest, first.file, first.at, first.length)
        data = self._first(origins)
        self.read += 1
        return data

    def _first(self, origins: tuple[_Origin, ...]) -> bytes:
        """Return the bytes from the first object that still has them."""
        last = UnavailableError("vanished", "no object has these bytes")
        for origin in origins:
            try:
                data = self._reader(str(origin.source)).read(str(origin.key))
            except UnavailableError as error:
                last = error
                continue
            if sha256(data).hexdigest() == origin.digest:
                return data
            last = UnavailableError("changed", "changed between scan and download; build again")
        raise last

    def _reader(self, source: str) -> Readable:
        if source not in self._sources:
            found = self._task.sources[source].open(source, self._task.root)
            if not isinstance(found, Readable):
                raise TypeError(f"{source} listed a content hash and cannot read by it")
            self._sources[source] = found
        return self._sources[source]
