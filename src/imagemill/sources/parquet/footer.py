"""Where a Parquet file keeps the columns of its row groups.

Polars decodes columns but does not tell where they lie, which is what bounds the memory for a
row group, and what is to be fetched of a file elsewhere. The footer is Thrift's compact protocol;
field numbers are from ``parquet.thrift`` of the format's specification.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAGIC = b"PAR1"
_TAIL = 8  # bytes: length of the footer, and the magic


class NotParquetError(ValueError):
    """Bytes that are no Parquet file, or not the whole of one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The bytes of one column in one row group."""

    path: tuple[str, ...]
    """Names from the top: ``("image", "bytes")`` for a field of a struct."""
    offset: int
    length: int
    unpacked: int
    """Bytes without compression."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Consecutive rows that are stored together."""

    start: int
    rows: int
    chunks: tuple[Chunk, ...]

    def of(self, columns: list[str]) -> list[Chunk]:
        """Return the chunks of some top columns."""
        return [chunk for chunk in self.chunks if chunk.path[0] in columns]


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet file says of itself at its end."""

    rows: int
    groups: tuple[RowGroup, ...]
    raw: bytes
    """The footer as stored, with its length and magic."""


def read_footer(length: int, read: Callable[[int, int], bytes]) -> Footer:
    """Return the footer of a file of ``length`` bytes; ``read(offset, length)`` gives its bytes.

    Raises ``NotParquetError``.
    """
    tail = read(max(0, length - _TAIL), min(length, _TAIL))
    if tail[4:] != MAGIC:
        raise NotParquetError("it does not end like a Parquet file; it may be cut short")
    inner = int.from_bytes(tail[:4], "little")
    if inner + _TAIL + len(MAGIC) > length:
        raise NotParquetError("its footer would be longer than the file")
    raw = read(length - _TAIL - inner, inner)
    try:
        said = _Compact(raw).struct()
        groups = _groups(said.get(4, []))
        return Footer(sum(group.rows for group in groups), groups, raw + tail)
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise NotParquetError("its footer makes no sense") from error


def _groups(said: list[Any]) -> tuple[RowGroup, ...]:
    groups = []
    start = 0
    for each in said:
        chunks = tuple(_chunk(column[3]) for column in each[1])
        groups.append(RowGroup(start, each[3], chunks))
        start += each[3]
    return tuple(groups)


def _chunk(said: dict[int, Any]) -> Chunk:
    # A dictionary, where there is one, lies before the data.
    starts = [said[field] for field in (9, 11) if said.get(field)]
    path = tuple(name.decode() for name in said[3])
    return Chunk(path, min(starts), said[7], said[6])


class _Compact:
    """Decodes Thrift's compact protocol into plain values; a struct is a dict by field number."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            fields[number] = kind == 1 if kind <= 2 else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 7:
            return self._take(8)
        if kind == 8:
            return self._take(self._unsigned())
        if kind in (9, 10):
            return self._items()
        if kind == 12:
            return self.struct()
        raise ValueError(f"type {kind}")  # maps: Parquet has none

    def _items(self) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._unsigned()
        return [self._value(head & 15) for _ in range(count)]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, length: int) -> bytes:
        self._at += length
        if self._at > len(self._data):
            raise IndexError
        return self._data[self._at - length : self._at]

    def _unsigned(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 128:
            found |= (byte & 127) << shift
            shift += 7
        return found | byte << shift

    def _signed(self) -> int:
        found = self._unsigned()
        return found >> 1 ^ -(found & 1)
