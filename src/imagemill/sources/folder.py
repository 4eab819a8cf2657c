"""A local tree of files.

The content hash of a file is its version, so a listing is the same on every machine. A file that
the kernel says is unchanged (size, times, inode) is not read again, as Git's index does it.
"""

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from fnmatch import translate
from pathlib import Path
from typing import Literal, NoReturn
from unicodedata import category

import polars as pl

from imagemill.config import Section
from imagemill.errors import SourceError
from imagemill.files import LOCAL, replacing
from imagemill.progress import progress
from imagemill.sources.locate import locate
from imagemill.sources.objects import FOUND, UnavailableError

RACY = 2_000_000_000
"""Nanoseconds: a file changed within this time of being read may change again unseen."""

UNWRITABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that no key may have: control characters, line ends, bytes beyond UTF-8."""

_STATS = {
    "key": pl.String,
    "digest": pl.String,
    "bytes": pl.Int64,
    "mtime": pl.Int64,
    "ctime": pl.Int64,
    "inode": pl.UInt64,
}
_STAMP = ["key", "bytes", "mtime", "ctime", "inode"]


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
        self._folder = folder
        self._stats = stats / f"{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.parquet"
        self.new: int | None = 0

    def listed(self) -> pl.DataFrame:
        """Return every object below the folder, sorted by key, with the columns ``FOUND``."""
        now = time.time_ns()
        files, odd = self._walk()
        remembered = self._remembered()
        known = files.join(remembered, on=_STAMP, how="left")
        fresh = self._hash(known.filter(pl.col("digest").is_null())["key"].to_list())
        found = known.join(fresh, on="key", how="left").with_columns(
            pl.coalesce("digest", "digest_right").alias("digest")
        )
        self._remember(found.filter(pl.col("ctime") < now - RACY), remembered)
        # A file may grow between the look at its size and the reading.
        sized = found.with_columns(
            pl.coalesce("read", "bytes").alias("bytes"), pl.lit(None, pl.String).alias("tag")
        )
        listed = pl.concat([sized.select(*FOUND), odd])
        return listed.unique("key", keep="first", maintain_order=True).sort("key")

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return no table: a folder says nothing but its keys."""
        return {}

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
        for key, stamp in self._entries():
            if not key.isprintable() and any(category(each) in UNWRITABLE for each in key):
                odd.append((_writable(key), 0, None, None, "odd_name"))
            elif isinstance(stamp, str):
                odd.append((key, 0, None, None, stamp))
            else:
                rows.append((key, *stamp))
        stamps = {name: _STATS[name] for name in _STAMP}
        return pl.DataFrame(rows, stamps, orient="row"), pl.DataFrame(odd, FOUND, orient="row")

    def _entries(self) -> Iterator[tuple[str, "tuple[int, ...] | str"]]:
        """Yield the key of each chosen file with its stamp, or with why it cannot be had."""
        include, exclude = _any(self._spec.include), _any(self._spec.exclude)
        root = str(self._folder)
        for place, folders, files in os.walk(root, onerror=_refuse):
            below = place[len(root) + 1 :]
            here = f"{below}/" if below else ""
            for name in files:
                key = here + name
                if include(key) and not exclude(key):
                    yield key, _stamp(f"{place}/{name}")
            for name in folders:
                if not exclude(here + name) and os.path.islink(f"{place}/{name}"):  # noqa: PTH114
                    yield here + name, "linked_folder"

    def _hash(self, keys: list[str]) -> pl.DataFrame:
        self.new = len(keys)
        rows = []
        with progress("scan", len(keys), "files") as advance:
            for key in keys:
                rows.append((key, *self._digest(key)))
                advance(1)
        columns = {
            "key": pl.String,
            "digest": pl.String,
            "read": pl.Int64,
            "reason": pl.String,
        }
        return pl.DataFrame(rows, columns, orient="row")

    def _digest(self, key: str) -> tuple[str | None, int | None, str | None]:
        """Return the hash and length of what was read, or why it could not be."""
        try:
            with (self._folder / key).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), file.tell(), None
        except FileNotFoundError:
            return None, None, "vanished"
        except OSError:
            return None, None, "denied"

    def _remembered(self) -> pl.DataFrame:
        if not self._stats.exists():
            return pl.DataFrame(schema=_STATS)
        try:
            return pl.read_parquet(self._stats, schema=_STATS)
        except pl.exceptions.PolarsError:  # cut short by a machine that went down
            return pl.DataFrame(schema=_STATS)

    def _remember(self, found: pl.DataFrame, before: pl.DataFrame) -> None:
        """Keep ``found``, and what other patterns have chosen of the same folder."""
        read = found.filter(pl.col("digest").is_not_null()).select(*_STATS)
        kept = pl.concat([read, before.join(read, on="key", how="anti")])
        self._stats.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._stats) as path:
            kept.write_parquet(path)


def _stamp(path: str) -> tuple[int, ...] | str:
    try:
        found = os.stat(path)  # noqa: PTH116 (a million of them: Path would take as long again)
    except OSError:
        return "vanished"
    if not stat.S_ISREG(found.st_mode):  # a pipe would keep its reader waiting for ever
        return "not_a_file"
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _any(patterns: list[str]) -> Callable[[str], object]:
    """Return a test of whether any pattern fits a key."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)").match


def _refuse(error: OSError) -> NoReturn:
    raise SourceError(
        f"{error.filename}: {error.strerror}. Give this user the right to read it, or leave its "
        "folder out of the source's `path`."
    ) from error


def _writable(key: str) -> str:
    text = os.fsencode(key).decode(errors="backslashreplace")
    return "".join(f"\\x{ord(c):02x}" if category(c) in UNWRITABLE else c for c in text)
