"""Perceptual hashes and thumbnails: what shows whether two images are copies."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from xxhash import xxh3_128_digest

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
    spread = textures(np.frombuffer(b"".join(thumbs), np.uint8).reshape(len(thumbs), -1))
    for (eight, large), thumb, colour, texture in zip(hashes, thumbs, colours, spread, strict=True):
        yield {
            "phash": eight,
            "phash256": large,
            "thumb": thumb,
            "colours": colour,
            "texture": float(texture),
            "prints": xxh3_128_digest(np.array(eight, "<u8").tobytes() + thumb + colour),
        }


def textures(thumbs: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the standard deviation, 0..255, of each row of levels, (n, pixels)."""
    count = thumbs.shape[1]
    levels = thumbs.astype(np.int32)
    sums = levels.sum(axis=1, dtype=np.int64)
    squares = np.einsum("ij,ij->i", levels, levels).astype(np.int64)
    spread: NDArray[np.float64] = np.sqrt(count * squares - sums**2) / count
    return spread


def _colours(picture: Picture) -> bytes:
    side = (COLOURS_SIDE, COLOURS_SIDE)
    found = picture.small.resize(side, Image.Resampling.BOX, box=(0, 0, *picture.extent))
    return found.convert("RGB").tobytes()
