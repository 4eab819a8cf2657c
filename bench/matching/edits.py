"""The edits that make a copy of a photo, each with its severity: ``EDITS`` and ``chain``.

Pixels are edited by albumentations; Pillow draws what that has not (text, watermark, screenshot).
An edit takes an upright RGB array and its own random numbers, and gives another RGB array.
"""

import io
from collections.abc import Callable

import albumentations
import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Edit = Callable[[Pixels, Generator], Pixels]

WORDS = ("SALE", "sample photo", "2024-06-11 18:42", "www.example.org", "NEW IN", "do not copy")


def library(name: str, **settings: object) -> Edit:
    """Return the albumentations transform ``name``, always applied."""
    transform = getattr(albumentations, name)(p=1, **settings)

    def edit(pixels: Pixels, random: Generator) -> Pixels:
        seeded = albumentations.Compose([transform], seed=int(random.integers(2**31)))
        return np.ascontiguousarray(seeded(image=pixels)["image"])

    return edit


def jpeg(quality: int) -> Edit:
    return library("ImageCompression", quality_range=(quality, quality))


def resize(scale: float) -> Edit:
    def edit(pixels: Pixels, random: Generator) -> Pixels:
        height, width = (max(8, round(side * scale)) for side in pixels.shape[:2])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        return library("Resize", height=height, width=width, interpolation=way)(pixels, random)

    return edit


def _window(pixels: Pixels, tall: float, wide: float, random: Generator) -> Pixels:
    """Cut out a window of those parts of height and width, at a random place."""
    height, width = pixels.shape[:2]
    settings = {
        "height": max(1, min(height, round(height * tall))),
        "width": max(1, min(width, round(width * wide))),
    }
    return library("RandomCrop", **settings)(pixels, random)


def crop(area: int) -> Edit:
    """Cut away ``area`` % of the area; the window's aspect is within 10 % of the photo's."""

    def edit(pixels: Pixels, random: Generator) -> Pixels:
        kept = 1 - area / 100
        least = max(kept, 1 / 1.1)  # no side may grow
        stretch = random.uniform(least, 1 / least) ** 0.5
        return _window(pixels, kept**0.5 * stretch, kept**0.5 / stretch, random)

    return edit


def crop_side(cut: int) -> Edit:
    """Cut ``cut`` % off the width and off the height."""

    def edit(pixels: Pixels, random: Generator) -> Pixels:
        return _window(pixels, 1 - cut / 100, 1 - cut / 100, random)

    return edit


def pad(share: int, border: int) -> Edit:
    """Add ``share`` % of the width left and right, and of the height above and below."""

    def edit(pixels: Pixels, random: Generator) -> Pixels:
        height, width = pixels.shape[:2]
        each = (round(width * share / 100), round(height * share / 100))
        fill = tuple(int(v) for v in random.integers(0, 256, 3))
        settings = {"padding": each, "fill": fill, "border_mode": border}
        return library("Pad", **settings)(pixels, random)

    return edit


def rotate(degrees: int, corners: str) -> Edit:
    """Turn to either side; corners are black, or cut away with what is beside them."""

    def edit(pixels: Pixels, random: Generator) -> Pixels:
        angle = degrees * (1 if random.integers(2) else -1)
        turned = library("Rotate", limit=(angle, angle), crop_border=corners == "cut")
        return turned(pixels, random)

    return edit


def quarter(pixels: Pixels, random: Generator) -> Pixels:
    return np.ascontiguousarray(np.rot90(pixels, 1 if random.integers(2) else 3))


def either(low: float, high: float, name: str) -> Edit:
    """Change brightness, contrast or saturation by one of two factors."""

    def edit(pixels: Pixels, random: Generator) -> Pixels:
        factor = low if random.integers(2) else high
        still = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
        return library("ColorJitter", **{**still, name: (factor, factor)})(pixels, random)

    return edit


def hue(degrees: int) -> Edit:
    """Shift the hue to either side; OpenCV counts it in steps of 2 degrees."""

    def edit(pixels: Pixels, random: Generator) -> Pixels:
        shift = degrees // 2 * (1 if random.integers(2) else -1)
        still = {"sat_shift_limit": (0, 0), "val_shift_limit": (0, 0)}
        jitter = library("HueSaturationValue", hue_shift_limit=(shift, shift), **still)
        return jitter(pixels, random)

    return edit


def _font(height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(6, round(height)))


def text(pixels: Pixels, random: Generator) -> Pixels:
    """Write a line in an eighth of the height, opaque with an outline, somewhere."""
    image = Image.fromarray(pixels)
    words = WORDS[int(random.integers(len(WORDS)))]
    high = image.height / 8
    font = _font(high)
    wide = font.getlength(words)
    font = font if wide <= 0.9 * image.width else _font(high * 0.9 * image.width / wide)
    spare = (image.width - font.getlength(words), image.height - high * 1.2)
    place = tuple(float(random.uniform(0, max(1, part))) for part in spare)
    ink = ("white", "black") if random.integers(2) else ("black", "white")
    ImageDraw.Draw(image).text(
        place,
        words,
        fill=ink[0],
        font=font,
        stroke_width=max(1, round(high / 20)),
        stroke_fill=ink[1],
    )
    return np.asarray(image)


def watermark(pixels: Pixels, random: Generator) -> Pixels:
    """Lay a slanted line of words over the whole picture, again and again, 35 % opaque."""
    image = Image.fromarray(pixels).convert("RGBA")
    side = 2 * max(image.size)
    layer = Image.new("RGBA", (side, side))
    draw, font = ImageDraw.Draw(layer), _font(max(image.size) / 16)
    words = f"{WORDS[int(random.integers(len(WORDS)))]}     "
    line = words * (int(side / font.getlength(words)) + 1)
    for row in range(0, side, max(4, max(image.size) // 6)):
        draw.text((-(row % 7) * 20, row), line, fill=(255, 255, 255, 90), font=font)
    layer = layer.rotate(30, resample=Image.Resampling.BILINEAR)
    left, top = (side - image.width) // 2, (side - image.height) // 2
    layer = layer.crop((left, top, left + image.width, top + image.height))
    return np.asarray(Image.alpha_composite(image, layer).convert("RGB"))


def border(pixels: Pixels, random: Generator) -> Pixels:
    """Draw a frame of 5 % of the shorter side over the photo's edge."""
    image = Image.fromarray(pixels)
    thick = max(1, round(min(image.size) * 0.05))
    colour = tuple(int(v) for v in random.integers(0, 256, 3))
    box = (0, 0, image.width - 1, image.height - 1)
    ImageDraw.Draw(image).rectangle(box, outline=colour, width=thick)
    return np.asarray(image)


def screenshot(pixels: Pixels, random: Generator) -> Pixels:
    """Show the photo full-width on a phone of 360x780 with a status bar, a title and buttons."""
    width, height = 360, 780
    dark = bool(random.integers(2))
    page, ink = ("#121212", "#eeeeee") if dark else ("#fafafa", "#222222")
    screen = Image.new("RGB", (width, height), page)
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, width, 24), fill="#000000")
    draw.text((12, 4), "18:42", fill="#ffffff", font=_font(14))
    draw.rectangle((320, 7, 344, 17), outline="#ffffff")
    draw.text((16, 36), "< Photos", fill=ink, font=_font(20))
    photo = Image.fromarray(pixels)
    scale = min(width / photo.width, 640 / photo.height)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    screen.paste(photo, ((width - photo.width) // 2, 72 + (640 - photo.height) // 2))
    for at in range(4):
        middle = 45 + at * 90
        draw.ellipse((middle - 14, 735, middle + 14, 763), outline=ink, width=3)
    return np.asarray(screen)


EDITS: dict[str, Edit] = {
    **{f"jpeg-{q}": jpeg(q) for q in (10, 30, 50, 70, 90)},
    "resize-0.25": resize(0.25),
    "resize-0.5": resize(0.5),
    "resize-2": resize(2),
    **{f"crop-{n}": crop(n) for n in (5, 10, 20, 50)},
    **{f"crop-side-{n}": crop_side(n) for n in (5, 10, 20, 50)},
    **{f"pad-{n}": pad(n, cv2.BORDER_CONSTANT) for n in (10, 20)},
    **{f"pad-{n}-reflect": pad(n, cv2.BORDER_REFLECT_101) for n in (10, 20)},
    "mirror": library("HorizontalFlip"),
    **{f"rotate-{n}-{c}": rotate(n, c) for n in (2, 10) for c in ("black", "cut")},
    "rotate-90": quarter,
    "blur-1.5": library("GaussianBlur", sigma_limit=(1.5, 1.5), blur_limit=0),
    "blur-4": library("GaussianBlur", sigma_limit=(4, 4), blur_limit=0),
    "noise-0.05": library("GaussNoise", std_range=(0.05, 0.05)),
    "noise-0.15": library("GaussNoise", std_range=(0.15, 0.15)),
    "brightness-0.7-1.3": either(0.7, 1.3, "brightness"),
    "brightness-0.4-1.7": either(0.4, 1.7, "brightness"),
    "contrast-0.7-1.4": either(0.7, 1.4, "contrast"),
    "contrast-0.4-2": either(0.4, 2, "contrast"),
    "saturation-0.3-2": either(0.3, 2, "saturation"),
    "hue-20": hue(20),
    "greyscale": library("ToGray"),
    "text": text,
    "watermark": watermark,
    "border": border,
    "screenshot": screenshot,
}
"""One edit each; a number in the name is its severity, as its function says."""

KEEPS = {"crop-50": 0.5, "crop-20": 0.8, "crop-10": 0.9, "crop-5": 0.95} | {
    "crop-side-5": 0.9,
    "crop-side-10": 0.81,
    "crop-side-20": 0.64,
    "crop-side-50": 0.25,
    "rotate-2-cut": 0.92,
    "rotate-10-cut": 0.65,
}
"""The part of the area that an edit leaves; all of it where it is not named."""

LEAST_KEPT = 0.5
"""The part of the area that a chain leaves at least."""


def chain(random: Generator) -> tuple[str, ...]:
    """Draw three edits of different kinds that together leave half of the area."""
    while True:
        names = tuple(str(name) for name in random.choice(list(EDITS), 3, replace=False))
        kinds = {name.split("-")[0] for name in names}
        kept = np.prod([KEEPS.get(name, 1.0) for name in names])
        if len(kinds) == 3 and kept >= LEAST_KEPT:
            return names


def apply(names: tuple[str, ...], pixels: Pixels, random: Generator) -> Pixels:
    for name in names:
        pixels = EDITS[name](pixels, random)
    return pixels


def encoded(pixels: Pixels) -> bytes:
    """Return a JPEG of quality 92, as most programs save an edited photo."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92)
    return out.getvalue()
