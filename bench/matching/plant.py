"""Make a folder of photos in which some are edited copies of others, and the truth about them.

``TO/images`` holds the originals (``o_<name>``) and the needles (``n_<edit>_<number>.jpg``),
``TO/truth.csv`` one row a needle: its file, its original's, the edit's name, the edits in order.
Runs where albumentations is installed, which need not be where imagemill is:

    python -m bench.matching.plant PHOTOS TO [--seed 1] [--each 60] [--only PREFIX]
"""

import argparse
import csv
import shutil
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bench.matching.edits import EDITS, apply, chain, encoded

CHAINS = 3
"""How many times as many needles of a chain there are as of each single edit."""


@dataclass(frozen=True)
class Needle:
    """A copy to plant."""

    needle: str
    original: str
    edit: str
    steps: str  # names of ``EDITS``, in order, with "+" between


def planned(originals: list[str], seed: int, each: int) -> Iterator[Needle]:
    """Draw the needles: ``each`` different originals an edit, as far as there are so many."""
    random = np.random.default_rng(seed)
    for edit in [*EDITS, "chain-3"]:
        number = min(len(originals), each * (CHAINS if edit == "chain-3" else 1))
        for n, at in enumerate(random.choice(len(originals), number, replace=False)):
            steps = chain(random) if edit == "chain-3" else (edit,)
            name = f"n_{edit.replace('/', '-')}_{n:03}.jpg"
            yield Needle(name, originals[at], edit, "+".join(steps))


def plant(photos: Path, to: Path, seed: int, each: int, only: str) -> list[Needle]:
    """Fill the folder ``to`` from the photos below ``photos``; return what was planted."""
    (to / "images").mkdir(parents=True, exist_ok=True)
    endings = {".jpg", ".jpeg", ".png"}
    sources = {
        f"o_{path.relative_to(photos).as_posix().replace('/', '~')}": path
        for path in sorted(photos.rglob("*"))
        if path.suffix.lower() in endings
    }
    for name, path in sources.items():
        shutil.copyfile(path, to / "images" / name)
    edited = [name for name in sources if name.startswith(f"o_{only}")]
    needles = list(planned(edited, seed, each))
    for number, needle in enumerate(needles):
        with Image.open(sources[needle.original]) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        random = np.random.default_rng((seed, number))
        edited_pixels = apply(tuple(needle.steps.split("+")), pixels, random)
        (to / "images" / needle.needle).write_bytes(encoded(edited_pixels))
    return needles


def write_truth(to: Path, needles: list[Needle]) -> None:
    with (to / "truth.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(Needle.__dataclass_fields__)
        rows.writerows(astuple(needle) for needle in needles)


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant edited copies among photos.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("to", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--only", default="", help="edit only photos whose path begins so")
    given = parser.parse_args()
    needles = plant(given.photos, given.to, given.seed, given.each, given.only)
    write_truth(given.to, needles)
    print(f"{given.to}: {len(needles):,} needles")


if __name__ == "__main__":
    main()
