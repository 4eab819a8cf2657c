"""JPEG files, segment by segment (ITU-T T.81)."""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from PIL.JpegImagePlugin import zigzag_index

from imagemill.images.anatomy import Anatomy, bounded
from imagemill.images.outcome import Unreadable

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _DQT = 0xDA, 0xDB
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = {0xC0, 0xC1}
_APPLICATION = {*range(0xE0, 0xF0), 0xFE}  # and comments
_WITHOUT_BODY = {0x01, *range(0xD0, 0xD9)}
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_NEXT_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)

# A few bytes can order a whole pass over the image: without a bound, a small file takes hours.
# Encoders make at most some 20 scans.
_MANY_SCANS, _MOST_SCANS = 32, 200
_MOST_PASSED = 2**31  # pixels of all scans together, where they are many

# libjpeg pads a scan that ends early and only warns, which Pillow does not hear. Shown no end
# marker it must ask for more, and Pillow says "truncated". These 64 one bits, which no Huffman
# code may consist of, let it look ahead past the last block.
_LOOK_AHEAD = b"\xff\x00" * 8


class Segment(NamedTuple):
    """A marker segment ``data[start:end]``; that of a scan includes its entropy-coded data."""

    marker: int
    start: int
    body: bytes
    end: int


@dataclass
class _Progress:
    """Which coefficients the scans have delivered, and to what precision."""

    precision: dict[int, list[int]]
    scans: int = 0

    def add(self, scan: bytes, sequential: bool) -> None:
        """Count one scan header."""
        parts = scan[0] if scan else 0
        if len(scan) != 4 + 2 * parts:
            raise Unreadable("corrupt", "JPEG: a scan header of the wrong length")
        self.scans += 1
        first, last, bits = (0, 63, 0) if sequential else scan[-3:]
        for component in scan[1 : 1 + 2 * parts : 2]:
            if component in self.precision:
                self.precision[component][first : last + 1] = [bits & 15] * (last + 1 - first)

    def complete(self) -> bool:
        """Tell whether every coefficient has come in full."""
        return all(not any(bits) for bits in self.precision.values())


@dataclass
class _Found:
    """What the segments of one file say."""

    parts: list[bytes] = field(default_factory=lambda: [_SOI])
    frame: Segment | None = None
    tables: bytes = b""
    progress: _Progress = field(default_factory=lambda: _Progress({}))
    exif: bytes = b""
    icc: bool = False
    ended: bool = False


def dissect(data: bytes) -> Anatomy:
    """Take a JPEG apart. What follows its end (MPO pictures, gain maps, video) is not read."""
    found = _Found()
    for segment in bounded(segments(data), "JPEG"):
        _note(found, segment)
        found.parts += _kept(data, segment, _COLOUR)
    frame = _checked_frame(found)
    bits, height, width = struct.unpack_from(">BHH", frame.body)
    one_pass = found.progress.scans == 1 and frame.marker in _SEQUENTIAL
    return Anatomy(
        format="JPEG",
        picture=b"".join(found.parts[:-1]) + (_LOOK_AHEAD if one_pass else _EOI),
        size=(width, height),
        bits=bits,
        cost=_cost(len(found.progress.precision), one_pass=one_pass),
        exif=found.exif,
        icc=found.icc,
        components=len(found.progress.precision),
        divisors=_divisors(found.tables, frame.body[8]),
    )


@lru_cache(maxsize=256)
def _divisors(tables: bytes, wanted: int) -> tuple[int, ...]:
    """Return the last table of that number, row by row; none where it or another is broken."""
    found: tuple[int, ...] = ()
    while tables:
        word, number = ("B", "H")[tables[0] > 15], tables[0] & 15
        end = 1 + struct.calcsize(word) * 64
        if len(tables) < end:
            return ()
        if number == wanted:
            stored = struct.unpack(f">64{word}", tables[1:end])
            found = tuple(stored[at] for at in zigzag_index)
        tables = tables[end:]
    return found


def _cost(components: int, *, one_pass: bool) -> int:
    """Bytes a pixel: 4 stored, and 4 for ink as light, or 2 a coefficient that scans add to."""
    whole = 0 if one_pass else 2 * components
    return 4 + max(whole, 4 if components == 4 else 0)


def strip(data: bytes) -> bytes:
    """Copy a JPEG without metadata; its scans and its ICC profile stay byte for byte."""
    if _is_bare(data):
        return data
    keep = (*_COLOUR, _ICC)
    parts = (part for segment in segments(data) for part in _kept(data, segment, keep))
    return b"".join((_SOI, *parts)).removesuffix(_EOI) + _EOI


_BARE_START = b"\xff\xd8\xff\xe0\x00\x10JFIF\0"
_TABLES = {0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD}


def _is_bare(data: bytes) -> bool:
    """Tell, six times as fast as ``strip``, whether it would find nothing to leave out.

    That is so for what most encoders write of pixels alone: JFIF's segment, tables, and scans.
    """
    if data[: len(_BARE_START)] != _BARE_START or data[18:20] != b"\0\0" or data[-2:] != _EOI:
        return False
    head = data[20 : data.find(b"\xff\xda", 20) + 2]
    at = 20 + (len(head) - 2 if _are_tables(head) else 0)
    while data[at : at + 1] == b"\xff" and at + 4 < len(data):
        marker = data[at + 1]
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == _SOS:
            after = _NEXT_IN_SCAN.search(data, at)
            at = after.start() if after else len(data)
        elif marker not in _TABLES:
            return False
    return at == len(data) - len(_EOI)


@lru_cache(maxsize=256)
def _are_tables(head: bytes) -> bool:
    """Tell whether bytes are tables up to the marker of a scan; many files have the same."""
    at = 0
    while head[at : at + 1] == b"\xff" and at + 4 < len(head) and head[at + 1] in _TABLES:
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return at == len(head) - 2


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments up to and with the end marker, if any; skip bytes between them."""
    at = 2
    while found := _NEXT_MARKER.search(data, at):
        start, marker = found.start(), data[found.start() + 1]
        if marker == _EOI[1]:
            yield Segment(marker, start, b"", start + 2)
            return
        if marker in _WITHOUT_BODY:
            at = start + 2
            continue
        at = _end(data, start)
        body = data[start + 4 : at]
        if marker == _SOS:
            after = _NEXT_IN_SCAN.search(data, at)
            at = after.start() if after else len(data)
        yield Segment(marker, start, body, at)


def _end(data: bytes, start: int) -> int:
    length = int.from_bytes(data[start + 2 : start + 4])
    if start + 4 > len(data) or start + 2 + length > len(data):
        raise Unreadable("truncated", "JPEG: ends inside a segment")
    if length < 2:
        raise Unreadable("corrupt", "JPEG: a segment of negative length")
    return start + 2 + length


_ICC = (0xE2, b"ICC_PROFILE\0")
_EXIF = (0xE1, b"Exif\0\0")
_JFIF = (0xE0, b"JFIF\0")
# The two application segments that tell a decoder how colour is stored.
_COLOUR = (_JFIF, (0xEE, b"Adobe"))


def _is(segment: Segment, kind: tuple[int, bytes]) -> bool:
    return segment.marker == kind[0] and segment.body.startswith(kind[1])


def _kept(data: bytes, segment: Segment, keep: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """Return the segment if it makes pixels or is in ``keep``; JFIF loses its thumbnail."""
    if segment.marker in _APPLICATION:
        if not any(_is(segment, kind) for kind in keep):
            return []
        if _is(segment, _JFIF):
            return [b"\xff\xe0\x00\x10" + segment.body[:12].ljust(12, b"\0") + b"\0\0"]
    return [data[segment.start : segment.end]]


def _note(found: _Found, segment: Segment) -> None:
    """Add what this segment says."""
    marker = segment.marker
    if marker in _FRAMES and found.frame is None:
        found.frame = segment
        found.progress.precision = {part: [99] * 64 for part in _components(segment.body)}
    elif marker == _DQT and not found.progress.scans:
        found.tables += segment.body
    elif marker == _SOS and found.frame:
        found.progress.add(segment.body, found.frame.marker in _SEQUENTIAL)
    elif marker in _APPLICATION:
        if _is(segment, _EXIF) and not found.exif:
            found.exif = segment.body[6:]
        found.icc |= _is(segment, _ICC)
    found.ended |= marker == _EOI[1]


def _components(frame: bytes) -> bytes:
    """Return the identifiers of the colour components that a frame header declares."""
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5]:
        raise Unreadable("corrupt", "JPEG: a frame header that is too short")
    return frame[6 : 6 + 3 * frame[5] : 3]


def _checked_frame(found: _Found) -> Segment:
    """Refuse what libjpeg would pad, skip or work on for ever; return the frame header."""
    if not found.ended:
        raise Unreadable("truncated", "JPEG: no end marker")
    if found.frame is None or not found.progress.scans:
        raise Unreadable("corrupt", "JPEG: no frame or no scan")
    if found.frame.body[0] != 8:
        raise Unreadable("unsupported_mode", f"JPEG: {found.frame.body[0]} bits a sample")
    if len(found.progress.precision) not in (1, 3, 4):
        raise Unreadable("unsupported_mode", "JPEG: not 1, 3 or 4 colour components")
    if found.progress.scans > _MOST_SCANS:
        raise Unreadable("corrupt", f"JPEG: more than {_MOST_SCANS} scans")
    height, width = struct.unpack_from(">HH", found.frame.body, 1)
    scans = found.progress.scans
    if scans > _MANY_SCANS and scans * width * height > _MOST_PASSED:
        raise Unreadable("corrupt", f"JPEG: {scans} scans of {width} x {height} pixels")
    if found.frame.marker in {*_SEQUENTIAL, 0xC2} and not found.progress.complete():
        raise Unreadable("truncated", "JPEG: scans are missing")
    return found.frame
