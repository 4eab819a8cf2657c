"""Cut photographs that ship inside installed packages into small pictures that differ."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from imagemill.errors import BuildError
from imagemill.sample.likeness import Hash, distance, phash, phashes, quality

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


# Left out: textures and text (brick, grass, gravel, page), whose parts look alike; pictures too
# smooth or dark to cut (moon, retina, hubble_deep_field); the right half of the stereo pair.
PHOTOGRAPHS = (
    Photograph("astronaut", "skimage", "data/astronaut.png", 2.25, TALL),
    Photograph("camera", "skimage", "data/camera.png", 2.5, TALL),
    Photograph("chelsea", "skimage", "data/chelsea.png", 2.0, WIDE),
    Photograph("china", "sklearn", "datasets/images/china.jpg", 2.5, WIDE),
    Photograph("coffee", "skimage", "data/coffee.png", 2.25, WIDE),
    Photograph("coins", "skimage", "data/coins.png", 2.5, TALL),
    Photograph("flower", "sklearn", "datasets/images/flower.jpg", 2.25, WIDE),
    Photograph("ihc", "skimage", "data/ihc.png", 1.75, TALL),
    Photograph("motorcycle", "skimage", "data/motorcycle_left.png", 2.25, WIDE),
    Photograph("rocket", "skimage", "data/rocket.jpg", 2.5, TALL),
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

    def left(self) -> int:
        """Return the number of pictures not handed out."""
        return sum(map(len, self._left.values()))


def _pictures(rng: np.random.Generator) -> dict[str, list[Image.Image]]:
    """Return the rich pictures of each photograph, by label, unlike any other."""
    hashes: list[Hash] = []
    found: dict[str, list[Image.Image]] = {}
    for photograph in PHOTOGRAPHS:
        found[photograph.label] = []
        for picture in _cut(photograph, rng):
            variants = phashes(picture)
            if _rich(picture) and distance(variants, hashes) >= UNLIKE:
                found[photograph.label].append(picture)
                hashes.append(phash(picture))
    return found


def _cut(photograph: Photograph, rng: np.random.Generator) -> Iterator[Image.Image]:
    """Yield parts that do not overlap, line by line, there and back, so that the next is near."""
    whole = _opened(photograph)
    width, height = photograph.cell
    tops = range(0, whole.height - height + 1, height)
    for line, top in enumerate(tops):
        lefts = range(0, whole.width - width + 1, width)
        for left in lefts[:: -1 if line % 2 else 1]:
            less_wide, less_high = (int(n) for n in rng.integers(0, MARGIN + 1, size=2))
            yield whole.crop((left, top, left + width - less_wide, top + height - less_high))


def _opened(photograph: Photograph) -> Image.Image:
    spec = importlib.util.find_spec(photograph.package)
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0]) / photograph.file if places else None
    if path is None or not path.is_file():
        missing = path or f"the package {photograph.package}"
        raise BuildError(f"sample: {missing} is not there; install it with: {INSTALL}")
    with Image.open(path) as image:
        whole = image.convert("RGB")
    size = (round(whole.width * photograph.scale), round(whole.height * photograph.scale))
    sharpen = ImageFilter.UnsharpMask(radius=2, percent=180, threshold=0)
    return whole.resize(size, Image.Resampling.LANCZOS).filter(sharpen)


def _rich(picture: Image.Image) -> bool:
    """Tell whether a picture is far from blurred, dark, bright and empty."""
    figures = quality(picture)
    return (
        figures.sharpness > 200
        and 55 < figures.brightness < 195
        and figures.contrast > 30
        and figures.entropy > 6.2
    )
