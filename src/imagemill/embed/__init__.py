"""Embedders: what an image shows, as a vector of unit length.

Two images are as alike as the cosine of their vectors, which is the vectors' dot product. An
embedder is one choice of ``conf/embedder/``: cheap settings until ``load`` reads its model. The
packages that a model needs are imported there and nowhere else.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, JsonValue

from imagemill.config import or_none
from imagemill.embed.efficientnet import EfficientnetLite0
from imagemill.embed.faces import FaceDlib
from imagemill.embed.onnx import Onnx
from imagemill.embed.timm import Timm

Embed = Callable[[Sequence[Image.Image]], NDArray[np.float32]]
"""Takes n upright images in mode L or RGB; gives (n, d), each row of unit length. A row is zero,
and so like nothing, where a model gives no direction."""


class Embedder(Protocol):
    """Settings that give vectors; may be pickled and sent to workers."""

    def fingerprint(self) -> dict[str, JsonValue]:
        """Return all that could change a vector; raises ``BuildError`` where a part is missing."""

    def load(self) -> Embed:
        """Read the model, once a process; raises ``BuildError`` where it does not fit."""


Choice = Annotated[
    Annotated[EfficientnetLite0 | FaceDlib | Onnx | Timm, Field(discriminator="kind")] | None,
    or_none("embedder@measure.embedder: opennsfw"),
]
"""What a config may name as an embedder; ``kind: none`` becomes None."""

__all__ = ["Choice", "EfficientnetLite0", "Embed", "Embedder", "FaceDlib", "Onnx", "Timm"]
