"""Perceptual hashes: 64 bits of an image and of its eight rotations and mirrors, 256 bits of it.

The hash is that of N. Krawetz, "Looks Like It" (2011), in the form of the ``imagehash`` library:
grey, shrunk by Lanczos to 4 times the side of the hash, type-II DCT, low frequencies, one bit for
each coefficient above their median. The other seven of 64 bits come from the same coefficients: a
mirror negates the odd columns of the DCT, a transposition transposes it.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from imagemill.measure.resample import Levels, lanczos, shrunk

LOW = 8
LOW_OF_256 = 16

Low = NDArray[np.float64]

_SIGNS = np.where(np.arange(LOW) % 2, -1.0, 1.0)


def low(levels: Levels, extent: tuple[float, float]) -> Low:
    """Return the 8x8 lowest frequencies of a grey image shrunk to 32x32 whole levels.

    ``extent`` is that of ``resample.shrunk``.
    """
    return _rounded(_DCT @ shrunk(levels, extent, 4 * LOW) @ _DCT.T)


def low_of_256(levels: Levels, extent: tuple[float, float]) -> Low:
    """Return the 16x16 lowest frequencies of a grey image shrunk to 64x64.

    In between, levels are not rounded, which ``imagehash`` does: in one product with the DCT,
    resampling takes a fifth of the time.
    """
    down = _shrinking(levels.shape[0], extent[1])
    return _rounded(down @ levels @ _shrinking(levels.shape[1], extent[0]).T)


def _rounded(exact: Low) -> Low:
    # What is 0 in a symmetric image is then 0 on every processor.
    return exact.round(6)


def hashes(lows: Low) -> list[list[int]]:
    """Return the hashes of images of those frequencies (n, 8, 8): of each, one a transform.

    In the order of ``TRANSFORMS``. The first bit of a hash, its highest, is that of the mean.
    """
    packed = _packed(_variants(lows).reshape(-1, LOW * LOW))
    found: list[list[int]] = packed.view(">u8").reshape(-1, 8).tolist()
    return found


def hashes256(lows: Low) -> list[bytes]:
    """Return the 256-bit hash of each image of those frequencies (n, 16, 16), high bit first."""
    return [row.tobytes() for row in _packed(lows.reshape(len(lows), -1))]


def _dct(count: int) -> Low:
    """Return the lowest rows of the DCT of ``4 * count`` samples."""
    k, n = np.mgrid[0:count, 0 : 4 * count]
    basis: Low = 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * 4 * count))
    return basis


_DCT = _dct(LOW)
_DCT_OF_256 = _dct(LOW_OF_256)


@lru_cache(maxsize=512)
def _shrinking(samples: int, extent: float) -> Low:
    """Return the weights (16, samples) of those frequencies of a row of samples, shrunk to 64."""
    basis: Low = _DCT_OF_256 @ lanczos(samples, extent, 4 * LOW_OF_256)
    return basis


def _variants(lows: Low) -> Low:
    """Return the coefficients (n, 8, 8) of images under ``tables.TRANSFORMS``: (n, 8, 8, 8)."""
    mirrored = lows * _SIGNS
    turned = [each for start in (lows, mirrored) for each in _turns(start)]
    return np.stack(turned, axis=1)


def _turns(lows: Low) -> list[Low]:
    """Return the coefficients of images turned counter-clockwise by 0, 90, 180, 270 degrees."""
    across = lows.swapaxes(1, 2)
    quarter = across * _SIGNS[:, None]
    half = lows * _SIGNS * _SIGNS[:, None]
    return [lows, quarter, half, across * _SIGNS]


def _packed(rows: Low) -> NDArray[np.uint8]:
    """Return, row by row, which coefficients are above the median of their row, 8 a byte."""
    middle = rows.shape[1] // 2
    ordered = np.sort(rows, axis=1)
    median = ordered[:, middle - 1 : middle + 1].mean(axis=1, keepdims=True)
    return np.packbits(rows > median, axis=1)
