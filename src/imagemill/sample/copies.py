"""Copies of an image: each function yields versions of a file, the fittest first."""

from collections.abc import Callable, Iterator
from itertools import product

from PIL import Image

from imagemill.sample.forms import decoded, encoded

QUALITY = 80  # of copies; below that of originals, so that a copy never has more bytes

Anchor = tuple[float, float]
"""Where a cut lies in what can be cut: shares of the spare width and height, 0..1."""

MIDDLE: Anchor = (0.5, 0.5)
CORNERS: tuple[Anchor, ...] = ((0, 0), (1, 1), (1, 0), (0, 1))


def same(data: bytes) -> Iterator[bytes]:
    """Yield the file itself."""
    yield data


def stored(data: bytes, form: Callable[[Image.Image], bytes]) -> Iterator[bytes]:
    """Yield the same pixels, stored by ``form``."""
    yield form(decoded(data))


def recompressed(data: bytes, quality: int) -> Iterator[bytes]:
    """Yield a JPEG of low quality."""
    yield encoded(decoded(data), ".jpg", quality=quality)


def resized(data: bytes) -> Iterator[bytes]:
    """Yield the picture at 60 % of its width and height."""
    picture = decoded(data)
    size = (picture.width * 6 // 10, picture.height * 6 // 10)
    yield _lesser(picture.resize(size, Image.Resampling.LANCZOS))


def mirrored(data: bytes) -> Iterator[bytes]:
    """Yield the picture as in a mirror."""
    yield _lesser(decoded(data).transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def turned(data: bytes, degrees: int) -> Iterator[bytes]:
    """Yield the picture turned by a multiple of 90 degrees."""
    yield _lesser(decoded(data).rotate(degrees, expand=True))


def trimmed(data: bytes) -> Iterator[bytes]:
    """Yield the picture less 5 % of its width and height, or a little less than that."""
    picture = decoded(data)
    for share, anchor in product((0.95, 0.96, 0.97), (MIDDLE, *CORNERS)):
        yield _lesser(_cut(picture, share, anchor))


def cropped(data: bytes) -> Iterator[bytes]:
    """Yield the picture less 20 % of its width and height."""
    picture = decoded(data)
    for anchor in (*CORNERS, MIDDLE):
        yield _lesser(_cut(picture, 0.8, anchor))


def tilted(data: bytes) -> Iterator[bytes]:
    """Yield the picture turned by 10 degrees and cut so that no empty corner shows."""
    picture = decoded(data)
    for degrees in (10, -10):
        yield _lesser(_cut(picture.rotate(degrees, Image.Resampling.BICUBIC), 0.8, MIDDLE))


def _lesser(picture: Image.Image) -> bytes:
    return encoded(picture, ".jpg", quality=QUALITY)


def _cut(picture: Image.Image, share: float, anchor: Anchor) -> Image.Image:
    width, height = round(picture.width * share), round(picture.height * share)
    left = round((picture.width - width) * anchor[0])
    top = round((picture.height - height) * anchor[1])
    return picture.crop((left, top, left + width, top + height))
