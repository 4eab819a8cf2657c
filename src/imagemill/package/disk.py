"""A full disk while packaging: seen before anything is written where it can be, and explained."""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from imagemill.errors import BuildError
from imagemill.package.shards import NEXT

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# What libraries written in C and Rust say, whose errors have no number.
_SAID = re.compile(rf"(errno = |os error )({'|'.join(str(each) for each in FULL)})\b")


def check(out: Path, listed: pl.DataFrame, settings: Any) -> None:
    """Raise ``BuildError`` where what a format needs in addition is more than the disk has."""
    needed = _needed(listed, settings)
    held = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    free = shutil.disk_usage(out).free
    if needed - held > free:
        raise BuildError(_advice(out, needed, free))


def _needed(listed: pl.DataFrame, settings: Any) -> int:
    """Return the bytes of a format's images; of arrays that are compressed, none are known."""
    if getattr(settings, "store", None) != "raw":
        return int(listed["bytes"].sum())
    height, width, channels = settings.shape
    return height * width * channels * len(listed) if settings.compression == "none" else 0


@contextmanager
def explained(out: Path, needed: int | None = None) -> Iterator[None]:
    """Turn the system's word that there is no room into what to do; remove what was half done."""
    try:
        yield
    except (OSError, RuntimeError, pl.exceptions.PolarsError) as error:
        if not _is_full(error):
            raise
        for path in out.glob(f"*/{NEXT}"):
            shutil.rmtree(path, ignore_errors=True)
        raise BuildError(_advice(out, needed, shutil.disk_usage(out).free)) from error


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) in FULL or bool(_SAID.search(str(error)))


def _advice(out: Path, needed: int | None, free: int) -> str:
    wants = "more than it has" if needed is None else f"about {needed:,} bytes"
    return (
        f"package: no room on the disk of {out}, or its quota is used up: this needs {wants}, and "
        f"{free:,} bytes are free. Free some, or move the project, and build again. The last good "
        "package is untouched."
    )
