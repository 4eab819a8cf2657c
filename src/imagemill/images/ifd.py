"""TIFF directories: the structure of TIFF files and of EXIF blocks (TIFF 6.0, BigTIFF)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

MAKE = 271
MODEL = 272
ORIENTATION = 274
EXIF = 34665
GPS = 34853
DATE_TIME_ORIGINAL = 36867

TOLD = {MAKE, MODEL, ORIENTATION, EXIF, GPS, DATE_TIME_ORIGINAL}
"""Tags that ``told`` reads."""

_LONGEST_TEXT = 96  # bytes of a name or date that anybody would want to see

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WIDTHS |= {16: 8, 17: 8, 18: 8}
_MOST_ENTRIES = 2**16
_ASCII = 2
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

    def value(self, entry: Entry) -> int | bytes | None:
        """Return the one integer of an entry, or the start of its text; null for other kinds."""
        if entry.kind == _ASCII:
            return self.data[entry.value : min(entry.end, entry.value + _LONGEST_TEXT)]
        return self.values(entry)[0] if entry.kind in _INTEGERS and entry.length == 1 else None

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


class Told(NamedTuple):
    """What an EXIF block says that a table may hold: no place, no owner."""

    orientation: int = 1
    """1 (upright) to 8."""
    gps: bool = False
    """Whether there is a directory of the place."""
    taken: str | None = None
    """DateTimeOriginal, as written."""
    camera: str | None = None
    """Make and model."""


def told(exif: bytes) -> Told:
    """Read an EXIF block.

    What is damaged counts as not there: cameras and editors damage blocks often, and no pixel
    depends on them.
    """
    if not exif:
        return Told()
    main = _sound(exif, None)
    at, turned = main.get(EXIF), main.get(ORIENTATION)
    inner = _sound(exif, at) if isinstance(at, int) else {}
    return Told(
        orientation=turned if isinstance(turned, int) and 1 <= turned <= 8 else 1,
        gps=GPS in main,
        taken=_text(inner.get(DATE_TIME_ORIGINAL)),
        camera=_camera(_text(main.get(MAKE)), _text(main.get(MODEL))),
    )


def _sound(exif: bytes, at: int | None) -> dict[int, int | bytes]:
    """Return the values by tag up to the first damaged entry; of the first directory at None."""
    found: dict[int, int | bytes] = {}
    try:
        directory = Directory.first(exif)
        if at is not None:
            directory = directory._replace(at=at)
        for entry in directory.entries():
            if entry.tag in TOLD:
                value = directory.value(entry)
                found[entry.tag] = found.get(entry.tag, b"") if value is None else value
    except struct.error:
        pass
    return found


def _text(value: int | bytes | None) -> str | None:
    """Return the printable text of an ASCII value, on one line; null when there is none."""
    if not isinstance(value, bytes):
        return None
    text = value.split(b"\0")[0].decode("utf-8", "replace")
    shown = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.split())[:_LONGEST_TEXT] or None


def _camera(make: str | None, model: str | None) -> str | None:
    """Return both, but the make once: "Canon", "Canon EOS 5D" is the second alone."""
    if make and model and model.lower().startswith(make.lower()):
        return model
    return " ".join(each for each in (make, model) if each) or None
