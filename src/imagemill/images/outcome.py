"""How reading can end without an image, and the sizes beyond which nothing is decoded."""

import re
from typing import NamedTuple

REASONS: dict[str, str] = {
    "empty": "The file has no bytes.",
    "not_an_image": "The bytes are not a JPEG, PNG, WebP, GIF, BMP, TIFF, PNM or AVIF image.",
    "truncated": "The file ends before its image does.",
    "corrupt": "The file contradicts itself or its format, and cannot be decoded.",
    "too_many_pixels": "One frame declares more pixels than the limit; it was not decoded.",
    "too_many_bytes": "The file is larger than the limit; it was not decoded.",
    "unsupported_mode": "The way it stores colour has no agreed meaning in 8 bits.",
    "kills_reader": "The process that read it ended, most likely for lack of memory.",
}

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LONGEST_DETAIL = 160


class Limits(NamedTuple):
    """The largest image that is decoded. Both limits are inclusive.

    Besides the file, decoding takes at most 8 bytes of memory for each of ``max_pixels``.
    """

    max_pixels: int
    """Declared width times height of one frame; a row counts as 16 pixels at least.

    Formats whose decoders take more than 8 bytes a pixel count for more: WebP (16) twice, AVIF
    (13), progressive JPEG (10, of four inks 12), TIFF of more than 32 bits a pixel.
    """

    max_bytes: int
    """Length of the file."""


class Unreadable(Exception):  # noqa: N818 (a finding about bytes, not a fault)
    """No image comes out of these bytes; ``reason`` is a key of ``REASONS``.

    Lack of memory is no finding about bytes: that raises ``MemoryError``.

    ``detail`` is one line of printable ASCII that depends on the bytes alone.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = _line(detail)
        super().__init__(reason, self.detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def _line(text: str) -> str:
    words = " ".join(_ADDRESS.sub("", text).split())
    return words.encode("ascii", "backslashreplace").decode("ascii")[:_LONGEST_DETAIL]
