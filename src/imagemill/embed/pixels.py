"""How an image becomes what a model takes."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, FiniteFloat, ValidationInfo, field_validator

from imagemill.config import Section

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

Levels = Annotated[tuple[FiniteFloat, ...], Field(min_length=1, strict=False)]


class Pixels(Section):
    """Resize, crop, and scale to a float array: (level - mean) / std a channel."""

    side: Annotated[int, Field(ge=1)]
    """Of the square that the model takes, in pixels."""
    resize: Literal["squeeze", "crop"]
    """squeeze: the whole image, whatever its aspect; crop: its centre, as it looks."""
    resized: Annotated[int, Field(ge=1)]
    """Side of the squeezed image, or shorter side of one to crop, of which the centre is taken; at
    least ``side``."""
    interpolation: Literal["bilinear", "bicubic"]
    """Both look at every pixel that falls into a new one."""
    channels: Literal["RGB", "BGR", "L"]
    """In the order that the model takes."""
    mean: Levels
    """Taken off each channel: of levels 0 to 255, in the model's order; one for all, or each."""
    std: Levels
    """What each channel is then divided by; 255 brings it to 0 to 1."""

    @field_validator("resized")
    @classmethod
    def _holds_the_side(cls, resized: int, others: ValidationInfo) -> int:
        if resized < others.data.get("side", 1):
            raise ValueError(f"must be at least side, {others.data['side']}")
        return resized

    @field_validator("mean", "std")
    @classmethod
    def _one_a_channel(cls, levels: Levels, others: ValidationInfo) -> Levels:
        channels = len(others.data.get("channels", "RGB"))
        if len(levels) not in (1, channels):
            raise ValueError(f"must be one number, or {channels}")
        if others.field_name == "std" and 0 in levels:
            raise ValueError("must not be 0")
        return levels

    def array(self, image: Image.Image) -> NDArray[np.float32]:
        """Return an image as (side, side, channels)."""
        mode = "L" if self.channels == "L" else "RGB"
        levels = np.asarray(self._square(_as(image, mode))).reshape(self.side, self.side, -1)
        levels = levels[:, :, ::-1] if self.channels == "BGR" else levels
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        pixels: NDArray[np.float32] = np.subtract(levels, mean, dtype=np.float32, order="C")
        pixels /= std
        return pixels

    def _square(self, image: Image.Image) -> Image.Image:
        """Return the centre, resized; cut out first, or a narrow strip would grow without end."""
        width, height = image.size
        if self.resize == "crop":
            width = height = min(image.size)
        part = self.side / self.resized
        left, top = (image.width - width * part) / 2, (image.height - height * part) / 2
        box = (left, top, left + width * part, top + height * part)
        return image.resize((self.side, self.side), _RESAMPLING[self.interpolation], box)


def _as(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)
