"""Photographs that ship with scikit-image and scikit-learn, and many crops of them."""

import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image


@cache
def photographs() -> list[Image.Image]:
    """Return all of at least 200 pixels a side, in RGB, and 400 crops of at least 60."""
    images = []
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        place = Path(find_spec(package).submodule_search_locations[0]) / folder
        paths = [p for p in sorted(place.iterdir()) if p.suffix in (".png", ".jpg")]
        images += [Image.open(path).convert("RGB") for path in paths]
    chance = random.Random(1)
    whole = [image for image in images if min(image.size) >= 200]
    return whole + [crop(chance.choice(whole), chance) for _ in range(400)]


def crop(image: Image.Image, chance: random.Random) -> Image.Image:
    """Return a part of at least 60 pixels a side."""
    width, height = (chance.randrange(60, 1 + side) for side in image.size)
    left, top = (
        chance.randrange(image.width - width + 1),
        chance.randrange(image.height - height + 1),
    )
    return image.crop((left, top, left + width, top + height))
