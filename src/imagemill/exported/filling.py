"""Fill a folder with images: each whole or not at all, and nothing beside that would be trained on.

The manifest is taken away before anything changes and put back last, so that a run that was killed
leaves none, and the next one goes on where it was.
"""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import polars as pl

from imagemill import arcface
from imagemill.errors import BuildError
from imagemill.exported import MANIFEST, Seen, digests, look, named, stamp, stamps
from imagemill.files import replacing
from imagemill.progress import say

SPARE = 1 << 26  # bytes of disk to leave free
BLOCK = 4096  # bytes that a file system hands out at least
PART = ".imagemill-part-"  # begins the name of a file that is being written, in the folder itself

Stale = Literal["fail", "remove"]


class Filling:
    """A folder while an export fills it; ``filling`` makes one."""

    def __init__(self, root: Path, contents: pl.DataFrame, lacking: pl.DataFrame) -> None:
        self._root = root
        self._contents = contents
        self.lacking = lacking
        """The rows of the contents whose file is not there, or not right; in their order."""

    def put(self, member: str, content: bytes, packaged: str) -> None:
        """Put one file, whose content has the sha256 ``packaged``; from any thread.

        Raises ``BuildError`` when the file system will not have it.
        """
        # One folder for every new file keeps their inodes together: in thousands of folders where
        # others were removed a moment ago, ext4 takes ten times as long to find places for them.
        part = self._root / f"{PART}{threading.get_ident()}"
        try:
            _write(part, content, stamp(packaged))
            _move(part, f"{self._root}/{member}")
        except OSError as error:
            raise _explained(error, self._root, member) from error

    def paper(self, name: str, content: bytes | None) -> None:
        """Put a file that travels beside the images; None leaves none there."""
        if content is None:
            (self._root / name).unlink(missing_ok=True)
            return
        with replacing(self._root / name) as part:
            part.write_bytes(content)

    def finish(self, manifest: bytes) -> None:
        """Put the hand-off to training, then the manifest: everything is there."""
        arcface.write(self._root, self._contents)
        self.paper(MANIFEST, manifest)


def _write(path: Path, content: bytes, time: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        if os.write(handle, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.utime(handle, ns=(time, time))
    finally:
        os.close(handle)


def _move(part: Path, path: str) -> None:
    try:
        part.replace(path)
    except FileNotFoundError:  # the first of its folder
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)


def _explained(error: OSError, root: Path, member: str) -> BuildError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BuildError(
            f"export: the disk of {root} is full. What is there is kept: make room, run this again."
        )
    return BuildError(f"export: {root / member}: {error.strerror}. What is there is kept.")


@contextmanager
def filling(root: Path, contents: pl.DataFrame, stale: Stale, *, check: bool) -> Iterator[Filling]:
    """Make ``root`` ready to hold exactly the images of ``contents`` (``tables.CONTENTS``).

    Removes what an earlier export put and ``contents`` does not name. Raises ``BuildError``, with
    nothing changed, where there are images or classes of others, files of RecordIO (``stale``), or
    too little room. With ``check`` every file is read, whatever its time stamp.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"export: cannot make {root}: {error.strerror}") from error
    with _alone(root):
        yield _prepared(root, contents, stale, check)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    handle = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise BuildError(f"export: another export is filling {root}; wait for its end") from error
    try:
        yield
    finally:
        os.close(handle)


def _prepared(root: Path, contents: pl.DataFrame, stale: Stale, check: bool) -> Filling:
    for part in root.glob(f"{PART}*"):  # of an export that was killed
        part.unlink()
    _refuse_merged_folders(root, contents)
    recordio = _recordio(root, contents, stale)
    seen = look(root, contents)
    earlier = _earlier(root, contents, seen)
    lacking = contents.join(_held(root, contents, seen, check), on="member", how="anti")
    _refuse_full_disk(root, lacking)
    (root / MANIFEST).unlink(missing_ok=True)
    _remove(root, earlier, contents)
    for path in recordio:
        path.unlink()
        say(f"export: removed {path}")
    if len(lacking) < len(contents):
        say(f"export: {len(contents) - len(lacking):,} images are there already")
    return Filling(root, contents, lacking)


def _refuse_merged_folders(root: Path, contents: pl.DataFrame) -> None:
    """Raise ``BuildError`` where the file system of ``root`` would make one folder of two."""
    folders = contents.select(pl.col("member").str.replace(r"/[^/]*$", "")).unique().to_series()
    folded = folders.str.normalize("NFKC").str.to_lowercase()
    alike = folders.filter(folded.is_duplicated()).sort()
    probe = root / f"{PART}case"
    if alike.is_empty():
        return
    probe.touch()
    blind = probe.with_name(probe.name.upper()).exists()
    probe.unlink()
    if blind:
        raise BuildError(
            f"export: the disk of {root} does not mind the case of letters, and would mix the "
            f"images of {named(alike.to_list())}. Choose a folder on one that does."
        )


def _recordio(root: Path, contents: pl.DataFrame, stale: Stale) -> list[Path]:
    """Return the files to remove that insightface would read in place of the images."""
    found = recordio(root, contents)
    if found and stale == "fail":
        names = ", ".join(path.relative_to(root).as_posix() for path in found)
        raise BuildError(
            f"export: {root} holds {names}, which insightface would read in place of the images; "
            "nothing was written. Delete them, or give --stale remove."
        )
    return found


def recordio(root: Path, contents: pl.DataFrame) -> list[Path]:
    """Return the files of RecordIO beside the classes of ``contents``."""
    places = [root]
    if arcface.is_divided(contents):
        splits = contents.select(pl.col("member").str.split("/").list.first()).unique().to_series()
        places += [root / split for split in splits.sort()]
    paths = (place / name for place in places for name in arcface.RECORDIO)
    return [path for path in paths if path.is_file()]


def _earlier(root: Path, contents: pl.DataFrame, seen: Seen) -> pl.Series:
    """Return the images that an earlier export put, nobody changed, and ``contents`` does not name.

    Raises ``BuildError`` where anything else is there that would be trained on.
    """
    images = seen.foreign(contents)
    ours = _ours(root, images)
    strange = images.filter(~pl.col("member").is_in(ours.implode()))["member"].to_list()
    strange += [f"{folder}/" for folder in _hollow(seen, contents)]
    if strange:
        raise BuildError(
            f"export: {root} holds {named(strange)}: not of this dataset, and ImageFolder would "
            "take them in; nothing was written. Delete them, or choose another folder."
        )
    return ours


def _hollow(seen: Seen, contents: pl.DataFrame) -> list[str]:
    """Return what is useless there, but for folders that images of ``contents`` are to come to.

    An export that was killed leaves such a one, between making it and its first image.
    """
    folders = contents.select(pl.col("member").str.replace(r"/[^/]*$", "")).to_series()
    awaited = set(folders.unique()) - set(seen.links)
    return [each for each in seen.useless() if each not in awaited]


def _ours(root: Path, images: pl.DataFrame) -> pl.Series:
    """Return the members of ``images`` whose time stamp, or earlier manifest, is as their content.

    Reads only those that may be.
    """
    told = _told(root / MANIFEST)
    first, last = stamp("000000"), stamp("ffffff")
    maybe = images.join(told, on="member", how="left").filter(
        pl.col("stamp").is_between(first, last) | pl.col("told").is_not_null()
    )
    read = maybe.with_columns(digests(root, maybe["member"], "export: compare").alias("packaged"))
    right = (pl.col("stamp") == stamps()) | (pl.col("packaged") == pl.col("told"))
    return read.filter(right)["member"]


def _told(manifest: Path) -> pl.DataFrame:
    """Return ``member`` and its checksum ``told`` by an earlier manifest, if it can be read."""
    try:
        return pl.read_parquet(manifest, columns=["member", "packaged"]).rename(
            {"packaged": "told"}
        )
    except (OSError, pl.exceptions.PolarsError):
        return pl.DataFrame(schema={"member": pl.String, "told": pl.String})


def _held(root: Path, contents: pl.DataFrame, seen: Seen, check: bool) -> pl.DataFrame:
    """Return the rows whose file is there: right by length and time stamp, or by its content."""
    alike = contents.join(seen.images, on=["member", "bytes"], maintain_order="left")
    trusted = (pl.col("stamp") == stamps()) & (not check)
    doubted = alike.filter(~trusted)
    read = digests(root, doubted["member"], "export: compare")
    right = doubted.filter(read == doubted["packaged"])
    for member, packaged in right.select("member", "packaged").iter_rows():
        os.utime(root / member, ns=(stamp(packaged),) * 2)
    return pl.concat([alike.filter(trusted), right])


def _refuse_full_disk(root: Path, lacking: pl.DataFrame) -> None:
    rounded = ((pl.col("bytes") + BLOCK - 1) // BLOCK * BLOCK).sum()
    needed = int(lacking.select(rounded).item()) + SPARE
    free = shutil.disk_usage(root).free
    if len(lacking) and needed > free:
        raise BuildError(
            f"export: {len(lacking):,} images need {needed / 1e9:,.1f} GB of disk and "
            f"{free / 1e9:,.1f} GB is free in {root}. Make room, or choose another folder."
        )
    told = os.statvfs(root)
    if told.f_files and len(lacking) > told.f_favail:  # some count none
        raise BuildError(
            f"export: {len(lacking):,} images need as many files, and the disk of {root} has room "
            f"for {told.f_favail:,} (`df -i`). Choose a folder on another disk."
        )


def _remove(root: Path, members: pl.Series, contents: pl.DataFrame) -> None:
    """Remove images that an earlier export put, and the folders that are empty then."""
    for member in members:
        (root / member).unlink()
    for folder in sorted({Path(member).parent for member in members}, reverse=True):
        _remove_empty(root / folder, root)
    if len(members):
        say(f"export: removed {len(members):,} images of an earlier export")
        left = _hollow(look(root, contents), contents)
        if left:
            raise BuildError(
                f"export: {root} holds {named(left)} without any image, at which ImageFolder "
                "stops. Delete them, and run this again."
            )


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
