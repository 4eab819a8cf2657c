"""The members of archives as objects.

A member's version is its archive's content hash and its place inside. Bytes are fetched in the
order of the archive, once: a compressed tar can be read in no other way, and to hash each of its
members at every scan of a new archive would unpack all of it just to list what layouts may not
even want. Listing a plain tar or a zip reads its headers only.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import polars as pl

from imagemill.errors import SourceError
from imagemill.progress import progress
from imagemill.sources.archive import Archive
from imagemill.sources.archive.members import MEMBERS, BrokenError, Limits
from imagemill.sources.archive.tar import tar_contents, tar_members
from imagemill.sources.archive.zip import zip_contents, zip_members
from imagemill.sources.keys import any_of, odd, writable
from imagemill.sources.local import LocalFile, Readings, local_files
from imagemill.sources.locate import locate
from imagemill.sources.objects import FOUND, Fetched, UnavailableError, Wanted

SUFFIXES = (*(".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar", ".zip"),)
"""What a key does not have of its archive's name."""


class ArchiveObjects:
    """Lists and fetches the members of some archives."""

    def __init__(self, spec: Archive, name: str, root: Path, files: dict[str, LocalFile]) -> None:
        self._spec = spec
        self._name = name
        self._files = files
        self._readings = Readings(root, "archive")
        self.new: int | None = 0

    @classmethod
    def of(cls, spec: Archive, name: str, root: Path) -> "ArchiveObjects":
        """Look for the archives. Raises ``SourceError`` when there are none."""
        try:
            files = local_files(spec.path, spec.archives, [], root)
            several = locate(spec.path, root).is_dir()
        except SourceError as error:
            raise SourceError(f"sources.{name}: {error}") from error
        named: dict[str, LocalFile] = {}
        for file in files:
            other = named.setdefault(_folder(file.name) if several else "", file)
            if other is not file:
                raise SourceError(
                    f"sources.{name}: {other.name} and {file.name} would be one folder of keys. "
                    "Choose between them by `archives`."
                )
        return cls(spec, name, root, named)

    def listed(self) -> pl.DataFrame:
        """Return every member of every archive, with the columns ``FOUND``."""
        with progress("scan", len(self._files), "archives") as advance:
            parts = []
            for folder, file in self._files.items():
                parts.append(self._members(folder, file))
                advance(1)
        self.new = self._readings.fresh
        # A name that had to be made up never takes the place of a real one.
        found = pl.concat(parts).sort("key", "_made")
        return found.unique("key", keep="first", maintain_order=True).select(*FOUND)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return no table."""
        return {}

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[Fetched]:
        """Yield each of ``wanted``, in the order of the archives."""
        files = {file.digest: file for file in self._files.values()}
        placed = sorted((*_place(each), index) for index, each in enumerate(wanted))
        for digest, group in groupby(placed, key=lambda each: each[0]):
            some = [(at, wanted[index]) for _, at, index in group]
            if digest in files:
                yield from _fetch(files[digest], some)
            else:
                yield from _all_changed(each for _, each in some)

    def _members(self, folder: str, file: LocalFile) -> pl.DataFrame:
        limits = Limits(self._spec.max_ratio, self._spec.max_unpacked, self._spec.max_bytes)
        members = self._readings.of(f"1 {file.digest} {limits}", lambda: self._read(file, limits))
        prefix = f"{folder}/" if folder else ""
        return _chosen(_keyed(members, prefix), self._spec).with_columns(
            pl.format("{}:{}", pl.lit(file.digest), "at").alias("tag"),
            pl.lit(None, pl.String).alias("digest"),
        )

    def _read(self, file: LocalFile, limits: Limits) -> pl.DataFrame:
        read = zip_members if _zipped(file) else tar_members
        try:
            rows = [_written(*member) for member in read(file.path, limits)]
        except BrokenError as error:
            raise SourceError(
                f"sources.{self._name}: {file.path} cannot be listed: {error}. Fetch it again, "
                "or choose others by `archives`; limits are in the config."
            ) from error
        return pl.DataFrame(rows, MEMBERS, orient="row")


def _fetch(file: LocalFile, wanted: list[tuple[int, Wanted]]) -> Iterator[Fetched]:
    places = [(at, each.bytes or 0) for at, each in wanted]
    contents = (zip_contents if _zipped(file) else tar_contents)(file.path, places)
    left = iter(wanted)
    for content in contents:
        if file.changed():
            break
        yield Fetched(next(left)[1], content)
    yield from _all_changed(each for _, each in left)


def _zipped(file: LocalFile) -> bool:
    with file.path.open("rb") as opened:
        return opened.read(4) in (b"PK\3\4", b"PK\5\6", b"PK\7\10")


def _folder(name: str) -> str:
    suffix = next((each for each in SUFFIXES if name.lower().endswith(each)), "")
    return name.removesuffix(name[len(name) - len(suffix) :])


def _place(wanted: Wanted) -> tuple[str, int]:
    """Return the archive's content hash and the place in it that a tag means."""
    digest, _, at = wanted.tag.rpartition(":")
    return digest, int(at)


def _all_changed(wanted: Iterable[Wanted]) -> Iterator[Fetched]:
    for each in wanted:
        said = "its archive changed between scan and download; build again"
        yield Fetched(each, UnavailableError("changed", said))


def _written(name: str, length: int, at: int, reason: str | None) -> tuple[object, ...]:
    if odd(name):
        return writable(name), length, at, reason or "odd_name"
    return name, length, at, reason


def _keyed(members: pl.DataFrame, prefix: str) -> pl.DataFrame:
    """Add ``key``; of members with one name the last has it, as when they are unpacked."""
    shown = pl.col("reason").eq_missing("odd_name")
    again = pl.int_range(pl.len()).over("name", shown)
    last = again == pl.len().over("name", shown) - 1
    made = ~last | shown
    name = pl.when(last).then("name").otherwise(pl.format("{}#{}", "name", again + 1))
    reason = pl.when(last).then("reason").otherwise(pl.lit("replaced"))
    return members.with_columns(
        (prefix + name).alias("key"), reason.alias("reason"), made.alias("_made")
    )


def _chosen(members: pl.DataFrame, spec: Archive) -> pl.DataFrame:
    include, exclude = any_of(spec.include), any_of(spec.exclude)
    fits = [bool(include(key) and not exclude(key)) for key in members["key"]]
    # What hides dot files would hide `..` too, and an archive with that deserves a look.
    unsafe = pl.col("reason").eq_missing("unsafe_name")
    return members.filter(pl.Series(fits, dtype=pl.Boolean) | unsafe)
