"""Write the packs: their members copied from old packs, from the spool, or read from a source."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import polars as pl

from imagemill import packs
from imagemill.engine import Engine
from imagemill.packs import Member, Pack
from imagemill.progress import progress
from imagemill.sources import Source
from imagemill.sources.objects import Listable, Readable, UnavailableError

SOON = 100_000
"""Members that this process writes itself before workers would have started."""

HANDS = Engine(partial(ThreadPoolExecutor, 4), ahead=8)

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


@dataclass(frozen=True, slots=True)
class _Stored:
    """A content in a local file: an old pack, or the spool."""

    folder: Path
    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class _Read:
    """A content that some objects, (source, key) each, have now."""

    objects: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Task:
    """One pack to write, with the origin of each member's bytes."""

    pack: Pack
    origins: tuple[_Stored | _Read, ...]
    folder: Path
    root: Path
    sources: dict[str, Source]


@dataclass(frozen=True)
class _Done:
    """What came of one task: contents that could not be had, and how many were read."""

    failed: tuple[tuple[str, str, str], ...]
    read: int


def pack(
    wanted: pl.DataFrame, origins: Origins, average: int, engine: Engine
) -> tuple[list[Pack], pl.DataFrame, int]:
    """Write the packs of ``wanted``, whose contents are known by digest and length.

    Returns the packs, the objects that could not be had (``FAILED``) and how many were read.
    """
    failed: dict[str, tuple[str, str]] = {}
    read = 0
    while True:
        planned = _plan(wanted, list(failed), average)
        done = _run(_tasks(planned, wanted, origins), engine)
        read += sum(each.read for each in done)
        new = {digest: (reason, said) for each in done for digest, reason, said in each.failed}
        if not new:
            break
        failed |= new
    rows = [(digest, *why) for digest, why in failed.items()]
    why = pl.DataFrame(rows, ["digest", "failure", "said"], orient="row") if rows else None
    if why is None:
        return planned, pl.DataFrame(schema=FAILED), read
    lost = wanted.join(why, on="digest").select("source", "key", reason="failure", detail="said")
    return planned, lost, read


def _plan(wanted: pl.DataFrame, failed: list[str], average: int) -> list[Pack]:
    contents = (
        wanted.filter(~pl.col("digest").is_in(failed))
        .select("digest", "bytes")
        .unique("digest")
        .sort("digest")
    )
    # ".img" makes the digest the key of a WebDataset sample.
    members = (Member(f"{digest}.img", digest, length) for digest, length in contents.iter_rows())
    return packs.plan(members, average)


def _tasks(planned: list[Pack], wanted: pl.DataFrame, origins: Origins) -> list[_Task]:
    missing = [each for each in planned if not packs.holds(origins.folder, each)]
    needed = pl.DataFrame({"digest": [m.digest for each in missing for m in each.members]})
    if needed.is_empty():
        return []
    stored = _stored(needed, origins)
    objects = dict(
        wanted.join(needed, on="digest", how="semi")
        .sort("source", "key")
        .group_by("digest")
        .agg(pl.concat_list("source", "key"))
        .iter_rows()
    )

    def origin(digest: str) -> _Stored | _Read:
        found = stored.get(digest)
        return found or _Read(tuple((source, key) for source, key in objects[digest]))

    folder, root, sources = origins.folder, origins.root, origins.sources
    return [
        _Task(each, tuple(origin(m.digest) for m in each.members), folder, root, sources)
        for each in missing
    ]


def _stored(needed: pl.DataFrame, origins: Origins) -> dict[str, _Stored]:
    spooled = origins.spooled.join(needed, on="digest", how="semi")
    held = origins.places.join(needed, on="digest", how="semi")
    found = {
        digest: _Stored(origins.spool, file, offset)
        for digest, file, offset in spooled.select("digest", "file", "offset").iter_rows()
    }
    return found | {
        digest: _Stored(origins.folder, file, offset)
        for digest, file, offset in held.select("digest", "pack", "offset").iter_rows()
    }


def _run(tasks: list[_Task], engine: Engine) -> list[_Done]:
    total = sum(len(task.pack.members) for task in tasks)
    finished = []
    chosen = engine if total > SOON else HANDS
    with progress("pack", total, "objects") as advance:
        for task, done in zip(tasks, chosen.map(_write, tasks), strict=True):
            finished.append(done)
            advance(len(task.pack.members))
    return finished


def _write(task: _Task) -> _Done:
    """Write one pack, unless a member cannot be had."""
    readers = _Readers(task)
    failed: list[tuple[str, str, str]] = []
    origins = dict(zip((m.digest for m in task.pack.members), task.origins, strict=True))

    def content(member: Member) -> bytes:
        try:
            return readers.content(member, origins[member.digest])
        except UnavailableError as error:
            failed.append((member.digest, error.reason, error.detail))
            return bytes(member.length)

    with readers:
        packs.write(task.pack, task.folder, content, keep=lambda: not failed)
    return _Done(tuple(failed), readers.read)


class _Readers:
    """Reads contents from local files and from sources, which are opened when first needed."""

    def __init__(self, task: _Task) -> None:
        self._task = task
        self._folders: dict[Path, packs.Reader] = {}
        self._sources: dict[str, Listable] = {}
        self.read = 0

    def __enter__(self) -> "_Readers":
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._folders.values():
            reader.close()

    def content(self, member: Member, origin: _Stored | _Read) -> bytes:
        """Return the checked bytes of a member. Raises ``UnavailableError``."""
        if isinstance(origin, _Stored):
            reader = self._folders.setdefault(origin.folder, packs.Reader(origin.folder))
            return reader.content(member.digest, origin.file, origin.offset, member.length)
        data = self._first(member, origin)
        self.read += 1
        return data

    def _first(self, member: Member, origin: _Read) -> bytes:
        """Return the bytes from the first object that still has them."""
        last = UnavailableError("vanished", "no object has these bytes")
        for source, key in origin.objects:
            try:
                data = self._reader(source).read(key)
            except UnavailableError as error:
                last = error
                continue
            if sha256(data).hexdigest() == member.digest:
                return data
            last = UnavailableError("changed", "changed between scan and download; build again")
        raise last

    def _reader(self, source: str) -> Readable:
        if source not in self._sources:
            self._sources[source] = self._task.sources[source].open(source, self._task.root)
        found = self._sources[source]
        if not isinstance(found, Readable):
            raise TypeError(f"{source} listed a content hash and cannot read by it")
        return found
