"""Cut photographs that ship inside installed packages into small pictures that differ."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from imagemill.errors import BuildError
from imagemill.sample.likeness import Hashes, distance, phashes, quality

INSTALL = "pip install 'imagemill[samples]'"
UNLIKE = 14  # bits; hashes of pictures that are no copies differ in at least as many
MARGIN = 12  # pixels by which a picture may be narrower and lower than its cell

WIDE, TALL = (118, 104), (104, 118)


class Photograph(NamedTuple):
    """Where a photograph lies, and how it is cut."""

    label: str
    package: str
    file: str
    scale: float
    """Enlargement: enough to get many pictures, little enough for them to stay sharp."""
    cell: tuple[int, int]
    """Width and height of the pictures at most, in pixels."""
    upper: float = 1.0
    """Share of its height, from the top, that is used."""


# Left out: textures and text (brick, grass, gravel, page; the lawn of camera), whose parts look
# alike; what is too smooth or dark to cut (moon, retina, hubble_deep_field); the right half of the
# stereo pair.
PHOTOGRAPHS = (
    Photograph("astronaut", "skimage", "data/astronaut.png", 2.25, TALL),
    Photograph("camera", "skimage", "data/camera.png", 3.0, WIDE, upper=0.62),
    Photograph("chelsea", "skimage", "data/chelsea.png", 2.0, WIDE),
    Photograph("china", "sklearn", "datasets/images/china.jpg", 3.0, WIDE),
    Photograph("coffee", "skimage", "data/coffee.png", 2.25, WIDE),
    Photograph("coins", "skimage", "data/coins.png", 2.5, TALL),
    Photograph("flower", "sklearn", "datasets/images/flower.jpg", 2.25, WIDE),
    Photograph("ihc", "skimage", "data/ihc.png", 1.75, TALL),
    Photograph("motorcycle", "skimage", "data/motorcycle_left.png", 2.25, WIDE),
    Photograph("rocket", "skimage", "data/rocket.jpg", 2.75, WIDE),
)


@dataclass
class Region:
    """Neighbouring parts of one photograph: an identity."""

    name: str
    label: str
    pictures: list[Image.Image] = field(default_factory=list)


class Regions:
    """All pictures, handed out a region at a time; no picture is handed out twice."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._left = _pictures(rng)
        self._taken = dict.fromkeys(self._left, 0)

    def take(self, count: int) -> Region:
        """Return ``count`` pictures of the photograph that has the most left."""
        label = max(self._left, key=lambda name: len(self._left[name]))
        pictures, self._left[label] = self._left[label][:count], self._left[label][count:]
        if len(pictures) < count:
            raise BuildError(f"sample: the photographs are used up; add one to {__name__}")
        self._taken[label] += 1
        return Region(f"{label}-{self._taken[label]:02}", label, pictures)


def _pictures(rng: np.random.Generator) -> dict[str, list[Image.Image]]:
    """Return the rich pictures of each photograph, by label, unlike any other."""
    hashes: list[Hashes] = []
    found: dict[str, list[Image.Image]] = {}
    for photograph in PHOTOGRAPHS:
        found[photograph.label] = []
        for picture in filter(_rich, _cut(photograph, rng)):
            variants = phashes(picture)
            if distance(variants, hashes) >= UNLIKE:
                found[photograph.label].append(picture)
                hashes.append(variants)
    return found


def _cut(photograph: Photograph, rng: np.random.Generator) -> Iterator[Image.Image]:
    """Yield parts that do not overlap, line by line, there and back, so that the next is near."""
    whole = opened(photograph)
    width, height = photograph.cell
    tops = range(0, whole.height - height + 1, height)
    for line, top in enumerate(tops):
        lefts = range(0, whole.width - width + 1, width)
        for left in lefts[:: -1 if line % 2 else 1]:
            less_wide, less_high = (int(n) for n in rng.integers(0, MARGIN + 1, size=2))
            yield whole.crop((left, top, left + width - less_wide, top + height - less_high))


def opened(photograph: Photograph) -> Image.Image:
    """Return the part of the photograph that is used, enlarged and sharpened.

    Looks its package up without importing it; raises ``BuildError`` when it is not installed.
    """
    spec = importlib.util.find_spec(photograph.package)
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0]) / photograph.file if places else None
    if path is None or not path.is_file():
        missing = path or f"the package {photograph.package}"
        raise BuildError(f"sample: {missing} is not there; install it with: {INSTALL}")
    with Image.open(path) as image:
        whole = image.convert("RGB")
    whole = whole.crop((0, 0, whole.width, round(whole.height * photograph.upper)))
    size = (round(whole.width * photograph.scale), round(whole.height * photograph.scale))
    sharpen = ImageFilter.UnsharpMask(radius=2, percent=180, threshold=0)
    return whole.resize(size, Image.Resampling.LANCZOS).filter(sharpen)


def _rich(picture: Image.Image) -> bool:
    """Tell whether a picture is far from blurred, dark, bright and empty."""
    figures = quality(picture)
    return (
        figures.sharpness > 150
        and 50 < figures.brightness < 200
        and figures.contrast > 25
        and figures.entropy > 6
    )
