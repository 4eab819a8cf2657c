"""Keypoints: places in an image that are found again when it is cropped, turned or framed.

D. Lowe, "Distinctive Image Features from Scale-Invariant Keypoints" (2004), as OpenCV computes
them, on a small copy of the image: what is coarse survives most edits. A descriptor is kept as 64
bits, each the sign of a fixed random sum of its numbers, so that near ones differ in few bits
(M. Charikar, "Similarity Estimation Techniques from Rounding Algorithms", 2002).
"""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, JsonValue

from imagemill.config import Section, or_none
from imagemill.errors import BuildError
from imagemill.measure.picture import Picture

VERSION = 2  # raise it when the code here gives other values
SIDE = 96  # pixels of the longer side of the copy that is looked at
CONTRAST = 0.01  # of a keypoint to what is around it, at least, 0..1; Lowe has 0.03
EDGE = 15  # how much longer than across a structure may be; Lowe has 10, for larger images
LAYERS = 3  # an octave
BLUR = 1.6  # pixels, of the first layer
SUMMED = 32  # numbers of a descriptor that a bit looks at, half of them taken off
LEAST_SIDE = 16  # pixels of the small copy's shorter side
SEED = 5

Row = dict[str, bytes]
"""``hashes``, ``mirrored`` and ``places``, as in ``tables.KEYPOINTS``."""


class Sift(Section):
    """Keypoints by OpenCV; may be pickled and sent to workers."""

    kind: Literal["sift"]
    most: Annotated[int, Field(ge=1, le=1000)]
    """Keypoints of an image; those of the most contrast are kept."""

    def fingerprint(self) -> dict[str, JsonValue]:
        """Return all that could change what is found; raises ``BuildError`` without OpenCV."""
        _opencv()
        installed = version("opencv-python-headless")
        return {"most": self.most, "version": VERSION, "opencv": installed}

    def __call__(self, looks: Sequence[Image.Image]) -> Iterable[Row]:
        """Yield the keypoints of each picture that ``look`` saw."""
        sift = _sift()
        for grey in looks:
            yield _described(sift, np.asarray(grey), self.most)


Choice = Annotated[Sift | None, or_none("keypoints@measure.keypoints: sift")]
"""What a config may name; ``kind: none`` becomes None."""


def _opencv() -> Any:
    if find_spec("cv2") is None:
        raise BuildError(
            "measure.keypoints: needs OpenCV, which is not installed: "
            "pip install 'imagemill[keypoints]'"
        )
    import cv2  # noqa: PLC0415 (takes long, and not all need it)

    return cv2


@cache
def _sift() -> Any:
    """Start OpenCV once a process, on one thread, with the code that all processors run.

    What it has for AVX2 and AVX-512 takes a seventh less time, and rounds otherwise: half of the
    images then have other keypoints on another machine, and what was built there is built again.
    """
    cv2 = _opencv()
    cv2.setNumThreads(1)
    cv2.setUseOptimized(False)
    return cv2.SIFT_create(0, LAYERS, CONTRAST, EDGE, BLUR)


def look(picture: Picture) -> Image.Image:
    """Return the small grey copy that keypoints are found in."""
    scale = SIDE / max(picture.image.size)
    width, height = (max(LEAST_SIDE, round(length * scale)) for length in picture.image.size)
    box = (0, 0, *picture.extent)
    return picture.small.convert("L").resize((width, height), Image.Resampling.LANCZOS, box=box)


def _described(sift: Any, grey: NDArray[np.uint8], most: int) -> Row:
    points = sorted(sift.detect(grey, None), key=lambda p: (-p.response, p.pt, p.angle))[:most]
    points, descriptors = sift.compute(grey, points)
    if not points:
        return {"hashes": b"", "mirrored": b"", "places": b""}
    longer = max(grey.shape)
    places = [
        (p.pt[0] / longer, p.pt[1] / longer, p.size / longer, np.deg2rad(p.angle)) for p in points
    ]
    cells = descriptors.reshape(-1, 4, 4, 8)
    # A mirror swaps the sides of a keypoint's own axis, and the sense of all angles.
    mirrored = cells[:, ::-1][..., -np.arange(8) % 8]
    hashes, others = np.split(_hashed(np.concatenate([cells, mirrored])), 2)
    return {
        "hashes": hashes.tobytes(),
        "mirrored": others.tobytes(),
        "places": np.array(places, "<f2").tobytes(),
    }


def _hashed(cells: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return 64 bits for each descriptor (n, 4, 4, 8)."""
    # The square roots are nearer in length to how alike two descriptors are (R. Arandjelović and
    # A. Zisserman, "Three Things Everyone Should Know to Improve Object Retrieval", 2012).
    # In whole hundredths, whose sums are the same in any order.
    roots = (100 * np.sqrt(cells.reshape(-1, 128))).round()
    bits = roots @ _sums() > 0
    return np.packbits(bits, axis=1).view(">u8").ravel().astype("<u8")


@cache
def _sums() -> NDArray[np.float32]:
    """Return the numbers that each bit adds and takes off: (128, 64)."""
    numbers = np.random.Generator(np.random.PCG64(SEED))
    found = np.zeros((128, 64), np.float32)
    for bit in range(64):
        chosen = np.argsort(numbers.random(128))
        found[chosen[: SUMMED // 2], bit] = 1
        found[chosen[SUMMED // 2 : SUMMED], bit] = -1
    return found
