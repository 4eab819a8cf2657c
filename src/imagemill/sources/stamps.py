"""Content hashes of local files, remembered by what the kernel says of each file.

A file whose stamp (size, times, inode) is that of an earlier reading is not read again, as Git's
index does it.
"""

import os
import stat
import time
from hashlib import file_digest, sha256
from pathlib import Path

import polars as pl

from imagemill.files import LOCAL, replacing

RACY = 2_000_000_000
"""Nanoseconds: a file changed within this time of being read may change again unseen."""

STATS = {
    "key": pl.String,
    "digest": pl.String,
    "bytes": pl.Int64,
    "mtime": pl.Int64,
    "ctime": pl.Int64,
    "inode": pl.UInt64,
}
STAMP = ["key", "bytes", "mtime", "ctime", "inode"]
"""A file's key below its folder, and what changes when its content does."""


class Stats:
    """The remembered content hashes of one folder's files; damage to them is as if none were."""

    def __init__(self, place: Path, folder: Path) -> None:
        self._path = place / f"{sha256(str(folder).encode()).hexdigest()[:16]}.parquet"

    @classmethod
    def of(cls, root: Path, folder: Path) -> "Stats":
        """Return what the project at ``root`` remembers of a folder."""
        return cls(root / LOCAL / "stat", folder)

    def read(self) -> pl.DataFrame:
        """Return one row for every file that was ever read, as ``STATS``."""
        if not self._path.exists():
            return pl.DataFrame(schema=STATS)
        try:
            return pl.read_parquet(self._path, schema=STATS)
        except pl.exceptions.PolarsError:  # cut short by a machine that went down
            return pl.DataFrame(schema=STATS)

    def keep(self, found: pl.DataFrame, before: pl.DataFrame, now: int) -> None:
        """Keep what was ``found`` at ``now``, and what others have chosen of the same folder."""
        settled = found.filter(pl.col("ctime") < now - RACY)
        read = settled.filter(pl.col("digest").is_not_null()).select(*STATS)
        kept = pl.concat([read, before.join(read, on="key", how="anti")])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._path) as path:
            kept.write_parquet(path)


def stamp(path: str | os.PathLike[str]) -> tuple[int, ...] | str:
    """Return size, times and inode of a regular file, or the code of why it is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a million of them: Path would take as long again)
    except OSError:
        return "vanished"
    if not stat.S_ISREG(found.st_mode):  # a pipe would keep its reader waiting for ever
        return "not_a_file"
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def digest(path: Path, root: Path) -> str:
    """Return the content hash of one file. Raises ``OSError``."""
    now = time.time_ns()
    stats = Stats.of(root, path.parent)
    before = stats.read()
    columns = {name: STATS[name] for name in STAMP}
    found = pl.DataFrame([(path.name, *stamp(path))], columns, orient="row")
    known = found.join(before, on=STAMP, how="left")["digest"].item()
    if known is not None:
        return str(known)
    with path.open("rb") as file:
        read = file_digest(file, "sha256").hexdigest()
    stats.keep(found.with_columns(pl.lit(read).alias("digest")), before, now)
    return read
