"""Images as arrays of levels: ready JPEGs decoded straight to them, and their way to Pillow."""

from collections.abc import Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, _imaging

from imagemill.images.outcome import Unreadable
from imagemill.images.pixels import unopened

Levels = NDArray[np.uint8]
"""(height, width, channels), of which grey has 1 and RGB 3."""

_COLOURSPACE = {"L": "GRAY", "RGB": "RGB"}
_MODES = {1: "L", 3: "RGB"}


def decode_ready(data: bytes, side: tuple[int, int], mode: str) -> Levels:
    """Decode a JPEG that meets the contract, of that width and height, straight to "L" or "RGB".

    Its header is not read, and nothing is checked: that was done when it was found to be ready.
    Grey of a coloured one is its luma, which ``convert`` would compute from rounded colours.
    Raises ``Unreadable``.
    """
    width, height = side
    try:
        levels: Levels = simplejpeg.decode_jpeg(data, _COLOURSPACE[mode])
        if levels.shape[:2] == (height, width):
            return levels
    except ValueError:
        pass  # it also refuses what libjpeg only warns of
    try:
        return np.asarray(unopened(data, mode, side)).reshape(height, width, -1)
    except (OSError, ValueError) as error:
        raise Unreadable("corrupt", f"JPEG: {error}") from error


def of_levels(levels: Levels) -> Image.Image:
    """Return the image of these levels; grey is not copied."""
    height, width, channels = levels.shape
    mode = _MODES[channels]
    return Image.frombuffer(mode, (width, height), levels, "raw", mode, 0, 1)


def banded(four: Sequence[Image.Image | Levels]) -> Image.Image:
    """Return an image in mode "CMYK" whose bands are four grey images of one size.

    As ``Image.merge`` does, without what it asks of each: a twentieth of decoding and resizing
    small ones.
    """
    merged: Image.Image = Image.Image()._new(_imaging.merge("CMYK", *map(_stored, four)))
    return merged


def _stored(grey: Image.Image | Levels) -> object:
    """Return Pillow's own form of a grey image."""
    if isinstance(grey, Image.Image):
        return grey.im
    return _imaging.map_buffer(grey, grey.shape[1::-1], "raw", 0, ("L", 0, 1))
