"""Draws by hash: a number in 0..1 for each name, the same whatever else there is."""

from collections.abc import Iterable
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BYTES = 6
"""Of a hash that make a number: sums of theirs are exact in a float."""


def numbers(names: Iterable[str], seed: int) -> Floats:
    """Return for each name 48 bits of its sha256 with the seed, as a number in 0..1."""
    start = f"{seed}:".encode()
    first = b"".join([sha256(start + name.encode()).digest()[:BYTES] for name in names])
    digits = np.frombuffer(first, np.uint8).reshape(-1, BYTES)
    found: Floats = digits @ 256.0 ** -np.arange(1, BYTES + 1)
    return found


def alone(numbers: Floats, shares: Floats) -> Ints:
    """Return for each number the position of its split, on the cumulated shares."""
    reached = np.cumsum(shares)
    found: Ints = np.searchsorted(reached, numbers * reached[-1], side="right")
    return found.clip(max=len(shares) - 1)
