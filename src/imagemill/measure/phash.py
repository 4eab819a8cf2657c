"""64-bit perceptual hashes of an image and of its eight rotations and mirrors.

The hash is that of N. Krawetz, "Looks Like It" (2011), in the form of the ``imagehash`` library:
grey, 32x32 by Lanczos, type-II DCT, low 8x8, one bit for each coefficient above their median.
The other seven come from the same coefficients: a mirror negates the odd columns of the DCT, a
transposition transposes it.
"""

import numpy as np
from numpy.typing import NDArray

SIDE = 32
LOW = 8


def _dct() -> NDArray[np.float64]:
    k, n = np.mgrid[0:LOW, 0:SIDE]
    basis: NDArray[np.float64] = 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * SIDE))
    return basis


_BASIS = _dct()
_SIGNS = np.where(np.arange(LOW) % 2, -1.0, 1.0)
_POWERS = np.uint64(1) << np.arange(63, -1, -1, dtype=np.uint64)


def hashes(grey: NDArray[np.uint8]) -> list[int]:
    """Return the hashes of a 32x32 grey image under ``tables.TRANSFORMS``, in that order.

    The first bit of a hash, its highest, is that of the mean.
    """
    # Rounded, so that what is 0 in a symmetric image is 0 on every processor.
    low = (_BASIS @ grey.astype(np.float64) @ _BASIS.T).round(6)
    return [_bits(variant) for variant in _variants(low)]


def _variants(low: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    mirrored = low * _SIGNS
    return [turned for start in (low, mirrored) for turned in _turns(start)]


def _turns(low: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the coefficients of the image turned counter-clockwise by 0, 90, 180, 270 degrees."""
    quarter = low.T * _SIGNS[:, None]
    half = low * _SIGNS * _SIGNS[:, None]
    return [low, quarter, half, low.T * _SIGNS]


def _bits(low: NDArray[np.float64]) -> int:
    return int(_POWERS[(low > np.median(low)).ravel()].sum(dtype=np.uint64))
