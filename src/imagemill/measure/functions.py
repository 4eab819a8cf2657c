"""What is measured: functions of one decoded image, each remembered on its own.

An image is decoded once for all the functions that it lacks. A new one is a line of ``FUNCTIONS``;
one that gives other values than before gets a higher version, and it alone is computed anew. They
take some images at a time, because code that runs many times in a row stays in the processor's
cache; what they say of one does not depend on the others.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from imagemill import images
from imagemill.embed import Embedder
from imagemill.measure import phash, resample
from imagemill.measure.embedding import embeddings
from imagemill.measure.figures import figures, pixels
from imagemill.measure.jpeg_quality import jpeg_quality
from imagemill.measure.keypoints import Sift
from imagemill.measure.picture import Picture
from imagemill.tables import (
    COLOURS_SIDE,
    EMBEDDINGS,
    FACTS,
    KEYPOINTS,
    THUMB_SIDE,
    THUMBS,
    Dtype,
)

HEADER = "header"
EMBEDDING = "embedding"
POINTS = "keypoints"

Values = dict[str, Any]
Several = Callable[[Sequence[Picture]], Iterable[Values]]

_TYPES: dict[str, Dtype] = {
    name: kind
    for table in (FACTS, THUMBS, EMBEDDINGS, KEYPOINTS)
    for name, kind in table.columns.items()
}


def header(picture: Picture) -> Values:
    """Return what the file declares, and the hash of what it shows."""
    told = picture.header
    return {
        "bytes": picture.bytes,
        "format": told.format,
        "mode": told.mode,
        "width": told.width,
        "height": told.height,
        "aspect": max(told.width, told.height) / min(told.width, told.height),
        "orientation": told.orientation,
        "frames": told.frames,
        "bits": told.bits,
        "exif": told.exif,
        "gps": told.gps,
        "taken": told.taken,
        "camera": told.camera,
        "ready": images.meets_contract(told),
        "quality": jpeg_quality(told.quantisation),
        "pixels": pixels(picture.image),
    }


def prints(pictures: Sequence[Picture]) -> Iterable[Values]:
    """Yield the perceptual hashes and thumbnails of each."""
    greys = [np.asarray(picture.small.convert("L"), np.float64) for picture in pictures]

    def squares(side: int) -> resample.Levels:
        pairs = zip(greys, pictures, strict=True)
        return np.stack([resample.shrunk(grey, picture.extent, side) for grey, picture in pairs])

    found = zip(
        phash.hashes(squares(phash.SIDE)),
        phash.hashes256(squares(phash.SIDE_OF_256)),
        squares(THUMB_SIDE).astype(np.uint8),
        map(_colours, pictures),
        strict=True,
    )
    for hashes, hash256, thumb, colours in found:
        yield {"phash": hashes, "phash256": hash256, "thumb": thumb.tobytes(), "colours": colours}


def _colours(picture: Picture) -> bytes:
    side = (COLOURS_SIDE, COLOURS_SIDE)
    found = picture.small.resize(side, Image.Resampling.BOX, box=(0, 0, *picture.extent))
    return found.convert("RGB").tobytes()


def _each(of: Callable[[Picture], Values]) -> Several:
    return lambda pictures: map(of, pictures)


@dataclass(frozen=True)
class Function:
    """A function of one image: the columns that it gives, which ``tables`` explains."""

    version: int
    columns: tuple[str, ...]
    of: Several
    """What it says of each image, in order."""

    @property
    def schema(self) -> dict[str, Dtype]:
        """The columns of its rows."""
        return {each: _TYPES[each] for each in ("digest", *self.columns)}


FUNCTIONS: dict[str, Function] = {
    HEADER: Function(
        1,
        (
            *("reason", "detail", "bytes", "format", "mode", "width", "height", "aspect"),
            *("orientation", "frames", "bits", "exif", "gps", "taken", "camera", "ready"),
            *("quality", "pixels"),
        ),
        _each(header),
    ),
    "figures": Function(
        1, ("sharpness", "brightness", "contrast", "entropy", "saturation"), _each(figures)
    ),
    "prints": Function(1, ("phash", "phash256", "thumb", "colours"), prints),
}
"""By name, which names its memo."""


class Models(NamedTuple):
    """What a config adds to ``FUNCTIONS``."""

    embedder: Embedder | None
    keypoints: Sift | None

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """Return what else determines the values of each function, by name."""
        return {
            name: {"model": model.fingerprint()}
            for name, model in ((EMBEDDING, self.embedder), (POINTS, self.keypoints))
            if model is not None
        }


def functions(models: Models) -> dict[str, Function]:
    """Return all functions, by name."""
    found = dict(FUNCTIONS)
    if models.embedder is not None:
        found[EMBEDDING] = Function(1, (EMBEDDING,), embeddings(models.embedder))
    if models.keypoints is not None:
        found[POINTS] = Function(1, ("hashes", "mirrored", "places"), models.keypoints)
    return found
