"""A folder that images were exported to, as torchvision's ImageFolder sees it.

An exported file has a time stamp made of its checksum: length and time stamp tell a later run that
it is right, and any other file is read before it is believed. The manifest is put last; where it
lies, everything lies that it names.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import polars as pl

from imagemill import arcface
from imagemill.engine import Engine
from imagemill.progress import progress
from imagemill.tables import CONTENTS

MANIFEST = CONTENTS.file

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of the files that ImageFolder takes for images, in any case of letters."""

HERE = {
    "member": pl.String,  # path below the folder
    "bytes": pl.Int64,
    "stamp": pl.Int64,  # time of the last change, nanoseconds since 1970
}
"""Columns of the images that lie in a folder."""

FEW = 5  # names in a message
BATCH = 256  # images that a thread reads at a time

_DAY = 946_684_800  # 2000-01-01 in seconds since 1970: the date that exported files show
_TICK = 100  # nanoseconds: what the usual file systems keep apart
_ROWS = 65_536  # of a listing that are Python objects at a time


def stamp(packaged: str) -> int:
    """Return the time stamp, in nanoseconds, of a file whose content has this sha256 (hex)."""
    return _DAY * 10**9 + int(packaged[:6], 16) * _TICK


def stamps() -> pl.Expr:
    """Return the time stamp of each row's ``packaged``."""
    ticks = pl.col("packaged").str.slice(0, 6).str.to_integer(base=16, dtype=pl.Int64)
    return _DAY * 10**9 + ticks * _TICK


@dataclass(frozen=True)
class Seen:
    """What ImageFolder would find in a folder."""

    images: pl.DataFrame
    """``HERE``, in no order: every image in a folder of the folder, however deep."""
    classes: pl.Series
    """The folders that it would take for classes, with images or without."""
    links: list[str]
    """Folders that are links to others; nobody has looked there."""

    def foreign(self, contents: pl.DataFrame) -> pl.DataFrame:
        """Return the images that ``contents`` (``tables.CONTENTS``) does not name, sorted."""
        return self.images.join(contents, on="member", how="anti").sort("member")

    def useless(self) -> list[str]:
        """Return the links, and the classes without an image, at which ImageFolder stops."""
        used = self.images.select(pl.col("member").str.split("/").list.slice(0, 2)).to_series()
        ones = used.list.get(0).unique()
        twos = used.list.join("/").unique()
        return sorted([*self.links, *self.classes.filter(~_in(self.classes, ones, twos))])


def _in(values: pl.Series, *others: pl.Series) -> pl.Series:
    return values.is_in(pl.concat(others).implode())


def look(root: Path, contents: pl.DataFrame) -> Seen:
    """Look at everything in the folders of ``root``, which is to hold ``contents``."""
    folders: list[str] = []
    links: list[str] = []
    found = _images(root, folders, links)
    parts = [pl.DataFrame(schema=HERE)]
    while rows := list(islice(found, _ROWS)):
        parts.append(pl.DataFrame(rows, HERE, orient="row"))
    depth = 1 if arcface.is_divided(contents) else 0
    classes = [each for each in folders if each.count("/") == depth]
    return Seen(pl.concat(parts), pl.Series("folder", classes, pl.String), links)


def _images(
    root: Path, folders: list[str], links: list[str], below: str = ""
) -> Iterator[tuple[str, int, int]]:
    inside: list[str] = []
    with os.scandir(root / below) as entries:
        for each in entries:
            path = f"{below}{each.name}"
            if each.is_dir():
                (links if each.is_symlink() else inside).append(path)
            elif below and each.name.lower().endswith(SUFFIXES):
                told = each.stat(follow_symlinks=False)
                yield path, told.st_size, told.st_mtime_ns
    folders += inside
    for path in inside:
        yield from _images(root, folders, links, f"{path}/")


def digests(root: Path, members: pl.Series, title: str) -> pl.Series:
    """Return the sha256 of each of ``members`` below ``root``; null where it cannot be read."""
    pool = Engine(partial(ThreadPoolExecutor, threads()), 4 * threads())
    batches = members.to_frame().iter_slices(BATCH)
    parts = [pl.Series("here", [], pl.String)]
    with progress(title, len(members), "images") as advance:
        for part in pool.map(partial(_digests, root), batches):
            parts.append(part)
            advance(len(part))
    return pl.concat(parts)


def _digests(root: Path, members: pl.DataFrame) -> pl.Series:
    found = [_digest(root / member) for (member,) in members.iter_rows()]
    return pl.Series("here", found, pl.String)


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def threads() -> int:
    """Return how many threads read or write files: more would only wait for the file system."""
    return min(4, os.cpu_count() or 1)


def named(names: list[str]) -> str:
    """Return the first of many names, and how many there are."""
    rest = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {rest:,} more" if rest > 0 else "")
