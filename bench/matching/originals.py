"""The photos that copies are made of: a set is a folder of files, written once.

``clothing``: the folder as it is. ``wheels``: photographs that ship in wheels, below ``photo/``, to
be edited, among 525 photos of solar cells, which are not. ``small``: parts of the photos of both,
each from a place of its own, of which ``plant_small`` makes pictures of 32x32.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageStat

from bench.photos import shipped

APART = 5  # cells beside one another may be cut from one crystal and show the same grain
WIDE = 160  # side of a part of ``small``, pixels, of which the middle 128 are what is shown
FLAT = 8  # standard deviation of grey, 0..255, of a part below which it shows nothing
QUARTERED = 2  # one of so many photos gives its quarters, the others give their middle


def wheels(to: Path) -> None:
    """Copy the photos that ship in wheels."""
    for folder, paths in (("photo", photographs()), ("cell", cells())):
        (to / folder).mkdir(parents=True, exist_ok=True)
        for path in paths:
            shutil.copyfile(path, to / folder / path.name)


def photographs() -> list[Path]:
    """Return the photographs of scikit-image and scikit-learn, without drawings and icons."""
    drawn = {"color.png", "logo.png", "horse.png", "phantom.png"}
    found = (path for path in shipped() if path.name not in drawn)
    return [path for path in sorted(found) if min(Image.open(path).size) >= 300]


def cells() -> list[Path]:
    """Return photos of solar cells, every ``APART``-th of the data set."""
    spec = find_spec("elpv_dataset")
    place = spec.submodule_search_locations if spec else None
    found = sorted(Path(place[0], "data", "images").glob("*.png")) if place else []
    return found[::APART]


def tiles(to: Path, photos: Path) -> None:
    """Write parts of ``WIDE`` x ``WIDE`` of the photos below ``photos`` and of those in wheels."""
    to.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
        with Image.open(path) as image:
            whole = number % QUARTERED != 0
            parts = [middle(image)] if whole else grid(image, min(image.size) // 2)
            save(parts, to, path.stem)
    for path in photographs():
        with Image.open(path) as image:
            save(grid(image, 96), to, path.stem)


def middle(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def grid(image: Image.Image, side: int) -> list[Image.Image]:
    """Return the squares of that side that lie beside one another."""
    return [
        image.crop((left, top, left + side, top + side))
        for top in range(0, image.height - side + 1, side)
        for left in range(0, image.width - side + 1, side)
    ]


def save(parts: list[Image.Image], to: Path, stem: str) -> None:
    for number, part in enumerate(parts):
        wide = part.convert("RGB").resize((WIDE, WIDE), Image.Resampling.LANCZOS)
        if ImageStat.Stat(wide.convert("L")).stddev[0] >= FLAT:
            wide.save(to / f"{stem}-{number}.png")
