"""Faces by dlib: 128 numbers that are near for two photos of one person."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue

from imagemill.config import Section
from imagemill.embed.installed import folder, module, sha256, versions
from imagemill.embed.vectors import Floats, Network

VERSION = 1  # raise it when the code here gives other values

_NET, _LANDMARKS = (
    "dlib_face_recognition_resnet_model_v1.dat",
    "shape_predictor_5_face_landmarks.dat",
)
_CHIP = 150  # pixels a side of what the network takes
_MARGIN = 0.25  # of the face around it, as the network was trained
_LONGEST = 640  # pixels; a larger photo is shrunk first, or the search would take seconds

Pixels = NDArray[np.uint8]


class FaceDlib(Section):
    """Davis King's ResNet, trained on three million faces; always on the CPU."""

    kind: Literal["face_dlib"]
    face: Literal["found", "whole"]
    """found: the largest face, or the whole image where none is found; whole: the whole image, for
    photos that are faces cut out already. Either is turned upright by eyes and nose."""

    def fingerprint(self) -> dict[str, JsonValue]:
        """Return all that could change a vector."""
        models = _models()
        return {
            **self.model_dump(mode="json"),
            "version": VERSION,
            "model": sha256([models / _NET, models / _LANDMARKS]),
            **versions("dlib", "numpy", "PIL"),
        }

    def load(self) -> Network:
        """Read the models; raises ``BuildError`` where a package is missing."""
        dlib, models = module("dlib"), _models()
        net = dlib.face_recognition_model_v1(str(models / _NET))
        chip = _cutter(dlib, models, search=self.face == "found")

        def run(chips: Floats) -> Floats:
            found = net.compute_face_descriptor(chips[0].astype(np.uint8))
            return np.asarray(found, np.float32)[None]

        return Network(lambda image: chip(image).astype(np.float32), run, group=1, width=128)


def _models() -> Path:
    return folder("face_recognition_models") / "models"


def _cutter(dlib: Any, models: Path, *, search: bool) -> Callable[[Image.Image], Pixels]:
    """Return what cuts the face out of an image."""
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(models / _LANDMARKS))

    def cut(image: Image.Image) -> Pixels:
        pixels = np.asarray(_shrunk(image.convert("RGB")))
        height, width = pixels.shape[:2]
        faces = detector(pixels, 1) if search else []
        whole = dlib.rectangle(0, 0, width - 1, height - 1)
        face = max(faces, key=lambda each: (each.area(), -each.top(), -each.left()), default=whole)
        shape = landmarks(pixels, face)
        chip: Pixels = dlib.get_face_chip(pixels, shape, size=_CHIP, padding=_MARGIN)
        return chip

    return cut


def _shrunk(image: Image.Image) -> Image.Image:
    scale = _LONGEST / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(each * scale)) for each in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)
