"""COCO's run-length encodings of masks.

Column by column, the lengths of runs of 0 and of 1 in turn.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.package.geometry import IDENTITY, Frame


def warped(encoding: dict[str, Any], frame: Frame) -> dict[str, Any]:
    """Return an encoding after ``frame``, uncompressed; as it is where nothing moves."""
    height, width = encoding["size"]
    if frame.map == IDENTITY and frame.side == (width, height):
        return encoding
    a, b, c, d, e, f = frame.map
    scale = a * e - b * d
    back = (
        *(e / scale, -b / scale, (b * f - c * e) / scale),
        *(-d / scale, a / scale, (c * d - a * f) / scale),
    )
    mask = Image.fromarray(decoded(encoding))
    moved = mask.transform(frame.side, Image.Transform.AFFINE, back, Image.Resampling.NEAREST)
    return encoded(np.asarray(moved))


def decoded(encoding: dict[str, Any]) -> NDArray[np.uint8]:
    """Return the mask, 0 or 255, of shape (height, width)."""
    height, width = encoding["size"]
    runs = _runs(encoding)
    levels = np.arange(len(runs)) % 2 * 255
    return np.repeat(levels.astype(np.uint8), runs).reshape(width, height).T


def lit(encoding: dict[str, Any]) -> int:
    """Return how many pixels a mask has."""
    return sum(_runs(encoding)[1::2])


def encoded(mask: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the encoding of a mask of shape (height, width): what is not 0 counts."""
    flat = np.concatenate([[False], mask.T.ravel() > 0])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], changes, [flat.size - 1]]))
    return {"size": list(mask.shape), "counts": runs.tolist()}


def _runs(encoding: dict[str, Any]) -> list[int]:
    counts = encoding["counts"]
    return _unpacked(counts) if isinstance(counts, str) else counts


def _unpacked(text: str) -> list[int]:
    """Return the runs of a compressed encoding, as ``rleFrString`` of pycocotools does.

    Numbers have 5 bits a character; from the third on, they are differences to the last but one.
    """
    runs: list[int] = []
    at = 0
    while at < len(text):
        value = shift = 0
        more = True
        while more:
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            at += 1
            shift += 5
            if not more and bits & 0x10:
                value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
