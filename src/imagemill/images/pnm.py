"""PNM files (Netpbm's PBM, PGM, PPM), whose levels end at any number."""

from io import BytesIO

import numpy as np
from PIL.ImageFile import ImageFile

_MOST = {"L": 255, "RGB": 255, "I": 65_535}


def spread(image: ImageFile, data: bytes) -> None:
    """Let ``image``, opened and not decoded, read levels that are spread over its mode's range.

    Pillow computes the same one by one, which takes minutes for a large image.
    """
    tile = image.tile[0]
    if tile.codec_name != "ppm":
        return
    levels, offset = int(tile.args[1]), tile.offset  # type: ignore[index]
    most, stored = _MOST[image.mode], np.dtype("u1" if levels < 256 else ">u2")
    count = (len(data) - offset) // stored.itemsize
    found = np.frombuffer(data, stored, min(count, _samples(image)), offset)
    table = np.rint(np.arange(2 ** (8 * stored.itemsize)) / levels * most).clip(max=most)
    image.fp = BytesIO(table.astype("<u4" if image.mode == "I" else "u1")[found].tobytes())
    mode = "I;32" if image.mode == "I" else image.mode
    image.tile = [tile._replace(codec_name="raw", offset=0, args=(mode, 0, 1))]


def _samples(image: ImageFile) -> int:
    return image.width * image.height * len(image.getbands())
