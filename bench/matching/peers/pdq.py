"""PDQ's hash of 256 bits, all compared with all; its authors call 31 bits a match.

They also advise to leave out hashes of a quality under 50 (flat pictures), which is done here.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from bench.matching.peers import Pair, hashed, main, near

LEAST_QUALITY = 50


def one(path: Path) -> NDArray[np.uint8]:
    """Return the 32 bytes of the hash and 8 of which the first is its quality."""
    with Image.open(path) as image:
        bits, quality = pdqhash.compute(np.asarray(image.convert("RGB")))
    return np.concatenate([np.packbits(bits), np.full(8, min(quality, 255), np.uint8)])


def find(images: Path, limit: float = 31) -> Iterable[Pair]:
    names, rows = hashed(images, one)
    good = rows[:, -1] >= LEAST_QUALITY
    kept = [name for name, use in zip(names, good, strict=True) if use]
    return near(kept, rows[good, :32], limit)


if __name__ == "__main__":
    main(find)
