"""What an image is in an HDF5 file."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagemill.arrays import CHANNELS, GZIP_LEVEL, Form
from imagemill.config import Section

FILE = "dataset.h5"


class Config(Section):
    """What an image is in the file."""

    store: Literal["raw", "encoded"]
    """raw: pixels of one shape; encoded: each file as it is packaged, of any shape."""
    width: Annotated[int, Field(ge=1)]
    """Of raw images, as all below."""
    height: Annotated[int, Field(ge=1)]
    mode: Literal["L", "RGB"]
    """L: one channel, of a JPEG its luma; RGB: three."""
    filter: Literal["bilinear", "bicubic", "lanczos"]
    """With which an image of another shape is resized."""
    compression: Literal["none", "gzip", "lzf"]
    chunk_images: Annotated[int, Field(ge=1)]
    """Images in one chunk, which is read and unpacked as a whole."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a raw image."""
        return self.height, self.width, CHANNELS[self.mode]

    @property
    def volume(self) -> int:
        """Bytes of a raw image."""
        return int(np.prod(self.shape))

    @property
    def is_packed(self) -> bool:
        """Whether HDF5 compresses the images, so that their place is not known beforehand."""
        return self.store == "raw" and self.compression != "none"

    @property
    def filters(self) -> dict[str, Any]:
        """What h5py is to do to a chunk."""
        more = {"compression_opts": GZIP_LEVEL} if self.compression == "gzip" else {}
        return {"compression": self.compression, **more}

    def chunk(self, count: int) -> int:
        """Return the images of a chunk in an array of ``count``."""
        return min(self.chunk_images, count)

    def form(self, count: int) -> Form:
        """Return what every row of an array of ``count`` raw images is."""
        return Form(
            self.width, self.height, self.mode, self.filter, self.compression, self.chunk(count)
        )
