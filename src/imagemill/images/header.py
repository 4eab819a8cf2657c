"""What a file declares about its image, read without decoding a pixel."""

import ctypes
import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from PIL import AvifImagePlugin, Image, _imaging
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagemill.images import ifd, pnm
from imagemill.images.anatomy import Anatomy
from imagemill.images.formats import dissect
from imagemill.images.outcome import Limits, Unreadable

# ``Limits`` decides what is too large, before Pillow sees the image.
Image.MAX_IMAGE_PIXELS = None

# The pipeline runs one process a core, and more threads each would only wait for one another.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def _hush_libtiff() -> None:
    """Keep libtiff from printing each error to standard error: one file may have millions."""
    library = ctypes.CDLL(_imaging.__file__)  # finds what it is linked to
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        handler = getattr(library, name, None)
        if handler is not None:
            handler(None)


_hush_libtiff()

# Called directly, a plugin tells why it refuses a file, and no other plugin gets a try.
_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "AVIF": AvifImageFile,
    "PPM": PpmImageFile,
}

_COST = 8  # bytes of memory that a pixel of ``Limits.max_pixels`` stands for

_NARROW = 16  # pixels; Pillow needs memory for a row too, which in a narrower image counts

_ANIMATED = {"PNG", "WEBP", "GIF", "AVIF"}
_CONTRACT_FORMATS = {"JPEG", "PNG", "WEBP"}

# What Pillow raises on damaged bytes: it parses with struct, slices and int(), so that a damaged
# field surfaces as whatever the next line makes of it. The first seven were seen in 1.3 million
# damaged files; the others its code raises.
_FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    RuntimeError,
    AssertionError,
    ArithmeticError,
    LookupError,
    EOFError,
    struct.error,
    zlib.error,
)

_SIGNS = (
    ("unsupported_mode", re.compile(r"unknown pixel mode|cannot handle|unsupported bmp", re.I)),
    ("truncated", re.compile(r"truncated|not enough image data|reached eof", re.I)),
)


@dataclass(frozen=True)
class Header:
    """One image file, as declared."""

    format: str
    """"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM" (all of PNM) or "AVIF"."""
    mode: str
    """Pillow's name of the stored mode: "L", "RGB" (YCbCr JPEG too), "CMYK", "I;16", "P", ..."""
    width: int
    """Pixels, upright."""
    height: int
    """Pixels, upright."""
    orientation: int
    """How the stored rows are turned: EXIF's 1 (upright) to 8."""
    frames: int
    """Frames of an animation, or pages."""
    bits: int
    """Bits of a stored sample; 8 for palettes."""
    alpha: bool
    """Whether any pixel can be transparent."""
    icc: bool
    memory: int
    """Bytes that decoding takes at most, besides the file."""
    exif: bool
    gps: bool
    taken: str | None
    """EXIF's DateTimeOriginal, as written."""
    camera: str | None
    """EXIF's make and model."""
    quantisation: tuple[int, ...]
    """Of a JPEG's first component: 64 divisors, row by row of frequencies; empty for others."""

    @property
    def animated(self) -> bool:
        """More than one frame that follow each other in time; the pages of a TIFF do not."""
        return self.frames > 1 and self.format in _ANIMATED


def header(data: bytes, limits: Limits) -> Header:
    """Read what ``data`` declares. Decodes nothing; raises ``Unreadable``."""
    return opened(dissected(data, limits), data, limits)[0]


def dissected(data: bytes, limits: Limits) -> Anatomy:
    """Take a file apart; raises ``Unreadable``, also where it declares more than it may."""
    if len(data) > limits.max_bytes:
        raise Unreadable("too_many_bytes", f"{len(data)} bytes, at most {limits.max_bytes}")
    anatomy = dissect(data)
    if anatomy.size:
        _check_size(anatomy.size, anatomy.cost, limits)
    return anatomy


def opened(anatomy: Anatomy, data: bytes, limits: Limits) -> tuple[Header, ImageFile]:
    """Return the header and Pillow's image, not decoded yet; raises ``Unreadable``."""
    with guarded(anatomy.format):
        image = _PLUGINS[anatomy.format](io.BytesIO(anatomy.picture))
        _check_size(image.size, anatomy.cost, limits)
        if anatomy.format == "PPM":
            pnm.spread(image, data)
        return _header(anatomy, image), image


def of_jpeg(anatomy: Anatomy) -> Header | None:
    """Return the header of a sound JPEG, grey or coloured, as ``opened`` does; null of others."""
    mode = {1: "L", 3: "RGB"}.get(anatomy.components)
    if mode is None or not anatomy.divisors or not anatomy.size or not all(anatomy.size):
        return None
    return _declared(anatomy, ifd.told(anatomy.exif), anatomy.size, mode)


def meets_contract(header: Header) -> bool:
    """Tell whether the file's own bytes, stripped of metadata, may be packaged."""
    return (
        header.format in _CONTRACT_FORMATS
        and header.mode in ("L", "RGB")
        and header.bits == 8
        and header.frames == 1
        and header.orientation == 1
        and not header.alpha
    )


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """Silence Pillow's warnings, and turn what it raises on damaged bytes into ``Unreadable``."""
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except _FAILURES as error:
            text = str(error) if " " in str(error) else repr(error)
            reason = next((code for code, sign in _SIGNS if sign.search(text)), "corrupt")
            raise Unreadable(reason, f"{name}: {text}") from error


def _check_size(size: tuple[int, int], cost: int, limits: Limits) -> None:
    width, height = size
    most = limits.max_pixels * _COST // max(cost, _COST)
    if max(width, _NARROW) * height > most:
        raise Unreadable("too_many_pixels", f"{width} x {height}, at most {most} pixels")


def _header(anatomy: Anatomy, image: ImageFile) -> Header:
    told = ifd.told(anatomy.exif)
    if anatomy.format == "AVIF":
        # The decoder makes an EXIF block of the properties that turn the image.
        made = ifd.told(image.info.get("exif", b"").removeprefix(b"Exif\0\0"))
        told = told._replace(orientation=made.orientation)
    return replace(
        _declared(anatomy, told, image.size, anatomy.mode or image.mode),
        frames=max(anatomy.frames, getattr(image, "n_frames", 1)),
        alpha=image.has_transparency_data,
        icc=anatomy.icc or "icc_profile" in image.info,
        quantisation=_quantisation(image),
    )


def _declared(anatomy: Anatomy, told: ifd.Told, size: tuple[int, int], mode: str) -> Header:
    """Return what the parts of a file say, with the size and mode of what is stored."""
    width, height = size if told.orientation < 5 else size[::-1]
    return Header(
        format=anatomy.format,
        mode=mode,
        width=width,
        height=height,
        orientation=told.orientation,
        frames=anatomy.frames,
        bits=_bits(anatomy.bits, mode),
        alpha=False,
        icc=anatomy.icc,
        memory=anatomy.cost * width * height,
        exif=bool(anatomy.exif),
        gps=told.gps,
        taken=told.taken,
        camera=told.camera,
        quantisation=anatomy.divisors,
    )


def _quantisation(image: ImageFile) -> tuple[int, ...]:
    if not isinstance(image, JpegImageFile) or not image.layer:
        return ()
    return tuple(image.quantization.get(image.layer[0][3], ()))


def _bits(stored: int | None, mode: str) -> int:
    if mode in ("P", "PA"):
        return 8
    return stored or {"1": 1, "I": 16, "F": 32}.get(mode, 8)
