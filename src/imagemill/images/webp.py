"""WebP files, chunk by chunk (RFC 9649)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from imagemill.images.anatomy import Anatomy, bounded
from imagemill.images.outcome import Unreadable

_STILL = {b"VP8 ", b"VP8L", b"ALPH", b"ANIM"}
_KEPT = _STILL | {b"ANMF", b"ICCP"}
_ANIMATION, _ALPHA, _ICC = 0x02, 0x10, 0x20


class Chunk(NamedTuple):
    """A chunk without its length and padding."""

    name: bytes
    body: bytes


def dissect(data: bytes) -> Anatomy:
    """Take a WebP apart; the picture of an animated one is its first frame on its canvas."""
    found = list(bounded(chunks(data), "WebP"))
    frames = [chunk for chunk in found if chunk.name == b"ANMF"]
    exif = next((chunk.body for chunk in found if chunk.name == b"EXIF"), b"")
    still = [chunk for chunk in found if chunk.name in _STILL]
    return Anatomy(
        format="WEBP",
        picture=_join(_extended(found, _ANIMATION | _ALPHA) + still + frames[:1]),
        size=_size(found[0]),
        cost=16,
        frames=max(1, len(frames)),
        exif=exif.removeprefix(b"Exif\0\0"),
        icc=any(chunk.name == b"ICCP" for chunk in found),
    )


def strip(data: bytes) -> bytes:
    """Copy a WebP without EXIF, XMP and unknown chunks; the ICC profile stays."""
    found = list(bounded(chunks(data), "WebP"))
    kept = [chunk for chunk in found if chunk.name in _KEPT]
    return _join(_extended(found, _ANIMATION | _ALPHA | _ICC) + kept)


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks inside the RIFF container; bytes after it are not read."""
    last = 8 + int.from_bytes(data[4:8], "little")
    if last > len(data):
        raise Unreadable("truncated", "WebP: ends inside its container")
    at = 12
    while at + 8 <= last:
        name, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > last:
            raise Unreadable("corrupt", "WebP: a chunk is longer than its container")
        yield Chunk(name, data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    if at == 12:
        raise Unreadable("corrupt", "WebP: an empty container")


def _extended(found: list[Chunk], flags: int) -> list[Chunk]:
    """Return the extended header, if there is one, with no other flags than these."""
    if found[0].name != b"VP8X" or not found[0].body:
        return []
    body = found[0].body
    return [Chunk(b"VP8X", bytes([body[0] & flags]) + body[1:])]


def _size(chunk: Chunk) -> tuple[int, int]:
    """Return the canvas size that the first chunk declares."""
    body = chunk.body.ljust(10, b"\0")
    if chunk.name == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk.name == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _join(found: list[Chunk]) -> bytes:
    body = b"WEBP" + b"".join(
        chunk.name + struct.pack("<I", len(chunk.body)) + chunk.body + b"\0" * (len(chunk.body) % 2)
        for chunk in found
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body
