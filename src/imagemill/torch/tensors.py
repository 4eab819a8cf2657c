"""Arrays made into tensors."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from imagemill.readers.pixels import array

Tensor = Any
"""``torch.Tensor``; torch is not installed where types are checked."""


def images(pixels: NDArray[Any], dtype: Any) -> Tensor:
    """Return (rows, height, width, channels) as a new tensor (rows, channels, height, width).

    Bytes as floats are from 0 to 1, to the bit as torchvision's ``ToTensor`` has them; all else,
    such as levels of images in mode I or F, is as stored.
    """
    given = torch.from_numpy(pixels)
    count, height, width, channels = given.shape
    made = torch.empty((count, channels, height, width), dtype=dtype)
    for channel in range(channels):  # twice as fast as all at once, which has no long runs
        made[:, channel].copy_(given[..., channel])
    return made.div_(255) if dtype.is_floating_point and pixels.dtype == np.uint8 else made


def numbers(labels: NDArray[np.int64]) -> Tensor:
    """Return labels as a new tensor of type long."""
    return torch.from_numpy(labels.copy())


def given(result: Any, dtype: Any) -> Any:
    """Return what a transform gave: pixels of an image of PIL as a tensor, all else as it is."""
    if isinstance(result, Image.Image):
        return images(array(result)[None].copy(), dtype)[0]
    return torch.from_numpy(result.copy()) if isinstance(result, np.ndarray) else result
