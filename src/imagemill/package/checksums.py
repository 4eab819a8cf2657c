"""``checksums.txt``: the sha256 of every file of a format, as ``sha256sum -c`` reads it."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from imagemill import engine
from imagemill.files import replacing

FILE = "checksums.txt"
THREADS = 4  # hashing runs beside Python

Files = dict[str, str | None]
"""Paths of files below a folder, with ``/``, and their sha256 where it is known already."""


def write(folder: Path, known: Mapping[str, str | None]) -> None:
    """Write the checksums of all that lies in ``folder``; ``known`` are of files read a moment ago.

    Certificate and seals come afterwards; see ``add``.
    """
    sums = dict.fromkeys(_names(folder), "")
    sums |= {name: digest for name, digest in known.items() if name in sums and digest}
    unknown = sorted(name for name, digest in sums.items() if not digest)
    sums |= dict(
        zip(unknown, engine.threads(THREADS).map(partial(_sum, folder), unknown), strict=True)
    )
    _put(folder, sums)


def add(folder: Path, names: tuple[str, ...]) -> None:
    """Say also the checksums of ``names``, files that were put into ``folder`` later."""
    # Not by ``splitlines``, which ends a line at more than "\n": names may have all of those.
    lines = (folder / FILE).read_text("utf-8").rstrip("\n").split("\n")
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    _put(folder, sums | {name: _sum(folder, name) for name in names})


def _put(folder: Path, sums: Mapping[str, str]) -> None:
    with replacing(folder / FILE) as part:
        part.write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)), "utf-8")


def _names(folder: Path) -> Iterator[str]:
    for root, _, names in os.walk(folder):
        below = os.path.relpath(root, folder)
        for name in names:
            if name != FILE:
                yield name if below == "." else f"{below}/{name}"


def _sum(folder: Path, name: str) -> str:
    with (folder / name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
