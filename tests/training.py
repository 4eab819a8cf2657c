"""Packages of real photographs in every format, made as the package stage makes them."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests import make
from tests.crops import photographs
from tests.packaging import ALL, FOLDER, HDF5, Build, Sample

SIDE = 40, 32
"""Width and height of every photo."""

COUNT = 91
LABELS = ("cat", "dog, big", "1.5")
NAMES = dict(enumerate(sorted(LABELS)))
RAW = {**HDF5, "width": SIDE[0], "height": SIDE[1]}

FORMATS: dict[str, dict[str, Any]] = {
    **{name: {name: settings} for name, settings in ALL.items()},
    "hdf5": {"hdf5": RAW},
    "hdf5 encoded": {"hdf5": {**HDF5, "store": "encoded"}},
    "hdf5 gzip": {"hdf5": {**RAW, "compression": "gzip"}},
    "folders": {"imagefolder": {**FOLDER, "unpacked": True}},
}
"""Every format, and every way in which its readers differ."""


@cache
def rows() -> list[Sample]:
    """Photos of three labels in two splits: JPEGs, some of them grey, and PNGs."""
    found = []
    for n, photo in enumerate(photographs()[-COUNT:]):
        image = photo.resize(SIDE).convert("L" if n % 7 == 3 else "RGB")
        data = make.file(image, "PNG" if n % 5 == 4 else "JPEG")
        split = "test" if n % 4 == 0 else "train"
        name = "x" * 120 if n == 9 else f"p.{n}"
        found.append({"key": f"a.b/{n}.x", "name": name, "data": data, "split": split})
        found[-1]["label"] = LABELS[n % 3]
    return found


def by_sample() -> dict[str, Sample]:
    """Return the rows by the sample that a package names."""
    return {f"album/{row['key']}": row for row in rows()}


def pixels(row: Sample) -> np.ndarray:
    """Return what a row shows: uint8 (height, width, 3)."""
    return np.asarray(make.opened(row["data"]).image.convert("RGB"))


def built(root: Path, name: str, given: list[Sample] | None = None, **more: Any) -> Path:
    """Package the rows below ``root``; return the folder of the format."""
    build = Build(root / name)
    build.write(given or rows(), more=more, **FORMATS[name])
    return build.out / next(iter(FORMATS[name]))


def mirrored(image: Image.Image) -> np.ndarray:
    """Return an image mirrored, as an array."""
    return np.asarray(image)[:, ::-1].copy()
