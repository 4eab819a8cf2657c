"""Files of images made into pixels."""

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from imagemill.readers.contents import Contents, Pixels, Rows
from imagemill.readers.errors import PackageError

Mode = Literal["L", "RGB"]
Shape = tuple[int, int, int]
"""Height, width, channels."""

MODES: dict[int, Mode] = {1: "L", 3: "RGB"}
"""By number of channels."""
JPEG = b"\xff\xd8"
MARKER = 0xFF
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
FRAME = struct.Struct(">BHHB")  # bits, height, width, components


@dataclass(frozen=True)
class Look:
    """How images are to be given."""

    mode: Mode | None = None
    """Null: as a file of pixels has them, RGB otherwise."""
    size: tuple[int, int] | None = None
    """Height and width to which every image is resized; null leaves them."""

    def __post_init__(self) -> None:
        """Raise ``PackageError`` for a mode or size that is none."""
        if self.mode not in (None, *MODES.values()):
            raise PackageError(f"mode={self.mode!r} is none of 'L', 'RGB'")
        if self.size is not None and not _is_size(self.size):
            raise PackageError(f"size={self.size!r} must be (height, width), in pixels above 0")

    def image(self, data: bytes | memoryview) -> Image.Image:
        """Decode a file. Raises ``ValueError`` where it is none."""
        mode = self.mode or "RGB"
        frame = _frame(data) if data[:2] == JPEG else None
        if frame is None:
            image = _opened(data)
            return self._fitted(image if image.mode == mode else image.convert(mode))
        scale = self._scale(*frame)
        side = -(-frame[0] // scale), -(-frame[1] // scale)
        # As ``Image.open`` has it decoded, without its reading of the header: a fifth of the time.
        return self._fitted(Image.frombytes(mode, side, data, "jpeg", mode, "", scale, 0))

    def _scale(self, width: int, height: int) -> int:
        """Return at which part of its sides a JPEG is decoded: twice what is asked for, at least.

        As Pillow's ``thumbnail`` does by default.
        """
        if self.size is None:
            return 1
        least = min(width // self.size[1], height // self.size[0]) // 2
        return next(scale for scale in (8, 4, 2, 1) if scale <= max(1, least))

    def _fitted(self, image: Image.Image) -> Image.Image:
        if self.size is None or image.size == self.size[::-1]:
            return image
        return image.resize(self.size[::-1], Image.Resampling.BILINEAR)

    def of_pixels(self, pixels: NDArray[np.uint8]) -> Image.Image:
        """Return an array of (height, width, channels) as an image."""
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        mode = self.mode or image.mode
        return self._fitted(image if image.mode == mode else image.convert(mode))


def _is_size(size: Any) -> bool:
    pair = isinstance(size, tuple) and len(size) == 2
    return pair and all(isinstance(side, int | np.integer) and side > 0 for side in size)


def _opened(data: bytes | memoryview) -> Image.Image:
    try:
        return Image.open(BytesIO(data))
    except UnidentifiedImageError as error:
        raise ValueError("no image") from error


def _frame(data: bytes | memoryview) -> tuple[int, int] | None:
    """Return width and height of a JPEG of 8 bits, grey or of three colours; null of any other."""
    at = 2
    while at + 10 <= len(data) and data[at] == MARKER:
        kind = data[at + 1]
        if kind in FRAMES:
            bits, height, width, components = FRAME.unpack_from(data, at + 4)
            usual = bits == 8 and components in (1, 3) and width and height
            return (width, height) if usual else None
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    return None


def array(image: Image.Image) -> NDArray[Any]:
    """Return the pixels of an image: (height, width, channels), uint8 but for modes I and F."""
    found = np.asarray(image.convert("L") if image.mode == "1" else image)
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
