"""The hash of an image's pixels."""

from collections.abc import Iterator

import polars as pl
from PIL import Image
from xxhash import xxh3_128

BAND = 1 << 21  # pixels that are hashed at once: Pillow keeps 16 MiB in one piece, which is needed


def pixels(image: Image.Image) -> str:
    """Return the XXH3 (128 bits) of an image's size and pixels: equal for equal pictures.

    ``image`` has mode "L" or "RGB", as ``images.read`` gives it. Nobody comes upon two pictures of
    one hash by chance; whoever makes them on purpose has made two that count as copies.
    Y. Collet, "XXH3", 2019.
    """
    whole = xxh3_128(f"{image.width}x{image.height}:".encode())
    for band in _bands(image):
        whole.update(_stored(band if band.mode == "RGB" else band.convert("RGB")))
    return whole.hexdigest()


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    """Yield an image in parts of so many rows that each is in one piece."""
    rows = max(1, BAND // image.width)
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(image.height, top + rows)))


def _stored(image: Image.Image) -> memoryview:
    """Return the pixels as they lie in memory, without a copy: red, green, blue, 255."""
    return pl.Series(image).to_numpy(allow_copy=False).data
