"""AVIF files, box by box (ISO/IEC 14496-12, AV1-ISOBMFF)."""

import re
import struct
from collections.abc import Iterator

from imagemill.images.anatomy import Anatomy, bounded
from imagemill.images.outcome import Unreadable

_TIFF = re.compile(rb"II\*\0|MM\0\*", re.DOTALL)
_HIGH_DEPTH, _TWELVE = 0x40, 0x20


def dissect(data: bytes) -> Anatomy:
    """Take an AVIF apart. Its frames, orientation and profile are left to the decoder."""
    found = [box for box in bounded(boxes(data), "AVIF") if box[0] == b"meta"]
    start, end = found[0][1:] if found else (0, 0)
    meta = data[start:end]
    # Renamed, the EXIF item is unknown and skipped: MIAF says to ignore its orientation, and a
    # long one would be parsed.
    hidden = meta.replace(b"Exif", b"none")
    return Anatomy(
        format="AVIF",
        picture=data[:start] + hidden + data[end:] if hidden != meta else data,
        bits=_bits(data),
        cost=13,
        exif=_find_exif(data) if hidden != meta else b"",
    )


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each top-level box."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise Unreadable("truncated", "AVIF: ends inside a box")
        length, name = struct.unpack_from(">I4s", data, at)
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
        length = length or len(data) - at
        if length < 8:
            raise Unreadable("corrupt", "AVIF: a box of negative length")
        if at + length > len(data):
            raise Unreadable("truncated", "AVIF: ends inside a box")
        yield name, at, at + length
        at += length


def _find_exif(data: bytes) -> bytes:
    found = _TIFF.search(data)
    return data[found.start() :] if found else b""


def _bits(data: bytes) -> int:
    """Bits a sample, from the first decoder configuration (AV1-ISOBMFF 2.3)."""
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    if not flags & _HIGH_DEPTH:
        return 8
    return 12 if flags & _TWELVE else 10
