"""A local tree of files.

The content hash of a file is its version, so a listing is the same on every machine. A file that
the kernel says is unchanged (size, times, inode) is not read again, as Git's index does it.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import polars as pl

from imagemill.config import Section
from imagemill.errors import SourceError
from imagemill.files import LOCAL, replacing
from imagemill.progress import progress
from imagemill.sources.locate import locate

RACY = 2_000_000_000
"""Nanoseconds: a file changed within this time of being read may change again unseen."""

FOUND = {"key": pl.String, "bytes": pl.Int64, "digest": pl.String, "reason": pl.String}
"""Columns of a listing of one source; ``reason`` says why an object cannot be had, or is null."""

_STATS = {
    "key": pl.String,
    "digest": pl.String,
    "bytes": pl.Int64,
    "mtime": pl.Int64,
    "ctime": pl.Int64,
    "inode": pl.UInt64,
}
_STAMP = ["key", "bytes", "mtime", "ctime", "inode"]


class UnavailableError(Exception):
    """An object that cannot be had; ``reason`` is a code for its row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Folder(Section):
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
            return FolderObjects(self, locate(self.path, root), root / LOCAL / "stat")
        except SourceError as error:
            raise SourceError(f"sources.{name}: {error}") from error


class FolderObjects:
    """Lists and reads the files of one folder."""

    def __init__(self, spec: Folder, folder: Path, stats: Path) -> None:
        self._spec = spec
        self._folder = folder
        self._stats = stats / f"{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.parquet"
        self.hashed = 0
        """How many files the last ``listed`` had to read."""

    def listed(self) -> pl.DataFrame:
        """Return every object below the folder, sorted by key, with the columns ``FOUND``."""
        now = time.time_ns()
        files, odd = self._walk()
        known = files.join(self._remembered(), on=_STAMP, how="left")
        fresh = self._hash(known.filter(pl.col("digest").is_null())["key"].to_list())
        found = known.join(fresh, on="key", how="left").with_columns(
            pl.coalesce("digest", "digest_right").alias("digest")
        )
        self._remember(found.filter(pl.col("mtime") < now - RACY, pl.col("digest").is_not_null()))
        return pl.concat([found.select(*FOUND), odd]).sort("key")

    def read(self, key: str) -> bytes:
        """Return the bytes of an object. Raises ``UnavailableError``."""
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError as error:
            raise UnavailableError("vanished", "listed by scan, gone when read") from error
        except OSError as error:
            raise UnavailableError("denied", error.strerror or "cannot be read") from error

    def _walk(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        rows, odd = [], []
        for key, path in self._entries():
            if path is None:
                odd.append((key, 0, None, "linked_folder"))
            elif not key.isprintable() or key != os.fsencode(key).decode(errors="replace"):
                odd.append((_printable(key), 0, None, "odd_name"))
            else:
                rows.append((key, *_stamp(path)))
        stamps = {name: _STATS[name] for name in _STAMP}
        return pl.DataFrame(rows, stamps, orient="row"), pl.DataFrame(odd, FOUND, orient="row")

    def _entries(self) -> Iterator[tuple[str, Path | None]]:
        if not self._folder.is_dir():
            raise SourceError(f"{self._folder} is not a folder. Check `path` in the config.")
        for place, folders, files in os.walk(self._folder):
            here = Path(place)
            for name in files:
                key = (here / name).relative_to(self._folder).as_posix()
                if self._chosen(key):
                    yield key, here / name
            for name in folders:
                if (here / name).is_symlink():
                    yield (here / name).relative_to(self._folder).as_posix(), None

    def _chosen(self, key: str) -> bool:
        spec = self._spec
        return any(fnmatch(key, p) for p in spec.include) and not any(
            fnmatch(key, p) for p in spec.exclude
        )

    def _hash(self, keys: list[str]) -> pl.DataFrame:
        self.hashed = len(keys)
        rows = []
        with progress("scan", len(keys), "files") as advance:
            for key in keys:
                rows.append((key, *self._digest(key)))
                advance(1)
        columns = {"key": pl.String, "digest": pl.String, "reason": pl.String}
        return pl.DataFrame(rows, columns, orient="row")

    def _digest(self, key: str) -> tuple[str | None, str | None]:
        try:
            with (self._folder / key).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), None
        except FileNotFoundError:
            return None, "vanished"
        except OSError:
            return None, "denied"

    def _remembered(self) -> pl.DataFrame:
        if not self._stats.exists():
            return pl.DataFrame(schema=_STATS)
        return pl.read_parquet(self._stats)

    def _remember(self, found: pl.DataFrame) -> None:
        self._stats.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._stats) as path:
            found.select(*_STATS).write_parquet(path)


def _stamp(path: Path) -> tuple[int, int, int, int]:
    try:
        stat = path.stat()
    except OSError:  # a link to nothing: read() gives the reason
        return 0, 0, 0, 0
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _printable(key: str) -> str:
    text = os.fsencode(key).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
