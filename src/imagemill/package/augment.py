"""Augmentation: images derived from those of training splits, after the split is made.

Pillow makes the pixels, as it does for torchvision's transforms of PIL images; NumPy's PCG64 draws
the numbers, seeded by the image's content and the copy's number. So a copy is the same whatever
else there is, in any process. It is the same on every machine of one processor family; a compiler
for another may join a multiplication and an addition, and round the last bit otherwise.
"""

import math
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

import numpy as np
from PIL import Image, ImageFilter
from pydantic import BeforeValidator, Field

from imagemill.config import Section
from imagemill.package.geometry import Affine, Frame

VERSION = 1  # raise it when the same draw would give other pixels

Chance = Annotated[float, Field(ge=0, le=1)]


class Config(Section):
    """What is derived from an image of a training split, and how often."""

    splits: Annotated[list[str], Field(min_length=1)]
    """Whose images are copied. Never those that a model is judged by."""
    multiplier: Annotated[int, Field(ge=1)]
    """Rows an image becomes: itself, and one less derived ones."""
    seed: int
    flip: Chance
    """Chance that a copy is mirrored, left to right."""
    rotate: Chance
    max_degrees: Annotated[float, Field(ge=0, le=180)]
    """Turned by up to so much, either way, about the centre."""
    translate: Chance
    max_pixels: Annotated[int, Field(ge=0)]
    """Moved by up to so many whole pixels, along each axis and either way."""
    blur: Chance
    max_kernel: Annotated[int, Field(ge=1)]
    """Side of the square that is averaged, from 1, which changes nothing."""
    noise: Chance
    deviation: Annotated[float, Field(ge=0)]
    """Standard deviation of the added Gaussian noise, where levels go from 0 to 1."""
    background: Annotated[int, Field(ge=0, le=255)]
    """Level of what moves into the picture from outside."""


def _none(given: Any) -> Any:
    return None if given == {} else given


Choice = Annotated[Config | None, BeforeValidator(_none)]
"""A choice of ``conf/augment``, of which ``none`` says nothing."""


@dataclass(frozen=True)
class Draw:
    """What is done to one copy."""

    mirrored: bool
    degrees: float
    right: int
    down: int
    kernel: int
    noisy: bool

    def affine(self, width: int, height: int) -> Frame:
        """Return where pixels go: mirrored, then turned about the centre, then moved."""
        # Rounded, for the last bits of sine and cosine are each C library's own.
        cosine = round(math.cos(math.radians(self.degrees)), 9)
        sine = round(math.sin(math.radians(self.degrees)), 9)
        x, y = width / 2, height / 2
        turned: Affine = (
            *(cosine, sine, x - cosine * x - sine * y + self.right),
            *(-sine, cosine, y + sine * x - cosine * y + self.down),
        )
        mirror: Affine = (-1, 0, width, 0, 1, 0) if self.mirrored else (1, 0, 0, 0, 1, 0)
        return Frame(mirror, (width, height)).then(Frame(turned, (width, height)))


def draw(config: Config, digest: str, copy: int) -> tuple[Draw, np.random.Generator]:
    """Return what becomes of copy ``copy`` of an image, and the generator for its noise.

    Every number is drawn, used or not, so that one chance does not shift the others.
    """
    text = f"{config.seed} {digest} {copy}"
    random = np.random.Generator(np.random.PCG64(int(sha256(text.encode()).hexdigest()[:32], 16)))
    does = random.random(5) < (
        *(config.flip, config.rotate, config.translate, config.blur, config.noise),
    )
    degrees = round(float(random.uniform(-1, 1)) * config.max_degrees, 6)
    right, down = random.integers(-config.max_pixels, config.max_pixels, 2, endpoint=True)
    kernel = random.integers(1, config.max_kernel, endpoint=True)
    chosen = Draw(
        mirrored=bool(does[0]),
        degrees=degrees if does[1] else 0.0,
        right=int(right) if does[2] else 0,
        down=int(down) if does[2] else 0,
        kernel=int(kernel) if does[3] else 1,
        noisy=bool(does[4]),
    )
    return chosen, random


def derive(image: Image.Image, config: Config, digest: str, copy: int) -> Image.Image:
    """Return copy ``copy`` (from 1) of the image of that digest, of the same side and mode."""
    chosen, random = draw(config, digest, copy)
    image = _moved(image, chosen, config.background)
    if chosen.kernel > 1:
        image = image.filter(ImageFilter.BoxBlur((chosen.kernel - 1) / 2))
    return _noisy(image, config.deviation, random) if chosen.noisy else image


def _moved(image: Image.Image, chosen: Draw, background: int) -> Image.Image:
    if chosen.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not (chosen.degrees or chosen.right or chosen.down):
        return image
    unmirrored = Draw(False, chosen.degrees, chosen.right, chosen.down, 1, False)
    a, b, c, d, e, f = unmirrored.affine(*image.size).map
    # The inverse: Pillow asks where each pixel of the result comes from. It only turns and moves.
    back = (a, d, -a * c - d * f, b, e, -b * c - e * f)
    fill = (background,) * len(image.getbands())
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        back,
        Image.Resampling.BILINEAR,
        fillcolor=fill if len(fill) > 1 else background,
    )


def _noisy(image: Image.Image, deviation: float, random: np.random.Generator) -> Image.Image:
    levels = np.asarray(image, np.float64)
    noise = random.normal(0.0, 255 * deviation, levels.shape)
    return Image.fromarray(np.rint(levels + noise).clip(0, 255).astype(np.uint8))
