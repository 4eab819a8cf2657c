"""What walking a file's container tells, before any decoder has seen a byte."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from imagemill.images.outcome import Unreadable

_Part = TypeVar("_Part")

# Real files have some thousands of parts; walking millions of empty ones takes minutes.
_MOST_PARTS = 2**17


@dataclass(frozen=True)
class Anatomy:
    """One image file, taken apart.

    ``picture`` holds the parts that make the first frame and nothing else: no metadata, no colour
    profile, no later frames, no trailing bytes. It is all that a decoder is shown, so that
    hostile metadata never reaches one.
    """

    format: str
    picture: bytes

    size: tuple[int, int] | None = None
    """Declared width and height, of formats where opening already allocates that much."""

    mode: str | None = None
    """The stored mode, where the decoder reports another one."""

    bits: int | None = None
    """Bits a stored sample, where the decoded mode does not tell."""

    frames: int = 1

    cost: int = 8
    """Bytes of memory a pixel that decoding takes at most, in Pillow and its libraries."""

    exif: bytes = b""
    """A TIFF structure, without the ``Exif`` prefix."""

    icc: bool = False

    components: int = 0
    """Of a JPEG's colours."""

    divisors: tuple[int, ...] = ()
    """Of a JPEG's first component, row by row of 64 frequencies; none where it is broken."""


def bounded(parts: Iterable[_Part], name: str) -> Iterator[_Part]:
    """Yield the parts of a file of this format, and refuse one that has no end of them."""
    for number, part in enumerate(parts):
        if number == _MOST_PARTS:
            raise Unreadable("corrupt", f"{name}: more than {_MOST_PARTS} parts")
        yield part
