"""A local tree of files.

The content hash of a file is its version, so a listing is the same on every machine. A file that
the kernel says is unchanged (size, times, inode) is not read again, as Git's index does it.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, NoReturn

import polars as pl

from imagemill.engine import threads
from imagemill.errors import SourceError
from imagemill.files import LOCAL
from imagemill.progress import progress
from imagemill.sources.keys import any_of, odd, writable
from imagemill.sources.locate import locate
from imagemill.sources.objects import FOUND, Refreshed, UnavailableError, all_read
from imagemill.sources.stamps import STAMP, STATS, Stats, stamp

CHUNK = 4096  # files that one task reads
PART = 1 << 18  # bytes of a file read at once
HANDS = threads(2)  # a file from the page cache is mostly Python's work, which more would hinder

HASHED = {"key": pl.String, "digest": pl.String, "read": pl.Int64, "reason": pl.String}
"""What reading a file tells: its hash and length, or why it could not be read."""


class Folder(Refreshed):
    """A folder and everything below it."""

    kind: Literal["folder"]
    path: str
    """Relative to the project, or absolute, or ``package://`` or ``sample://``."""
    include: list[str]
    """Patterns of keys to list; ``*`` crosses slashes."""
    exclude: list[str]
    """Patterns of keys to leave out of the listing."""

    def open(self, name: str, root: Path) -> "FolderObjects":
        """Return the objects of this source; raises ``SourceError`` when it is not there."""
        try:
            place = locate(self.path, root)
        except SourceError as error:
            raise SourceError(f"sources.{name}: {error}") from error
        if not place.is_dir():
            raise SourceError(
                f"sources.{name}: {place} is not a folder. Check `path` in the config."
            )
        return FolderObjects(self, place, root / LOCAL / "stat")


class FolderObjects:
    """Lists and reads the files of one folder."""

    def __init__(self, spec: Folder, folder: Path, stats: Path) -> None:
        self._spec = spec
        self.place = folder
        self._stats = Stats(stats, folder)
        self._now = 0
        self._files = pl.DataFrame(schema={name: STATS[name] for name in STAMP})
        self.new: int | None = 0

    def listed(self) -> pl.DataFrame:
        """Return every object below the folder, sorted by key, with the columns ``FOUND``."""
        return all_read(self)

    def walked(self) -> pl.DataFrame:
        """Return the same without reading a file: no row has a ``digest``."""
        self._now = time.time_ns()
        self._files, odd_ones = self._walk()
        blank = [pl.lit(None, pl.String).alias(name) for name in ("tag", "digest", "reason")]
        found = pl.concat([self._files.with_columns(blank).select(*FOUND), odd_ones])
        return found.unique("key", keep="first", maintain_order=True).sort("key")

    def hashed(self, keys: pl.Series) -> pl.DataFrame:
        """Return key, bytes, digest and reason of files that ``walked`` has found.

        Only those are read that are not known by their stamp.
        """
        remembered = self._stats.read()
        chosen = self._files.join(keys.to_frame("key"), on="key", how="semi")
        same = pl.all_horizontal(pl.col(name) == pl.col(f"{name}_then") for name in STAMP[1:])
        known = chosen.join(remembered, on="key", how="left", suffix="_then").select(
            *STAMP, digest=pl.when(same).then("digest")
        )
        fresh = self._hash(known.filter(pl.col("digest").is_null())["key"])
        found = known.join(fresh, on="key", how="left").with_columns(
            pl.coalesce("digest", "digest_right").alias("digest")
        )
        if len(fresh):
            self._stats.keep(found, remembered, self._now)
        # A file may grow between the look at its size and the reading.
        sized = pl.coalesce("read", "bytes").alias("bytes")
        return found.select("key", sized, "digest", "reason")

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return no table: a folder says nothing but its keys."""
        return {}

    def read(self, key: str) -> bytes:
        """Return the bytes of an object. Raises ``UnavailableError``."""
        try:
            return b"".join(_parts(f"{self.place}/{key}"))
        except FileNotFoundError as error:
            raise UnavailableError("vanished", "listed by scan, gone when read") from error
        except OSError as error:
            raise UnavailableError("denied", error.strerror or "cannot be read") from error

    def _walk(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        files, others = [self._files.clear()], []
        entries = self._entries()
        while chunk := list(islice(entries, CHUNK)):
            found = [(key, *what) for key, what in chunk if not isinstance(what, str)]
            files.append(pl.DataFrame(found, self._files.schema, orient="row"))
            others += [(key, 0, None, None, why) for key, why in chunk if isinstance(why, str)]
        return pl.concat(files), pl.DataFrame(others, FOUND, orient="row")

    def _entries(self) -> Iterator[tuple[str, "tuple[int, ...] | str"]]:
        """Yield the key of each chosen file with its stamp, or with why it cannot be had."""
        include, exclude = any_of(self._spec.include), any_of(self._spec.exclude)
        folders = [""]
        while folders:
            below = folders.pop()
            for entry in _scanned(f"{self.place}/{below}"):
                key = below + entry.name
                folder = entry.is_dir()
                if folder and not entry.is_symlink():
                    folders.append(f"{key}/")
                elif (folder or include(key)) and not exclude(key):
                    found = "linked_folder" if folder else stamp(entry)
                    yield (writable(key), "odd_name") if odd(key) else (key, found)

    def _hash(self, keys: pl.Series) -> pl.DataFrame:
        self.new = len(keys)
        chunks = [keys[at : at + CHUNK] for at in range(0, len(keys), CHUNK)]
        parts = [pl.DataFrame(schema=HASHED)]
        with progress("scan", len(keys), "files") as advance:
            for part in HANDS.map(self._digests, chunks):
                parts.append(part)
                advance(len(part))
        return pl.concat(parts)

    def _digests(self, keys: pl.Series) -> pl.DataFrame:
        rows = [(key, *self._digest(key)) for key in keys]
        return pl.DataFrame(rows, HASHED, orient="row")

    def _digest(self, key: str) -> tuple[str | None, int | None, str | None]:
        """Return the hash and length of what was read, or why it could not be."""
        digest, length = hashlib.sha256(), 0
        try:
            for part in _parts(f"{self.place}/{key}"):
                digest.update(part)
                length += len(part)
        except FileNotFoundError:
            return None, None, "vanished"
        except OSError:
            return None, None, "denied"
        return digest.hexdigest(), length, None


def _scanned(folder: str) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        _refuse(error)


def _parts(path: str) -> Iterator[bytes]:
    """Yield the bytes of a file; a Path and a file object would take as long again."""
    file = os.open(path, os.O_RDONLY)
    try:
        while part := os.read(file, PART):
            yield part
    finally:
        os.close(file)


def _refuse(error: OSError) -> NoReturn:
    raise SourceError(
        f"{error.filename}: {error.strerror}. Give this user the right to read it, or leave its "
        "folder out of the source's `path`."
    ) from error
