"""GIF files, block by block (GIF89a)."""

import re
from collections.abc import Iterator

from imagemill.images.anatomy import Anatomy, bounded
from imagemill.images.outcome import Unreadable

_IMAGE = b","[0]
_CONTROL = 0xF9
_INTRODUCER = re.compile(rb"\0*([!,;])")


def dissect(data: bytes) -> Anatomy:
    """Take a GIF apart, and count its frames without decoding one."""
    try:
        start = 13 + _colours(data[10])
        frames, first = _walk(data, start)
    except IndexError:
        raise Unreadable("truncated", "GIF: ends inside a block") from None
    if not frames:
        raise Unreadable("truncated", "GIF: no frame")
    return Anatomy(format="GIF", picture=data[:start] + first + b";", frames=frames)


def _walk(data: bytes, at: int) -> tuple[int, bytes]:
    """Count the frames, and return the blocks that draw the first one."""
    frames, control, first = 0, b"", b""
    for start, end in bounded(blocks(data, at), "GIF"):
        if data[start] == _IMAGE:
            first = first or control + data[start:end]
            frames += 1
        elif data[start + 1] == _CONTROL:
            control = data[start:end]
    return frames, first


def blocks(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the extensions and frames up to the trailer, if there is one."""
    while (found := _INTRODUCER.match(data, at)) and found[1] != b";":
        start = found.start(1)
        frame = data[start] == _IMAGE
        at = _end(data, start + 11 + _colours(data[start + 9]) if frame else start + 2)
        yield start, at


def _end(data: bytes, at: int) -> int:
    """Step past the terminator of the sub-blocks that start here."""
    while data[at]:
        at += data[at] + 1
    return at + 1


def _colours(flags: int) -> int:
    """Return the bytes of the colour table that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
