"""Perceptual hashes and thumbnails."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from imagemill.measure import phash, resample
from imagemill.measure.picture import Picture
from imagemill.tables import COLOURS_SIDE, THUMB_SIDE


class Look(NamedTuple):
    """What is left of a picture once the picture is gone."""

    low: phash.Low
    low_of_256: phash.Low
    thumb: bytes
    colours: bytes


def look(picture: Picture) -> Look:
    """Return what ``prints`` takes of a picture."""
    grey = np.asarray(picture.small.convert("L"), np.float64)
    thumb = resample.shrunk(grey, picture.extent, THUMB_SIDE)
    return Look(
        phash.low(grey, picture.extent),
        phash.low_of_256(grey, picture.extent),
        thumb.astype(np.uint8).tobytes(),
        _colours(picture),
    )


def prints(looks: Sequence[Look]) -> Iterable[dict[str, Any]]:
    """Yield the perceptual hashes and thumbnails of each."""
    lows, lows_of_256, thumbs, colours = zip(*looks, strict=True)
    hashes = zip(phash.hashes(np.stack(lows)), phash.hashes256(np.stack(lows_of_256)), strict=True)
    for (eight, large), thumb, colour in zip(hashes, thumbs, colours, strict=True):
        yield {"phash": eight, "phash256": large, "thumb": thumb, "colours": colour}


def _colours(picture: Picture) -> bytes:
    side = (COLOURS_SIDE, COLOURS_SIDE)
    found = picture.small.resize(side, Image.Resampling.BOX, box=(0, 0, *picture.extent))
    return found.convert("RGB").tobytes()
