"""TIFF files, directory by directory (TIFF 6.0, BigTIFF)."""

import struct

from imagemill.images import ifd
from imagemill.images.anatomy import Anatomy
from imagemill.images.ifd import Directory, Entry
from imagemill.images.outcome import Unreadable

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES = 277
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_PIECES = ((273, 279), (324, 325))  # offsets and byte counts, of strips and of tiles
_ICC = 34675

# The tags that make pixels, and the most values each may have: a decoder turns every value into
# an object, so that an endless one is a bomb.
_MOST_PIECES = 2**19
_MOST_VALUES = {
    **dict.fromkeys((_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, 266, _SAMPLES, 278, 284, 317), 1),
    **dict.fromkeys((_TILE_WIDTH, _TILE_HEIGHT), 1),
    **dict.fromkeys((_BITS, 338, 339), 16),
    **dict.fromkeys((273, 279, 324, 325), _MOST_PIECES),
    320: 3 * 2**16,
    347: 2**16,
    **dict.fromkeys((529, 530, 532), 6),
}

# Tiles are decoded whole, however little of the image is in them, and so is a piece's data,
# however often other pieces name it too.
_LEAST_AREA = 2**22
_PADDING = 4  # times the image's area that its tiles may have together
_MOST_READ = 2**28  # bytes of all pieces, in files that are smaller
_MOST_FRAMES = 10_000

# The decoder of faxes takes 16 bytes for each pixel of a line, besides the image.
_FAX = (2, 3, 4)
_WIDEST_FAX = 2**22


def dissect(data: bytes) -> Anatomy:
    """Take a TIFF apart; its picture is that of the first directory."""
    try:
        directory = Directory.first(data)
        entries = {entry.tag: entry for entry in reversed(list(directory.entries()))}
        frames = _count(directory)
        kept = [entries[tag] for tag in sorted(entries.keys() & _MOST_VALUES.keys())]
        _check(directory, {entry.tag: entry for entry in kept})
        bits = _one(directory, entries.get(_BITS), 1)
        samples = _one(directory, entries.get(_SAMPLES), 1)
        return Anatomy(
            format="TIFF",
            picture=_alone(directory, kept),
            bits=bits,
            # A strip may be the whole image, and is read before it becomes one.
            cost=max(8, 4 + bits * samples // 8),
            frames=frames,
            exif=data if entries.keys() & ifd.TOLD else b"",
            icc=_ICC in entries,
        )
    except struct.error:
        raise Unreadable("truncated", "TIFF: a directory points past the end") from None


def _count(directory: Directory) -> int:
    """Count the directories in the chain, to where it loops or is very long."""
    seen: set[int] = set()
    link: Directory | None = directory
    while link and link.at not in seen and len(seen) < _MOST_FRAMES:
        seen.add(link.at)
        link = link.next()
    return len(seen)


def _alone(directory: Directory, kept: list[Entry]) -> bytes:
    """Overwrite the directory with these of its entries, as the only one of the file."""
    data, packed = directory.data, directory.pack(kept)
    return data[: directory.at] + packed + data[directory.at + len(packed) :]


def _one(directory: Directory, entry: Entry | None, default: int) -> int:
    values = directory.values(entry) if entry and entry.length else ()
    return values[0] if values else default


def _check(directory: Directory, entries: dict[int, Entry]) -> None:
    """Refuse what Pillow would read wrongly, pass silently or expand without bound."""
    for entry in entries.values():
        if entry.length > _MOST_VALUES[entry.tag]:
            raise Unreadable("corrupt", f"TIFF: tag {entry.tag} has {entry.length} values")
        if entry.end > len(directory.data):
            raise Unreadable("truncated", f"TIFF: tag {entry.tag} lies past the end")
    one = {tag: _one(directory, entry, 0) for tag, entry in entries.items()}
    if one.get(_COMPRESSION) in _FAX and one.get(_WIDTH, 0) > _WIDEST_FAX:
        raise Unreadable("corrupt", f"TIFF: a fax of {one[_WIDTH]} pixels a line")
    _check_tiles(one)
    if one.get(_PHOTOMETRIC) == 0 and one.get(_BITS, 1) > 8:
        raise Unreadable("unsupported_mode", "TIFF: more than 8 bits with zero as white")
    _check_pieces(directory, entries)


def _check_tiles(one: dict[int, int]) -> None:
    width, height = one.get(_WIDTH, 0), one.get(_HEIGHT, 0)
    across, down = one.get(_TILE_WIDTH, 0), one.get(_TILE_HEIGHT, 0)
    if not across or not down:
        return
    tiled = -(-width // across) * across * -(-height // down) * down
    if tiled > _PADDING * max(width * height, _LEAST_AREA):
        raise Unreadable("corrupt", "TIFF: its tiles are far larger than the image")


def _check_pieces(directory: Directory, entries: dict[int, Entry]) -> None:
    for offsets, counts in _PIECES:
        if offsets in entries and counts in entries:
            starts = directory.values(entries[offsets])
            lengths = directory.values(entries[counts])
            ends = (start + length for start, length in zip(starts, lengths, strict=False))
            if max(ends, default=0) > len(directory.data):
                raise Unreadable("truncated", "TIFF: a strip or tile lies past the end")
            if sum(lengths) > max(_MOST_READ, len(directory.data)):
                raise Unreadable("corrupt", "TIFF: its strips or tiles overlap")
