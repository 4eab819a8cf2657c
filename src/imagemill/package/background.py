"""Background removal by a network in a local ONNX file, such as U²-Net or ISNet.

The steps before and after the network are those of ``rembg`` (https://github.com/danielgatis/rembg):
the image as a square of RGB, scaled by its brightest level, less ``mean``, over ``std``; the first
output stretched to 0 to 1, and brought to the image's side with Lanczos' filter.
"""

import os
import sqlite3
from functools import cache
from hashlib import file_digest, sha256
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, PrivateAttr

from imagemill.config import Section
from imagemill.errors import BuildError

VERSION = 1  # raise it when the same image would get another mask

WAIT = 60.0  # seconds for another process that writes to the file of masks


class RemoveBackground(Section):
    """Cover what a network takes for background with one level."""

    model: str
    """Path of the ONNX file, relative to the project."""
    content: str | None
    """Its sha256, by which DVC sees that it is another."""
    side: Annotated[int, Field(ge=1)]
    """Pixels of the square that the network is given."""
    mean: list[float]
    """Of each channel, where levels go from 0 to 1."""
    std: list[float]
    level: Annotated[int, Field(ge=0, le=255)]
    """Grey level of what takes the background's place."""
    _memo: Path | None = PrivateAttr(None)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the image without its background."""
        plain = Image.new(image.mode, image.size, (self.level,) * len(image.getbands()))
        return Image.composite(image, plain, self.mask(image))

    def mask(self, image: Image.Image) -> Image.Image:
        """Return what is kept of an image, from 0 to 255 a pixel; from the memo where it is known.

        Raises ``BuildError`` where the model cannot be had.
        """
        if self._memo is None:
            return self._made(image)
        masks = _masks(self._memo / self.fingerprint() / "masks.sqlite", os.getpid())
        key = sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).digest()
        found = masks.execute("SELECT mask FROM masks WHERE image = ?", (key,)).fetchone()
        if found:
            return Image.open(BytesIO(found[0]))
        made, data = self._made(image), BytesIO()
        made.save(data, "PNG")
        with masks:
            masks.execute("INSERT OR IGNORE INTO masks VALUES (?, ?)", (key, data.getvalue()))
        return made

    def remembering(self, memo: Path) -> Self:
        """Return one that keeps its masks below ``memo``, by the image's pixels."""
        copy = self.model_copy()
        copy._memo = memo
        return copy

    def fingerprint(self) -> str:
        """Return the memo's folder of what decides how a mask looks."""
        said = [VERSION, self.content or _content(self.model), self.side, self.mean, self.std]
        return f"masks-{sha256(repr(said).encode()).hexdigest()[:16]}"

    def _made(self, image: Image.Image) -> Image.Image:
        levels = self._answer(image)
        low, high = float(levels.min()), float(levels.max())
        scaled = (levels - low) / (high - low) if high > low else levels.clip(0, 1)
        mask = Image.fromarray((scaled * 255).astype(np.uint8))
        return mask.resize(image.size, Image.Resampling.LANCZOS)

    def _answer(self, image: Image.Image) -> NDArray[np.float32]:
        """Return the network's first output, of shape (height, width)."""
        side = self.side, self.side
        levels = np.asarray(image.convert("RGB").resize(side, Image.Resampling.LANCZOS), np.float32)
        levels = levels / max(float(levels.max()), 1e-6)
        mean, std = (np.array(each, np.float32) for each in (self.mean, self.std))
        given = (levels - mean) / std
        session = _session(self.model, self.content)
        name = session.get_inputs()[0].name
        (answer, *_) = session.run(None, {name: given.transpose(2, 0, 1)[None].astype(np.float32)})
        return np.asarray(answer, np.float32).reshape(answer.shape[-2:])


@cache
def _content(model: str) -> str:
    try:
        with Path(model).open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BuildError(
            f"package.transforms: {model} cannot be read ({error.strerror}): put the ONNX file "
            "there, or correct `model`, which is relative to the project"
        ) from error


@cache
def _session(model: str, content: str | None) -> Any:
    if content not in (None, _content(model)):
        raise BuildError(
            f"package.transforms: {model} is not the file that the config was made with; run "
            "`dvc repro`, which makes it anew"
        )
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise BuildError(
            "package.transforms: RemoveBackground needs onnxruntime, which is not installed: "
            "pip install 'imagemill[embed]'"
        ) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # workers are as many as processors already
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@cache
def _masks(path: Path, process: int) -> sqlite3.Connection:
    """Return the file of masks, open in this ``process``; safe to delete at any time between."""
    del process
    path.parent.mkdir(parents=True, exist_ok=True)
    masks = sqlite3.connect(path, timeout=WAIT)
    masks.execute("CREATE TABLE IF NOT EXISTS masks (image BLOB PRIMARY KEY, mask BLOB)")
    return masks
