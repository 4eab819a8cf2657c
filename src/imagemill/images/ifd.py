"""TIFF directories: the structure of TIFF files and of EXIF blocks (TIFF 6.0, BigTIFF)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

ORIENTATION = 274
EXIF = 34665
GPS = 34853

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WIDTHS |= {16: 8, 17: 8, 18: 8}
_MOST_ENTRIES = 2**16
_INTEGERS = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}


class Entry(NamedTuple):
    """One record of a directory."""

    tag: int
    kind: int
    length: int
    """Number of values."""
    value: int
    """Where the values start in the file."""
    end: int
    """Where they end."""
    record: bytes
    """The record as stored."""


class Directory(NamedTuple):
    """A directory at offset ``at``. Reading past the end of ``data`` raises ``struct.error``."""

    data: bytes
    order: str
    big: bool
    at: int

    @classmethod
    def first(cls, data: bytes) -> Self:
        """Return the directory that the file header points to."""
        order = ">" if data[:1] == b"M" else "<"
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        (at,) = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)
        return cls(data, order, big, at)

    def entries(self) -> Iterator[Entry]:
        """Yield the records in stored order."""
        width, start = (20, 8) if self.big else (12, 2)
        for index in range(self._count()):
            yield self._entry(self.at + start + index * width, width)

    def next(self) -> Self | None:
        """Return the directory that this one is chained to."""
        width, start, word = (20, 8, "Q") if self.big else (12, 2, "L")
        (at,) = self._unpack(word, self.at + start + self._count() * width)
        return self._replace(at=at) if at else None

    def values(self, entry: Entry) -> tuple[int, ...]:
        """Return the values of an entry of an unsigned type; none for other types."""
        word = _INTEGERS.get(entry.kind)
        return self._unpack(f"{entry.length}{word}", entry.value) if word else ()

    def pack(self, entries: list[Entry]) -> bytes:
        """Write entries as a directory that ends the chain, valid anywhere in this file."""
        word, pointer = ("Q", "Q") if self.big else ("H", "L")
        records = b"".join(entry.record for entry in entries)
        end = struct.pack(self.order + pointer, 0)
        return struct.pack(self.order + word, len(entries)) + records + end

    def _count(self) -> int:
        (count,) = self._unpack("Q" if self.big else "H", self.at)
        if count > _MOST_ENTRIES:
            raise struct.error("more entries than there are tags")
        return count

    def _entry(self, at: int, width: int) -> Entry:
        tag, kind, count = self._unpack("HHQ" if self.big else "HHL", at)
        inline = width - 12 if self.big else width - 8
        value = at + width - inline
        size = _WIDTHS.get(kind, 0) * count
        if size > inline:
            (value,) = self._unpack("Q" if self.big else "L", value)
        return Entry(tag, kind, count, value, value + size, self.data[at : at + width])

    def _unpack(self, words: str, at: int) -> tuple[int, ...]:
        if at > len(self.data):
            raise struct.error("offset past the end")
        return struct.unpack_from(self.order + words, self.data, at)


def privacy(exif: bytes) -> tuple[int, bool]:
    """Return the orientation (1 to 8) in an EXIF block, and whether it has a GPS directory.

    A damaged block counts as one that says nothing: cameras and editors damage them often, and
    no pixel depends on them.
    """
    orientation, gps = 1, False
    try:
        directory = Directory.first(exif)
        for entry in directory.entries():
            gps |= entry.tag == GPS
            if entry.tag == ORIENTATION and entry.length == 1:
                orientation = (*directory.values(entry), 1)[0]
    except struct.error:
        pass
    return (orientation if 1 <= orientation <= 8 else 1), gps
