"""Files of images made into pixels."""

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from imagemill.readers.contents import Contents, Pixels, Rows
from imagemill.readers.errors import PackageError

Mode = Literal["L", "RGB"]
Shape = tuple[int, int, int]
"""Height, width, channels."""

MODES: dict[int, Mode] = {1: "L", 3: "RGB"}
"""By number of channels."""
JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Look:
    """How images are to be given."""

    mode: Mode | None = None
    """Null: as a file of pixels has them, RGB otherwise."""
    size: tuple[int, int] | None = None
    """Height and width to which every image is resized; null leaves them."""

    def image(self, data: bytes | memoryview) -> Image.Image:
        """Decode a file. Raises ``ValueError`` where it is none."""
        mode = self.mode or "RGB"
        image = _opened(data)
        if self.size is not None and image.format == "JPEG":
            # libjpeg decodes at 1/2, 1/4 or 1/8, never below what is asked for.
            image.draft(mode, self.size[::-1])
        return self._fitted(image if image.mode == mode else image.convert(mode))

    def _fitted(self, image: Image.Image) -> Image.Image:
        if self.size is None or image.size == self.size[::-1]:
            return image
        return image.resize(self.size[::-1], Image.Resampling.BILINEAR)

    def of_pixels(self, pixels: NDArray[np.uint8]) -> Image.Image:
        """Return an array of (height, width, channels) as an image."""
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        mode = self.mode or image.mode
        return self._fitted(image if image.mode == mode else image.convert(mode))


def _opened(data: bytes | memoryview) -> Image.Image:
    try:
        # Asking each of Pillow's formats takes a tenth of the time that decoding does.
        if bytes(data[:3]) == JPEG:
            return JpegImagePlugin.JpegImageFile(BytesIO(data))
        return Image.open(BytesIO(data))
    except (UnidentifiedImageError, SyntaxError) as error:
        raise ValueError("no image") from error


def array(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of a grey or RGB image: (height, width, channels)."""
    found = np.asarray(image)
    return found[..., None] if found.ndim == 2 else found


class Images:
    """Reads the images of a package. Picklable; each process opens files for itself."""

    def __init__(self, contents: Contents, look: Look) -> None:
        self._source, self.look = contents.source, look

    def _as_stored(self) -> Pixels | None:
        """Return what has pixels just as they are asked for; null where none has."""
        source, look = self._source, self.look
        if not isinstance(source, Pixels) or look.size not in (None, source.shape[:2]):
            return None
        return source if look.mode in (None, MODES.get(source.shape[2])) else None

    def shape(self, rows: Rows) -> Shape:
        """Return the shape that every image must have: known, or that of the first of ``rows``."""
        stored = self._as_stored()
        if stored is not None:
            return stored.shape
        height, width, channels = array(self.images(rows[:1])[0]).shape
        return height, width, channels

    def images(self, rows: Rows) -> list[Image.Image]:
        """Return rows as images of PIL. Raises ``PackageError`` for one that is broken."""
        if isinstance(self._source, Pixels):
            held = np.empty((len(rows), *self._source.shape), np.uint8)
            self._source.fill(rows, held)
            return [self.look.of_pixels(each) for each in held]
        files = self._source.files(rows)
        return [self._decoded(row, data) for row, data in zip(rows, files, strict=True)]

    def _decoded(self, row: np.int64, data: bytes | memoryview) -> Image.Image:
        try:
            image = self.look.image(data)
            image.load()
        except (ValueError, OSError, SyntaxError, EOFError) as error:
            raise PackageError(
                f"image {row:,} cannot be decoded ({error}); the package is damaged: "
                "`sha256sum -c checksums.txt` names the file. Fetch it again."
            ) from error
        return image

    def fill(self, rows: Rows, out: NDArray[np.uint8]) -> None:
        """Put the pixels of rows into ``out``, (rows, height, width, channels).

        Raises ``PackageError`` where one has another shape.
        """
        stored = self._as_stored()
        if stored is not None:
            stored.fill(rows, out)
            return
        for at, image in enumerate(self.images(rows)):
            pixels = array(image)
            if pixels.shape != out.shape[1:]:
                raise unequal(pixels.shape, out.shape[1:])
            out[at] = pixels


def unequal(one: tuple[int, ...], other: tuple[int, ...]) -> PackageError:
    """Return what is said of images that make no batch."""
    return PackageError(
        f"images of {one[1]} x {one[0]} and {other[1]} x {other[0]} make no batch: give "
        "size=(height, width), or a transform that makes them equal; or have the package stage "
        "do it once, with `transforms@package=...`"
    )
