"""The formats that are read, by their first bytes."""

import re
from collections.abc import Callable

from imagemill.images import avif, gif, jpeg, png, tiff, webp
from imagemill.images.anatomy import Anatomy
from imagemill.images.outcome import Unreadable

_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_AVIF_BRANDS = (b"avif", b"avis")
_PNM = re.compile(rb"(P[4-6]|Pf)\s(\s|#[^\n]*\n)*\d")
_HEAD = 4096


def _is_bmp(data: bytes) -> bool:
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS


def _is_avif(data: bytes) -> bool:
    brands = data[8 : min(int.from_bytes(data[:4]), _HEAD)]
    return data[4:8] == b"ftyp" and any(brand in brands for brand in _AVIF_BRANDS)


_SIGNS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda data: data.startswith(b"\xff\xd8\xff"),
    "PNG": lambda data: data.startswith(png.SIGNATURE),
    "WEBP": lambda data: data.startswith(b"RIFF") and data[8:15] == b"WEBPVP8",
    "GIF": lambda data: data.startswith((b"GIF87a", b"GIF89a")),
    "TIFF": lambda data: data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    "BMP": _is_bmp,
    "AVIF": _is_avif,
    "PPM": lambda data: _PNM.match(data[:_HEAD]) is not None,
}

_DISSECT: dict[str, Callable[[bytes], Anatomy]] = {
    "JPEG": jpeg.dissect,
    "PNG": png.dissect,
    "WEBP": webp.dissect,
    "GIF": gif.dissect,
    "TIFF": tiff.dissect,
    "BMP": lambda data: Anatomy("BMP", data),
    "AVIF": avif.dissect,
    "PPM": lambda data: Anatomy("PPM", data),
}


def dissect(data: bytes) -> Anatomy:
    """Take a file of any known format apart; raises ``Unreadable``."""
    if not data:
        raise Unreadable("empty", "no bytes")
    for name, fits in _SIGNS.items():
        if fits(data):
            return _DISSECT[name](data)
    raise Unreadable("not_an_image", "the first bytes are those of no format that is read")
