"""Bring every wanted object's bytes into packs; see ``packs`` and ``tables.INDEX``.

The packs are a function of the set of content hashes alone: a rename, a relabelling or the order
of sources moves no byte. What is held already is copied from the packs at hand, never fetched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill import packs
from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import SourceError
from imagemill.packs import Member, Pack
from imagemill.progress import progress, say
from imagemill.sources import Source
from imagemill.sources.folder import FolderObjects, UnavailableError
from imagemill.tables import INDEX, PLACES


class Config(Section):
    """Where the bytes are, and how they are packed."""

    sources: dict[str, Source]
    pack_bytes: Annotated[int, Field(ge=1024)]
    """Content of a pack on average, in bytes."""
    max_rejected: Annotated[float, Field(ge=0, le=1)]
    """Share of the wanted objects that may fail to arrive before the build stops."""


@dataclass(frozen=True)
class _Copy:
    """A content hash that is held in an old pack."""

    pack: str
    offset: int


@dataclass(frozen=True)
class _Fetch:
    """A content hash that some objects have now."""

    objects: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Task:
    """One pack to write, with the origin of each member's bytes."""

    pack: Pack
    origins: tuple[_Copy | _Fetch, ...]
    folder: Path
    root: Path
    sources: dict[str, Source]


@dataclass(frozen=True)
class _Failure:
    """A member that could not be had, and why."""

    digest: str
    reason: str
    detail: str


@dataclass(frozen=True)
class _Done:
    """What came of one task."""

    failures: tuple[_Failure, ...]
    fetched: int


def update(listing: pl.DataFrame, config: Config, out: Path, root: Path, engine: Engine) -> None:
    """Make the packs and tables in ``out`` agree with ``listing``.

    ``out`` may hold the result of an earlier run, whole or cut short. Raises ``SourceError``
    when more than ``max_rejected`` of the wanted objects cannot be had.
    """
    folder = out / packs.FOLDER
    folder.mkdir(exist_ok=True)
    for part in folder.glob(".*.part"):  # of a run that was killed
        part.unlink()
    wanted = listing.filter("wanted")
    held = _held(out)
    failures: dict[str, _Failure] = {}
    fetched = 0
    while True:
        planned = _plan(wanted, failures, config.pack_bytes)
        tasks = _tasks(planned, wanted, held, folder, root, config)
        failed, count = _run(tasks, engine)
        fetched += count
        if not failed:
            break
        failures |= {failure.digest: failure for failure in failed}
    _refuse_too_many(wanted, failures, config)
    _finish(out, listing, planned, failures)
    say(f"download: {fetched:,} objects fetched, {len(failures):,} rejected, {len(planned)} packs")


def _held(out: Path) -> dict[str, _Copy]:
    if not (out / PLACES.file).exists():
        return {}
    rows = PLACES.read(out).iter_rows()
    return {digest: _Copy(pack, offset) for digest, pack, offset, _ in rows}


def _plan(wanted: pl.DataFrame, failures: Iterable[str], average: int) -> list[Pack]:
    contents = (
        wanted.filter(~pl.col("digest").is_in(list(failures)))
        .select("digest", "bytes")
        .unique("digest")
        .sort("digest")
    )
    # ".img" makes the digest the key of a WebDataset sample.
    members = (Member(f"{digest}.img", digest, length) for digest, length in contents.iter_rows())
    return packs.plan(members, average)


def _tasks(
    planned: list[Pack],
    wanted: pl.DataFrame,
    held: dict[str, _Copy],
    folder: Path,
    root: Path,
    config: Config,
) -> list[_Task]:
    missing = [pack for pack in planned if not packs.holds(folder, pack)]
    needed = [member.digest for pack in missing for member in pack.members]
    objects = dict(
        wanted.filter(pl.col("digest").is_in(needed))
        .sort("source", "key")
        .group_by("digest")
        .agg(pl.concat_list("source", "key"))
        .iter_rows()
    )
    there = {path.name for path in folder.iterdir()}

    def origin(digest: str) -> _Copy | _Fetch:
        copy = held.get(digest)
        if copy is not None and copy.pack in there:
            return copy
        return _Fetch(tuple((source, key) for source, key in objects[digest]))

    return [
        _Task(pack, tuple(origin(m.digest) for m in pack.members), folder, root, config.sources)
        for pack in missing
    ]


def _run(tasks: list[_Task], engine: Engine) -> tuple[list[_Failure], int]:
    total = sum(len(task.pack.members) for task in tasks)
    failed: list[_Failure] = []
    fetched = 0
    with progress("download", total, "objects") as advance:
        for task, done in zip(tasks, engine.map(_write, tasks), strict=True):
            failed += done.failures
            fetched += done.fetched
            advance(len(task.pack.members))
    return failed, fetched


def _write(task: _Task) -> _Done:
    """Write one pack, unless a member cannot be had."""
    readers = {name: source.open(name, task.root) for name, source in task.sources.items()}
    origins = dict(zip((m.digest for m in task.pack.members), task.origins, strict=True))
    failures: list[_Failure] = []
    fetched = 0

    def content(member: Member) -> bytes:
        nonlocal fetched
        origin = origins[member.digest]
        if isinstance(origin, _Copy):
            return held.content(member.digest, origin.pack, origin.offset, member.length)
        try:
            data = _fetch(member, origin, readers)
        except UnavailableError as error:
            failures.append(_Failure(member.digest, error.reason, error.detail))
            return bytes(member.length)
        fetched += 1
        return data

    with packs.Reader(task.folder) as held:
        packs.write(task.pack, task.folder, content, keep=lambda: not failures)
    return _Done(tuple(failures), fetched)


def _fetch(member: Member, origin: _Fetch, readers: Mapping[str, FolderObjects]) -> bytes:
    """Return the bytes from the first object that still has them."""
    last = UnavailableError("vanished", "no object has these bytes")
    for source, key in origin.objects:
        try:
            data = readers[source].read(key)
        except UnavailableError as error:
            last = error
            continue
        if sha256(data).hexdigest() == member.digest:
            return data
        last = UnavailableError("changed", "changed between scan and download; build again")
    raise last


def _refuse_too_many(wanted: pl.DataFrame, failures: dict[str, _Failure], config: Config) -> None:
    share = len(failures) / max(1, wanted["digest"].n_unique())
    if share <= config.max_rejected:
        return
    counts: dict[str, int] = {}
    for failure in failures.values():
        counts[failure.reason] = counts.get(failure.reason, 0) + 1
    said = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
    raise SourceError(
        f"download: {share:.1%} of the wanted objects could not be had ({said}), allowed "
        f"{config.max_rejected:.1%}. Mend the source, or raise `download.max_rejected`."
    )


def _finish(
    out: Path, listing: pl.DataFrame, planned: list[Pack], failures: dict[str, _Failure]
) -> None:
    places = [
        (member.digest, pack.name, offset, member.length)
        for pack in planned
        for member, offset in pack.offsets()
    ]
    PLACES.write(out, pl.DataFrame(places, dict(PLACES.columns), orient="row"))
    INDEX.write(out, _index(listing, failures))
    names = {pack.name for pack in planned}
    for path in (out / packs.FOLDER).iterdir():
        if path.name not in names:
            path.unlink()


def _index(listing: pl.DataFrame, failures: dict[str, _Failure]) -> pl.DataFrame:
    failed = pl.DataFrame(
        [(f.digest, f.reason, f.detail) for f in failures.values()],
        {"digest": pl.String, "failure": pl.String, "detail": pl.String},
        orient="row",
    )
    return listing.join(failed, on="digest", how="left").with_columns(
        pl.coalesce("reason", "failure").alias("reason"),
        pl.when("wanted").then("detail").alias("detail"),
    )
