"""A local tree of files.

The content hash of a file is its version, so a listing is the same on every machine. A file that
the kernel says is unchanged (size, times, inode) is not read again, as Git's index does it.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NoReturn

import polars as pl

from imagemill.errors import SourceError
from imagemill.files import LOCAL
from imagemill.progress import progress
from imagemill.sources.keys import any_of, odd, writable
from imagemill.sources.locate import locate
from imagemill.sources.objects import FOUND, Refreshed, UnavailableError, all_read
from imagemill.sources.stamps import STAMP, STATS, Stats, stamp


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
        known = chosen.join(remembered, on=STAMP, how="left")
        fresh = self._hash(known.filter(pl.col("digest").is_null())["key"].to_list())
        found = known.join(fresh, on="key", how="left").with_columns(
            pl.coalesce("digest", "digest_right").alias("digest")
        )
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
            return (self.place / key).read_bytes()
        except FileNotFoundError as error:
            raise UnavailableError("vanished", "listed by scan, gone when read") from error
        except OSError as error:
            raise UnavailableError("denied", error.strerror or "cannot be read") from error

    def _walk(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        rows, out = [], []
        for key, found in self._entries():
            if odd(key):
                out.append((writable(key), 0, None, None, "odd_name"))
            elif isinstance(found, str):
                out.append((key, 0, None, None, found))
            else:
                rows.append((key, *found))
        stamps = {name: STATS[name] for name in STAMP}
        return pl.DataFrame(rows, stamps, orient="row"), pl.DataFrame(out, FOUND, orient="row")

    def _entries(self) -> Iterator[tuple[str, "tuple[int, ...] | str"]]:
        """Yield the key of each chosen file with its stamp, or with why it cannot be had."""
        include, exclude = any_of(self._spec.include), any_of(self._spec.exclude)
        root = str(self.place)
        for place, folders, files in os.walk(root, onerror=_refuse):
            below = place[len(root) + 1 :]
            here = f"{below}/" if below else ""
            for name in files:
                key = here + name
                if include(key) and not exclude(key):
                    yield key, stamp(f"{place}/{name}")
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
            with (self.place / key).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), file.tell(), None
        except FileNotFoundError:
            return None, None, "vanished"
        except OSError:
            return None, None, "denied"


def _refuse(error: OSError) -> NoReturn:
    raise SourceError(
        f"{error.filename}: {error.strerror}. Give this user the right to read it, or leave its "
        "folder out of the source's `path`."
    ) from error
