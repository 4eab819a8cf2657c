"""Write pixels, and name the codecs that read and write them."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import simplejpeg
from PIL import AvifImagePlugin, Image, ImageFile, features

from imagemill.images import jpeg, png, webp
from imagemill.images.outcome import Unreadable

_CODECS = (
    "libjpeg_turbo",
    "mozjpeg",
    "jpg",
    "zlib_ng",
    "zlib",
    "webp",
    "avif",
    "libtiff",
    "littlecms2",
)

_STRIP = {"JPEG": jpeg.strip, "PNG": png.strip, "WEBP": webp.strip}


def encode(image: Image.Image, format: str, quality: int) -> bytes:  # noqa: A002 (as in Pillow)
    """Write an image as "JPEG", "PNG" or "WEBP" (lossless), without metadata.

    ``image`` is in mode "L" or "RGB"; WebP gives grey back as RGB. ``quality`` (1 to 100) is that
    of JPEG, which keeps chroma at full resolution (4:4:4). Equal pixels give equal bytes as long
    as ``decoders()`` stays the same. Raises ``ValueError`` for other modes, formats and qualities.
    """
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"cannot encode mode {image.mode}: read() gives L and RGB")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}, not 1 to 100")
    # Pillow writes some of what it finds in ``info``, such as a profile.
    bare = image.copy()
    bare.info = {}
    target = io.BytesIO()
    with _room(image) if format == "JPEG" else nullcontext():
        bare.save(target, format, **_options(format, quality))
    return target.getvalue()


@contextmanager
def _room(image: Image.Image) -> Iterator[None]:
    """Let libjpeg, which optimises a file as a whole, have room for any: 8 bytes a pixel.

    Pillow gives it one or two, and fails for noise, which takes three. What is not used is never
    touched, and so takes no memory.
    """
    before = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(before, 8 * image.width * image.height)
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = before


def _options(name: str, quality: int) -> dict[str, Any]:
    match name:
        case "JPEG":
            return {"quality": quality, "subsampling": 0, "optimize": True}
        case "PNG":
            return {"compress_level": 6}
        case "WEBP":
            return {"lossless": True, "quality": 75, "method": 4, "exact": True}
    raise ValueError(f"cannot encode {name}: JPEG, PNG or WEBP")


def strip_metadata(data: bytes, format: str) -> bytes:  # noqa: A002 (as in Pillow)
    """Copy an image file without EXIF, XMP, IPTC, comments, previews and trailing bytes.

    Lossless: what makes pixels and colours, ICC profile included, is copied byte for byte. The
    orientation goes too, so that only an upright file looks the same afterwards. Raises
    ``ValueError`` for formats other than "JPEG", "PNG" and "WEBP", and ``Unreadable`` for files
    that end early.
    """
    if format not in _STRIP:
        raise ValueError(f"cannot strip {format} in place: encode it anew")
    if not data:
        raise Unreadable("empty", "no bytes")
    return _STRIP[format](data)


def decoders() -> str:
    """Name, in one line, the version of every library that may change a pixel."""
    found = {"pillow": features.version("pil")}
    found |= {name: features.version(name) for name in _CODECS}
    found["simplejpeg"] = simplejpeg.__version__
    found["dav1d"] = AvifImagePlugin.get_codec_version("dav1d")
    return " ".join(f"{name}={version}" for name, version in found.items() if version)
