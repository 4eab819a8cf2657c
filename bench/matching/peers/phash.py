"""imagehash's pHash of 64 bits, all compared with all.

The library names no threshold; 10 bits is what imagededup takes for the same hash.
"""

from collections.abc import Iterable
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.matching.peers import Pair, hashed, main, near


def one(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.packbits(imagehash.phash(image).hash.ravel())


def find(images: Path, limit: float = 10) -> Iterable[Pair]:
    return near(*hashed(images, one), limit)


if __name__ == "__main__":
    main(find)
