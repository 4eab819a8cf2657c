"""Faces that nobody has: soft colours under grain, each unlike the others, many a second."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 112
CELLS = 8  # colours across a photo
QUALITY = 90
GRAIN = (6.5, 15.0)  # standard deviation of the grain, least and most; 6.5 KB a photo on average
FIELD = 512  # side of the field of grain that photos are cut from

Floats = NDArray[np.float32]


def _weights() -> Floats:
    """Return what each of CELLS colours adds to each pixel of a row, (SIDE, CELLS)."""
    each = [Image.fromarray(row[None]) for row in np.eye(CELLS, dtype=np.float32)]
    rows = [np.asarray(one.resize((SIDE, 1), Image.Resampling.BICUBIC))[0] for one in each]
    return np.stack(rows, axis=1)


_WEIGHTS = _weights()
_FIELD: Floats = np.random.default_rng(0).standard_normal((FIELD, FIELD, 1), dtype=np.float32)


def photos(random: np.random.Generator, count: int) -> Iterator[bytes]:
    """Yield RGB JPEGs of SIDE x SIDE pixels."""
    colours = random.integers(0, 256, (count, CELLS, CELLS * 3)).astype(np.float32)
    rows = np.matmul(_WEIGHTS, colours).reshape(count, SIDE, CELLS, 3)
    shapes = np.matmul(_WEIGHTS, rows)
    corners = random.integers(0, FIELD - SIDE, (count, 2))
    grains = random.uniform(*GRAIN, count).astype(np.float32)
    for shape, (y, x), grain in zip(shapes, corners, grains, strict=True):
        pixels = shape + grain * _FIELD[y : y + SIDE, x : x + SIDE]
        yield _encoded(pixels.clip(0, 255).astype(np.uint8), "JPEG", quality=QUALITY)


def faces(random: np.random.Generator, count: int) -> Iterator[bytes]:
    """Yield small RGB PNGs of SIDE x SIDE pixels: they are there to be left out."""
    cell = SIDE // 7
    for colours in random.integers(0, 256, (count, 7, 7, 3), dtype=np.uint8):
        yield _encoded(colours.repeat(cell, 0).repeat(cell, 1), "PNG", compress_level=1)


def _encoded(pixels: NDArray[np.uint8], form: str, **options: int) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()
