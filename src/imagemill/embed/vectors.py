"""From what a model gives to vectors of unit length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

Power = Annotated[float, Field(gt=0, le=1)]

Pool = Literal["none", "mean", "gem"]
"""How a map of features becomes one vector; ``gem`` is the generalised mean with power 3 (Radenović
et al., "Fine-tuning CNN image retrieval with no human annotation", 2018), which tells copies from
other images better than the mean."""

Floats = NDArray[np.float32]


def pooled(found: Floats, pool: Pool) -> Floats | None:
    """Return (n, d) of what a model gave; None where that is neither a vector nor, to pool, a map.

    A map is (n, d, height, width), the order in which ONNX and torch convolve.
    """
    if pool == "none":
        flat = found.reshape(len(found), -1)
        return flat if found.ndim >= 2 and flat.shape[1] == found.shape[1] else None
    if found.ndim != 4:
        return None
    if pool == "mean":
        return np.asarray(found.mean((2, 3)), np.float32)
    lit = np.maximum(found, 0)
    return np.asarray(np.cbrt((lit * lit * lit).mean((2, 3))), np.float32)


def unit(rows: Floats, power: float = 1) -> Floats:
    """Return rows of unit length; zero where a row is zero or not finite.

    ``power`` is taken of each number before, its sign kept: under 1, few large ones count less
    (Perronnin et al., "Improving the Fisher kernel for large-scale image classification", 2010).
    """
    rows = np.nan_to_num(rows, nan=0, posinf=0, neginf=0)
    if power != 1:
        rows = np.asarray(np.sign(rows) * np.abs(rows) ** power, np.float32)
    # By the largest first: the square of a large number is no float32.
    rows = rows / np.maximum(np.abs(rows).max(1, keepdims=True), np.float32(1e-30))
    length = np.sqrt(np.square(rows, dtype=np.float64).sum(1, keepdims=True))
    return np.asarray(rows / np.maximum(length, 1e-30), np.float32)


@dataclass(frozen=True)
class Network:
    """A loaded model: images in, rows of unit length out."""

    array: Callable[[Image.Image], Floats]
    """Of one image, as the model takes it."""
    run: Callable[[Floats], Floats]
    """Of exactly ``group`` arrays; gives (group, width)."""
    group: int
    width: int
    power: float = 1

    def __call__(self, images: Sequence[Image.Image]) -> Floats:
        """Return (n, width)."""
        rows = np.zeros((len(images), self.width), np.float32)
        for start in range(0, len(images), self.group):
            some = images[start : start + self.group]
            batch = np.stack([self.array(each) for each in some])
            spare = self.group - len(some)
            batch = np.concatenate([batch, np.zeros((spare, *batch.shape[1:]), np.float32)])
            rows[start : start + len(some)] = unit(self.run(batch)[: len(some)], self.power)
        return rows
