"""Photos to measure: deterministic crops of real ones, saved as cameras and shops save them."""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

CLOTHING = Path(__file__).parents[2] / "shared/data/clothing"
QUALITIES = (85, 90)  # of the JPEGs, lowest and highest


def photos(folder: Path, count: int, side: tuple[int, int] = (400, 500)) -> list[Path]:
    """Write ``count`` distinct JPEGs of ``side`` (width, height) to ``folder``; return them.

    Crops of the clothing photos, or of those in the scikit-image and scikit-learn wheels where
    there are none. Equal arguments give equal files; those that are there already stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = originals()
    paths = [folder / f"{number:06}.jpg" for number in range(count)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(write, folder, sources, side), missing, chunksize=64):
            pass
    return paths


def originals() -> list[Path]:
    """Return the photographs that crops are made of."""
    found = sorted(CLOTHING.rglob("*.jpg"))
    return found or [path for path in sorted(shipped()) if min(Image.open(path).size) >= 300]


def shipped() -> Iterator[Path]:
    """Yield the photographs that ship in wheels."""
    for package, below in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)
        for place in spec.submodule_search_locations or [] if spec else []:
            folder = Path(place) / below
            yield from (path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))


def write(folder: Path, sources: list[Path], side: tuple[int, int], number: int) -> None:
    """Write one crop: at least three quarters of a photo's largest part of that shape."""
    chance = random.Random(number)
    with Image.open(sources[number % len(sources)]) as image:
        photo = image.convert("RGB")
    scale = chance.uniform(0.75, 1) * min(photo.width / side[0], photo.height / side[1])
    width, height = side[0] * scale, side[1] * scale
    left, top = chance.uniform(0, photo.width - width), chance.uniform(0, photo.height - height)
    box = (left, top, left + width, top + height)
    crop = photo.resize(side, Image.Resampling.LANCZOS, box=box)
    part = folder / f".{number}.part"
    crop.save(part, "JPEG", quality=chance.randint(*QUALITIES))
    part.replace(folder / f"{number:06}.jpg")
