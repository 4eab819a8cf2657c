"""Figures that a single image's pixels determine."""

from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.measure import phash

LONG_SIDE = 512  # quality is judged at most at this size, or large photos would all look blurred


def figures(image: Image.Image) -> dict[str, Any]:
    """Return the quality figures, hashes and thumbnail of an upright L or RGB image.

    Columns as in ``tables.FACTS``, and ``thumb``: 32x32 grey bytes, row by row.
    """
    grey = image.convert("L")
    thumb = np.asarray(grey.resize((phash.SIDE, phash.SIDE), Image.Resampling.LANCZOS))
    return {
        **quality(_reduced(grey)),
        "pixels": pixels(image),
        "phash": phash.hashes(thumb),
        "thumb": thumb.tobytes(),
    }


def quality(grey: Image.Image) -> dict[str, float]:
    """Return sharpness, brightness, contrast and entropy of a grey image."""
    levels = np.asarray(grey)
    histogram = np.bincount(levels.ravel(), minlength=256) / levels.size
    seen = histogram[histogram > 0]
    return {
        "sharpness": _sharpness(levels),
        "brightness": float(levels.mean()) / 255,
        "contrast": float(levels.std()) / 255,
        "entropy": float(-(seen * np.log2(seen)).sum()) + 0.0,
    }


def pixels(image: Image.Image) -> str:
    """Return the sha256 of an image's size and RGB pixels: equal for equal pictures."""
    head = f"{image.width}x{image.height}:".encode()
    return sha256(head + image.convert("RGB").tobytes()).hexdigest()


def _reduced(grey: Image.Image) -> Image.Image:
    factor = LONG_SIDE / max(grey.size)
    if factor >= 1:
        return grey
    side = (max(1, round(grey.width * factor)), max(1, round(grey.height * factor)))
    return grey.resize(side, Image.Resampling.BOX, reducing_gap=2.0)


def _sharpness(levels: NDArray[np.uint8]) -> float:
    """Return the variance of the 4-neighbour Laplacian inside the border; 0 below 3x3.

    The focus measure LAPV of Pech-Pacheco et al., "Diatom autofocusing", ICPR 2000.
    """
    if min(levels.shape) < 3:
        return 0.0
    v = levels.astype(np.int32)
    sides = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:]
    return float((sides - 4 * v[1:-1, 1:-1]).var())
