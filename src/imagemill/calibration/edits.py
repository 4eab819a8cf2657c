"""Synthetic edits: what happens to photos on their way through programs, phones and web pages.

What an edit does is drawn from the image's content hash and the edit's name alone.
"""

import random
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

SIDE = 1024  # pixels of the longer side that is edited, at most: more shows nothing in a thumbnail
LEAST_SIDE = 32  # pixels that an edit leaves a side
QUALITY = 90  # of the JPEG that an edited image is saved as

Edit = Callable[[Image.Image, random.Random], Image.Image]
"""Of an image in mode "RGB", which it does not change."""


def _recompress(image: Image.Image, chance: random.Random) -> Image.Image:
    saved = BytesIO()
    image.save(saved, "JPEG", quality=chance.randint(15, 75))
    return Image.open(saved).convert("RGB")


def _resize(image: Image.Image, chance: random.Random) -> Image.Image:
    factor = chance.uniform(0.25, 0.75) if chance.random() < 0.7 else chance.uniform(1.3, 2)
    width, height = (max(LEAST_SIDE, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _crop(image: Image.Image, chance: random.Random) -> Image.Image:
    """Leave 80 to 95 % of the area, anywhere."""
    kept = chance.uniform(0.8, 0.95) ** 0.5
    width, height = (max(1, round(side * kept)) for side in image.size)
    left = chance.randint(0, image.width - width)
    top = chance.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def _pad(image: Image.Image, chance: random.Random) -> Image.Image:
    """Add 5 to 15 % of each side on both ends."""
    share = chance.uniform(0.05, 0.15)
    across, down = (max(1, round(side * share)) for side in image.size)
    return ImageOps.expand(image, (across, down), _colour(chance))


def _rotate(image: Image.Image, chance: random.Random) -> Image.Image:
    """Turn by 1 to 5 degrees, with corners of one colour."""
    angle = chance.choice((-1, 1)) * chance.uniform(1, 5)
    return image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=_colour(chance))


def _mirror(image: Image.Image, _: random.Random) -> Image.Image:
    return ImageOps.mirror(image)


def _enhanced(
    of: Callable[[Image.Image], ImageEnhance.Brightness | ImageEnhance.Contrast],
    least: float,
    most: float,
) -> Edit:
    return lambda image, chance: of(image).enhance(chance.uniform(least, most))


def _colours(image: Image.Image, chance: random.Random) -> Image.Image:
    """Scale the saturation, or leave grey."""
    factor = 0.0 if chance.random() < 0.3 else chance.uniform(0.3, 2)
    return ImageEnhance.Color(image).enhance(factor)


def _blur(image: Image.Image, chance: random.Random) -> Image.Image:
    """By a Gaussian of 0.2 to 0.6 % of the longer side."""
    return image.filter(ImageFilter.GaussianBlur(max(image.size) * chance.uniform(0.002, 0.006)))


def _noise(image: Image.Image, chance: random.Random) -> Image.Image:
    """Add noise of 5 to 20 levels of 255."""
    drawn = np.random.default_rng(chance.getrandbits(64))
    noise = drawn.normal(0, chance.uniform(5, 20), (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _text(image: Image.Image, chance: random.Random) -> Image.Image:
    """Write a line of a tenth of the height, somewhere."""
    edited = image.copy()
    high = max(6, image.height // 10)
    place = (chance.uniform(0, 0.4) * image.width, chance.uniform(0, 0.9) * image.height)
    ink, edge = chance.choice((("white", "black"), ("black", "white")))
    font = ImageFont.load_default(high)
    stroke = max(1, high // 20)
    ImageDraw.Draw(edited).text(
        place, "sample.jpg", fill=ink, font=font, stroke_width=stroke, stroke_fill=edge
    )
    return edited


def _border(image: Image.Image, chance: random.Random) -> Image.Image:
    """Draw a frame of 2 to 5 % of the shorter side over the edge."""
    edited = image.copy()
    thick = max(1, round(min(image.size) * chance.uniform(0.02, 0.05)))
    box = (0, 0, image.width - 1, image.height - 1)
    ImageDraw.Draw(edited).rectangle(box, outline=_colour(chance), width=thick)
    return edited


def _colour(chance: random.Random) -> tuple[int, int, int]:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)


SINGLE: dict[str, Edit] = {
    "recompress": _recompress,
    "resize": _resize,
    "crop": _crop,
    "pad": _pad,
    "rotate": _rotate,
    "mirror": _mirror,
    "brightness": _enhanced(ImageEnhance.Brightness, 0.6, 1.4),
    "contrast": _enhanced(ImageEnhance.Contrast, 0.6, 1.5),
    "colour": _colours,
    "blur": _blur,
    "noise": _noise,
    "text": _text,
    "border": _border,
}
CHAIN = "chain of two"
KINDS = (*SINGLE, CHAIN)


def edited(image: Image.Image, kind: str, digest: str) -> bytes:
    """Return an image of that content hash under an edit of ``KINDS``, as a JPEG file."""
    seed = int.from_bytes(sha256(f"{kind} {digest}".encode()).digest()[:8])
    chance = random.Random(seed)  # noqa: S311 (keeps no secret)
    steps = chance.sample(list(SINGLE), 2) if kind == CHAIN else [kind]
    result = small(image)
    for step in steps:
        result = SINGLE[step](result, chance)
    saved = BytesIO()
    result.save(saved, "JPEG", quality=QUALITY)
    return saved.getvalue()


def small(image: Image.Image) -> Image.Image:
    """Return a copy in mode "RGB" of at most ``SIDE`` pixels a side."""
    copy = image.convert("RGB") if image.mode != "RGB" else image.copy()
    copy.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return copy
