"""Other tools that look for copies: a script each, with the same arguments, in a venv of their own.

    python -m bench.matching.peers.<tool> IMAGES OUT [LIMIT]

It writes the pairs that the tool calls alike in the folder ``IMAGES`` to the CSV file ``OUT``, as
``a,b,distance``: file names, and a figure that is the smaller the surer the tool is. ``LIMIT`` is
the largest distance that counts; without it the tool's own default holds.
"""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pair = tuple[str, str, float]
Find = Callable[[Path, float | None], Iterable[Pair]]

ROWS = 256  # hashes compared with all others at a time


def main(find: Find) -> None:
    images, out, *limit = sys.argv[1:]
    pairs = {tuple(sorted(pair[:2])): pair[2] for pair in find(Path(images), *map(float, limit))}
    with Path(out).open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("a", "b", "distance"))
        rows.writerows((a, b, distance) for (a, b), distance in sorted(pairs.items()) if a != b)


def hashed(
    images: Path, hashing: Callable[[Path], NDArray[np.uint8]]
) -> tuple[list[str], NDArray[np.uint8]]:
    """Hash every file with as many processes as there are processors; rows are bytes of hashes."""
    paths = sorted(images.iterdir())
    with ProcessPoolExecutor() as pool:
        return [path.name for path in paths], np.stack(list(pool.map(hashing, paths, chunksize=32)))


def near(names: list[str], hashes: NDArray[np.uint8], limit: float) -> Iterator[Pair]:
    """Compare all with all; yield the pairs that differ in at most ``limit`` bits."""
    words = np.ascontiguousarray(hashes).view(np.uint64)
    ones = np.array([byte.bit_count() for byte in range(256)], np.uint16)
    for start in range(0, len(words), ROWS):
        differing = (words[start : start + ROWS, None] ^ words[None]).view(np.uint8)
        bits = ones[differing].sum(axis=2, dtype=np.uint16)
        for row, column in zip(*np.nonzero(bits <= limit), strict=True):
            if start + row < column:
                yield names[start + row], names[column], float(bits[row, column])
