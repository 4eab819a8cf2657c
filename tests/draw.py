"""Photos drawn from a seed: textured, each unlike the others, the same on every machine."""

from io import BytesIO

import numpy as np
from PIL import Image

SIDE = 96


def photo(seed: int, width: int = SIDE, height: int = SIDE) -> Image.Image:
    """Return an RGB image: coarse colour shapes under fine grain."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    shapes = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = random.integers(-24, 25, (height, width, 1), dtype=np.int16)
    return Image.fromarray((shapes + grain).clip(0, 255).astype(np.uint8))


def photo_bytes(seed: int, suffix: str = "png", **options: int) -> bytes:
    """Return a drawn photo as a file."""
    file = BytesIO()
    photo(seed).save(file, {"png": "PNG", "jpg": "JPEG"}[suffix], **options)
    return file.getvalue()
