"""Figures of how an image looks."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.measure.picture import Picture

FINE_SIDE = 512
"""Pixels of the longer side, about, that larger images are averaged down to: or the grain of large
photos would look sharp, and their edges blurred."""

STEPPED = 384
"""Pixels of the longer side from which every second pixel of every second row is looked at."""

_LEVELS = np.arange(256)


def figures(picture: Picture) -> dict[str, float]:
    """Return sharpness, brightness, contrast, entropy and saturation, as in ``tables.FACTS``."""
    return {**_grey(judged(picture.image)), "saturation": saturation(picture.small)}


def judged(image: Image.Image) -> Image.Image:
    """Return what quality is judged by: grey, at most 383 pixels on the longer side.

    Of a large image it is every second pixel, and so the Laplacian has a step of two: one above a
    single pixel suits what is seldom sharp to the pixel (S. Nayar and Y. Nakagawa, "Shape from
    Focus", 1994). It tells blur better than averaging pairs of pixels does.
    """
    factor = round(max(image.size) / FINE_SIDE)
    fine = image.reduce(factor) if factor > 1 else image
    if max(fine.size) >= STEPPED:
        width, height = (max(1, side // 2) for side in fine.size)
        box = (0, 0, min(2 * width, fine.width), min(2 * height, fine.height))
        fine = fine.resize((width, height), Image.Resampling.NEAREST, box)
    return fine if fine.mode == "L" else fine.convert("L")


def saturation(image: Image.Image) -> float:
    """Return the mean saturation, 0 to 1: (max - min) / max of a pixel's channels, 0 for black.

    That of HSV: A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978.
    """
    if image.mode == "L":
        return 0.0
    red, green, blue = (np.asarray(band) for band in image.split())
    most = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    # In whole parts, whose sum is the same in any order.
    parts = _PARTS.take((most.astype(np.uint16) << 8) | least)
    return int(parts.sum(dtype=np.int64)) / (WHOLE * int(most.size))


WHOLE = (1 << 16) - 1  # parts of a saturation of 1


def _parts() -> NDArray[np.uint16]:
    """Return the saturation for each ``256 * max + min``."""
    most, least = _LEVELS[:, None], _LEVELS[None, :]
    divisor = np.maximum(most, 1)
    found = (WHOLE * (most - least).clip(0) + most // 2) // divisor
    return found.ravel().astype(np.uint16)


_PARTS = _parts()


def _grey(image: Image.Image) -> dict[str, float]:
    counts = np.array(image.histogram())
    count, total = int(counts.sum()), int(counts @ _LEVELS)
    shares = counts[counts > 0] / count
    return {
        "sharpness": sharpness(np.asarray(image)),
        "brightness": total / count / 255,
        "contrast": _variance(int(counts @ _LEVELS**2), total, count) ** 0.5 / 255,
        "entropy": float(-(shares * np.log2(shares)).sum()) + 0.0,
    }


def sharpness(levels: NDArray[np.uint8]) -> float:
    """Return the variance of the 4-neighbour Laplacian inside the border, of every second row.

    0 below 3x3. The focus measure LAPV of Pech-Pacheco et al., "Diatom autofocusing", ICPR 2000.
    ``levels`` are at most 512 high: exact sums in the narrowest integers make this fast.
    """
    if min(levels.shape) < 3:
        return 0.0
    signed = levels.astype(np.int16)
    rows = signed[1:-1:2]
    laplacian = signed[:-2:2, 1:-1] + signed[2::2, 1:-1]
    laplacian -= rows[:, 1:-1] << 2
    laplacian += rows[:, :-2]
    laplacian += rows[:, 2:]
    squares = np.multiply(laplacian, laplacian, dtype=np.int32).sum(axis=0, dtype=np.int32)
    return _variance(int(squares.sum()), int(laplacian.sum(dtype=np.int32)), laplacian.size)


def _variance(squares: int, total: int, count: int) -> float:
    return float((squares * count - total * total) / (count * count))
