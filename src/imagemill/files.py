"""Files and folders that appear whole or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imagemill.progress import say

LOCAL = ".imagemill"
"""Folder of a project's local state: in neither Git nor DVC, and safe to delete."""


DVC_LOCK = "dvc.lock"

PIECES = 1024  # that the kernel takes at once (IOV_MAX)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``; when the block ends well, it takes the place of ``path``."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def expanded(path: str) -> Path:
    """Return ``path`` with its ``~`` resolved; ``~name`` stays where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (``Path.expanduser`` raises there)


def write_pieces(handle: int, pieces: Sequence[bytes]) -> None:
    """Write all of ``pieces``, one behind the other, in few calls. Raises ``OSError``."""
    for start in range(0, len(pieces), PIECES):
        part = pieces[start : start + PIECES]
        done = os.writev(handle, part)
        if done < sum(map(len, part)):  # a signal, or a disk that is about to be full
            rest = memoryview(b"".join(part))[done:]
            while rest:
                rest = rest[os.write(handle, rest) :]


def swap(new: Path, old: Path) -> None:
    """Put the folder ``new`` in the place of ``old``, which need not exist."""
    old.parent.mkdir(parents=True, exist_ok=True)
    if new.stat().st_dev != old.parent.stat().st_dev:  # data/ may lie on a disk of its own
        beside = old.with_name(f".{old.name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        new = Path(shutil.move(new, beside))
    if old.exists():
        away = new.with_name(f"{new.name}.old")
        shutil.rmtree(away, ignore_errors=True)
        old.rename(away)
        new.rename(old)
        shutil.rmtree(away)
    else:
        new.rename(old)


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold an exclusive lock on ``path``; say ``waiting`` when another process has it.

    The kernel drops the lock with its process, so ``kill -9`` leaves nothing to clean up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
