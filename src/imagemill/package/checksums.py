"""``checksums.txt``: the sha256 of every file of a format, as ``sha256sum -c`` reads it."""

import hashlib
from functools import partial
from pathlib import Path

from imagemill import engine
from imagemill.files import replacing

FILE = "checksums.txt"
THREADS = 4  # hashing runs beside Python


def write(folder: Path) -> None:
    """Write the checksums of all that lies in ``folder``."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != FILE]
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    sums = engine.threads(THREADS).map(partial(_sum, folder), names)
    with replacing(folder / FILE) as part:
        part.write_text(
            "".join(f"{each}  {name}\n" for each, name in zip(sums, names, strict=True))
        )


def _sum(folder: Path, name: str) -> str:
    with (folder / name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
