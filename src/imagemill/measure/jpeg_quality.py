"""The quality setting that a JPEG was saved with, estimated from its quantisation table.

libjpeg's ``jpeg_set_quality`` scales the luminance table of ITU-T T.81, K.1 by a percentage; the
estimate is the setting whose table is nearest to the file's. The idea is that of N. Krawetz,
"A Picture's Worth" (Black Hat, 2007). Exact for files by libjpeg and its kin; for cameras and
editors with tables of their own, the setting that comes nearest.
"""

from functools import lru_cache

import numpy as np

_LUMINANCE = np.array(
    (
        *(16, 11, 10, 16, 24, 40, 51, 61),
        *(12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77),
        *(24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101),
        *(72, 92, 95, 98, 112, 100, 103, 99),
    )
)

_SETTINGS = np.arange(1, 101)
_PERCENT = np.where(_SETTINGS < 50, 5000 // _SETTINGS, 200 - 2 * _SETTINGS)
_TABLES = ((_PERCENT[:, None] * _LUMINANCE + 50) // 100).clip(1, 255)


@lru_cache(maxsize=1024)
def jpeg_quality(quantisation: tuple[int, ...]) -> int | None:
    """Return the setting, 1 to 100, for a table of 64 divisors; null for an empty one.

    Nearest is the least sum of absolute differences of logarithms: a divisor of 2 in the place of 1
    counts as much as one of 200 in the place of 100.
    """
    if not quantisation:
        return None
    found = np.log(np.maximum(quantisation, 1))
    return int(_SETTINGS[np.abs(np.log(_TABLES) - found).sum(axis=1).round(6).argmin()])
