"""The demonstration dataset: small pictures with planted problems, and the truth about each.

Written below one folder, byte for byte the same wherever the same packages are installed::

    album/<split>/<identity>/<identity>_<number>.jpg   neighbouring parts of one photograph
    cards/<identity>_face.png                          one more of them, or an identity by itself
    labels.csv                                         file, label: the photograph's name
    truth.csv                                          what is planted, and what becomes of it
"""

import csv
from collections.abc import Iterable
from pathlib import Path

from imagemill.sample.tree import File, files

VERSION = "2"  # of what is written; raise it with every change here

TRUTH = (
    "source",
    "key",  # below the source's folder
    "problem",  # "none" for a clean image
    "stage",  # that decides; empty for a clean image
    "outcome",  # keep | remove | skip | flag
    "reason",  # code that the stage gives; empty where it gives none
    "tier",  # of a copy: bytes | pixels | perceptual | keypoints
    "of",  # its original, as "<source>/<key>"
    "width",  # of the upright picture, in pixels; empty where it cannot be read
    "height",
)
"""Columns of ``truth.csv``, which has one row for every file."""


def write(folder: Path) -> None:
    """Write the dataset into the existing folder ``folder``.

    Raises ``BuildError`` when a photograph is missing.
    """
    every = files()
    for file in every:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
    labels = [(file.path, file.label) for file in every if file.label is not None]
    _table(folder / "labels.csv", ("file", "label"), labels)
    _table(folder / "truth.csv", TRUTH, map(_truth, every))


def _truth(file: File) -> tuple[object, ...]:
    size = file.size() or ("", "")
    return (file.source, file.key, file.problem, *file.verdict, file.tier, file.of, *size)


def _table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
