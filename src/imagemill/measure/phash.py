"""Perceptual hashes: 64 bits of an image and of its eight rotations and mirrors, 256 bits of it.

The hash is that of N. Krawetz, "Looks Like It" (2011), in the form of the ``imagehash`` library:
grey, shrunk by Lanczos to 4 times the side of the hash, type-II DCT, low frequencies, one bit for
each coefficient above their median. The other seven of 64 bits come from the same coefficients: a
mirror negates the odd columns of the DCT, a transposition transposes it.
"""

import numpy as np
from numpy.typing import NDArray

LOW = 8
LOW_OF_256 = 16
SIDE = 4 * LOW  # of the image that 64 bits are made of, in pixels
SIDE_OF_256 = 4 * LOW_OF_256

Low = NDArray[np.float64]


def _dct(low: int) -> Low:
    """Return the lowest rows of the DCT of ``4 * low`` samples."""
    k, n = np.mgrid[0:low, 0 : 4 * low]
    basis: Low = 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * 4 * low))
    return basis


_BASIS = _dct(LOW)
_BASIS_OF_256 = _dct(LOW_OF_256)
_SIGNS = np.where(np.arange(LOW) % 2, -1.0, 1.0)


def hashes(greys: Low) -> list[list[int]]:
    """Return the hashes of grey images (n, 32, 32): of each, one a transform of ``TRANSFORMS``.

    The first bit of a hash, its highest, is that of the mean.
    """
    packed = _packed(_variants(_low(greys, _BASIS)).reshape(-1, LOW * LOW))
    found: list[list[int]] = packed.view(">u8").reshape(-1, 8).tolist()
    return found


def hashes256(greys: Low) -> list[bytes]:
    """Return the 256-bit hash of each of some grey images (n, 64, 64), highest bit first."""
    low = _low(greys, _BASIS_OF_256)
    return [row.tobytes() for row in _packed(low.reshape(len(greys), -1))]


def _low(greys: Low, basis: Low) -> Low:
    # Rounded, so that what is 0 in a symmetric image is 0 on every processor.
    low: Low = (basis @ greys @ basis.T).round(6)
    return low


def _variants(low: Low) -> Low:
    """Return the coefficients (n, 8, 8) of images under ``tables.TRANSFORMS``: (n, 8, 8, 8)."""
    mirrored = low * _SIGNS
    turned = [each for start in (low, mirrored) for each in _turns(start)]
    return np.stack(turned, axis=1)


def _turns(low: Low) -> list[Low]:
    """Return the coefficients of images turned counter-clockwise by 0, 90, 180, 270 degrees."""
    across = low.swapaxes(1, 2)
    quarter = across * _SIGNS[:, None]
    half = low * _SIGNS * _SIGNS[:, None]
    return [low, quarter, half, across * _SIGNS]


def _packed(low: Low) -> NDArray[np.uint8]:
    """Return, row by row, which coefficients are above the median of their row, 8 a byte."""
    middle = low.shape[1] // 2
    ordered = np.sort(low, axis=1)
    median = ordered[:, middle - 1 : middle + 1].mean(axis=1, keepdims=True)
    return np.packbits(low > median, axis=1)
