"""Lanczos resampling as a product of matrices, which is quick for thumbnails."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_LOBES = 3
_HALF = 0.5 + 1e-6  # so that a half is a half on every processor

Levels = NDArray[np.float64]


def shrunk(levels: Levels, extent: tuple[float, float], side: int) -> Levels:
    """Return a grey image resampled to ``side`` squared, in whole levels, 0 to 255.

    ``extent`` is its width and height in samples, of which the last may be partial. Both passes
    give whole levels, like Pillow's; the first is along the longer side, so that the turned image
    gives the turned result.
    """
    if levels.shape == (side, side) == extent:
        return levels
    if levels.shape[0] > levels.shape[1]:
        return shrunk(levels.T, extent[::-1], side).T
    across = _levels(levels @ lanczos(levels.shape[1], extent[0], side).T)
    return _levels(lanczos(levels.shape[0], extent[1], side) @ across)


@lru_cache(maxsize=512)
def lanczos(samples: int, extent: float, target: int) -> Levels:
    """Return the weights (target, samples) of Lanczos-3 resampling, stretched when it shrinks.

    C. Duchon, "Lanczos filtering in one and two dimensions", 1979, with the centres and edges of
    Pillow.
    """
    scale = extent / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = (np.arange(samples) + 0.5 - centres[:, None]) / stretch
    weights = np.sinc(distance) * np.sinc(distance / _LOBES) * (np.abs(distance) < _LOBES)
    normed: Levels = weights / weights.sum(axis=1, keepdims=True)
    return normed


def _levels(exact: Levels) -> Levels:
    """Return whole levels, in place of exact ones; halves become the level above."""
    exact += _HALF
    np.floor(exact, out=exact)
    np.maximum(exact, 0, out=exact)
    return np.minimum(exact, 255, out=exact)
