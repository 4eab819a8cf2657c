"""What is measured: functions of one decoded image, each remembered on its own.

An image is decoded once for all the functions that it lacks. A new one is a line of ``FUNCTIONS``;
one that gives other values than before gets a higher version, and it alone is computed anew. Each
looks at an image as soon as it is decoded, while its pixels are in the processor's cache, and what
it then keeps of some images it works on together; what it says of one does not depend on the
others.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from imagemill import images
from imagemill.embed import Embedder
from imagemill.measure import keypoints
from imagemill.measure.embedding import embeddings
from imagemill.measure.figures import figures
from imagemill.measure.jpeg_quality import jpeg_quality
from imagemill.measure.keypoints import Sift
from imagemill.measure.picture import Picture
from imagemill.measure.pixels import pixels
from imagemill.measure.prints import look, prints
from imagemill.tables import EMBEDDINGS, FACTS, KEYPOINTS, THUMBS, Dtype

HEADER = "header"
EMBEDDING = "embedding"
POINTS = "keypoints"

Values = dict[str, Any]

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


@dataclass(frozen=True)
class Function:
    """A function of one image: the columns that it gives, which ``tables`` explains."""

    version: int
    columns: tuple[str, ...]
    look: Callable[[Picture], Any]
    """What it keeps of an image."""
    of: Callable[[Sequence[Any]], Iterable[Values]] = iter
    """What it says of each image that it looked at, in order."""
    noise: bool = False
    """As in ``tables.Table``."""

    def values(self, pictures: Iterable[Picture]) -> Iterable[Values]:
        """Yield what it says of each of at least one picture."""
        return self.of([self.look(picture) for picture in pictures])

    @property
    def schema(self) -> dict[str, Dtype]:
        """The columns of its rows."""
        return {each: _TYPES[each] for each in ("digest", *self.columns)}


PRINTS = ("phash", "phash256", "thumb", "colours", "texture", "prints")

FUNCTIONS: dict[str, Function] = {
    HEADER: Function(
        2,
        (
            *("reason", "detail", "bytes", "format", "mode", "width", "height", "aspect"),
            *("orientation", "frames", "bits", "exif", "gps", "taken", "camera", "ready"),
            *("quality", "pixels"),
        ),
        header,
    ),
    "figures": Function(
        4, ("sharpness", "brightness", "contrast", "entropy", "saturation"), figures
    ),
    "prints": Function(2, PRINTS, look, prints, noise=True),
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
        whole = attrgetter("image")
        found[EMBEDDING] = Function(1, (EMBEDDING,), whole, embeddings(models.embedder), noise=True)
    if models.keypoints is not None:
        columns = ("hashes", "mirrored", "places")
        found[POINTS] = Function(1, columns, keypoints.look, models.keypoints, noise=True)
    return found
