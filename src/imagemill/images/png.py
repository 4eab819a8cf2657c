"""PNG files, chunk by chunk (W3C PNG, third edition)."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from imagemill.images.anatomy import Anatomy, bounded
from imagemill.images.outcome import Unreadable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_COLOUR = {b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"pHYs", b"cICP"}


class Chunk(NamedTuple):
    """A chunk ``data[start:end]``, with its length and checksum."""

    name: bytes
    start: int
    end: int

    def body(self, data: bytes) -> bytes:
        """Return the chunk's own bytes."""
        return data[self.start + 8 : self.end - 4]


def dissect(data: bytes) -> Anatomy:
    """Take a PNG apart. Of an animated one, the picture is its default image."""
    found = list(bounded(chunks(data), "PNG"))
    header = found[0].body(data)
    if found[0].name != b"IHDR" or len(header) != 13:
        raise Unreadable("corrupt", "PNG: does not start with a header chunk")
    width, height, bits, colour = struct.unpack_from(">IIBB", header)
    return Anatomy(
        format="PNG",
        picture=_join(data, found, _PIXELS),
        size=(width, height),
        # Pillow widens 16-bit grey with alpha to RGBA; the stored image is grey.
        mode="LA" if colour == 4 else None,
        bits=8 if colour == 3 else bits,
        frames=max(1, sum(chunk.name == b"fcTL" for chunk in found)),
        exif=next((chunk.body(data) for chunk in found if chunk.name == b"eXIf"), b""),
        icc=any(chunk.name == b"iCCP" for chunk in found),
    )


def strip(data: bytes) -> bytes:
    """Copy a PNG with the chunks that make its pixels and colours, and no others."""
    return _join(data, list(bounded(chunks(data), "PNG")), _PIXELS | _COLOUR)


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to the last one; check the checksums of those that make pixels."""
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise Unreadable("truncated", "PNG: no end chunk")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise Unreadable("truncated", "PNG: ends inside a chunk")
        if name in _PIXELS and zlib.crc32(data[at + 4 : end - 4]) != _checksum(data, end):
            raise Unreadable("corrupt", f"PNG: wrong checksum of {name.decode('ascii')}")
        yield Chunk(name, at, end)
        at = end


def _checksum(data: bytes, end: int) -> int:
    return int.from_bytes(data[end - 4 : end])


def _join(data: bytes, found: list[Chunk], names: set[bytes]) -> bytes:
    kept = (data[chunk.start : chunk.end] for chunk in found if chunk.name in names)
    return SIGNATURE + b"".join(kept)
