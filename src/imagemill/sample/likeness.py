"""How rich a picture is, and how unlike another: measured apart from the stages under test."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
LOW = 8

BITS = LOW * LOW

Hashes = NDArray[np.bool_]
"""Of 64 bits each, in the last axis, as the ``imagehash`` library's ``phash`` sets them."""


class Quality(NamedTuple):
    """Figures of the grey levels 0..255 of a picture."""

    sharpness: float
    """Variance of the 4-neighbour Laplacian inside the border."""
    brightness: float
    """Mean."""
    contrast: float
    """Standard deviation."""
    entropy: float
    """Bits of the histogram."""


def quality(picture: Image.Image) -> Quality:
    """Return the figures of a picture of at least 3x3 pixels."""
    grey = np.asarray(picture.convert("L"), dtype=np.float64)
    sides = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    share = np.bincount(grey.astype(np.int64).ravel(), minlength=256) / grey.size
    seen = share[share > 0]
    return Quality(
        sharpness=float((sides - 4 * grey[1:-1, 1:-1]).var()),
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        entropy=float(-(seen * np.log2(seen)).sum()),
    )


def phash(picture: Image.Image) -> Hashes:
    """Return the perceptual hash: which low DCT coefficients lie above their median."""
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    low = _BASIS @ np.asarray(grey, dtype=np.float64) @ _BASIS.T
    bits: Hashes = (low > np.median(low)).ravel()
    return bits


def phashes(picture: Image.Image) -> Hashes:
    """Return the hashes (8, 64) of a picture's rotations and mirrors, its own first."""
    grey = picture.convert("L")
    mirrored = grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = (start.rotate(90 * k, expand=True) for start in (grey, mirrored) for k in range(4))
    return np.stack([phash(variant) for variant in turned])


def distance(some: Hashes, others: Sequence[Hashes]) -> int:
    """Return the fewest bits in which any of ``some`` (8, 64) and any of all ``others`` differ.

    Both sides are turned: the median moves with a mirror's signs, so that turning the one or the
    other gives distances up to 6 bits apart.
    """
    if not others:
        return BITS
    left, right = (2 * bits.astype(np.int64) - 1 for bits in (some, np.concatenate(others)))
    return int(BITS - (left @ right.T).max()) // 2


def _basis() -> NDArray[np.float64]:
    k, n = np.mgrid[0:LOW, 0:SIDE]
    basis: NDArray[np.float64] = 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * SIDE))
    return basis


_BASIS = _basis()
