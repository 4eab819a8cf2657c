"""Tar files, plain or compressed as a whole."""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from imagemill.sources.archive.members import BrokenError, Limits, Member, named
from imagemill.sources.objects import UnavailableError

_UNPACKERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""By the first bytes of a file."""

_FAULTS = (
    tarfile.TarError,
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    OverflowError,
    RecursionError,
)
_STEP = 1 << 20  # bytes unpacked between looks at the limits
_LONGEST = 1 << 20  # bytes of a header; names are short


def tar_members(path: Path, limits: Limits) -> Iterator[Member]:
    """Yield every member that is no folder. Raises ``BrokenError``."""
    with _unpacked(path) as (stream, raw):
        guarded = _Guarded(stream, raw, limits, packed=stream is not raw)
        try:
            yield from _members(guarded, limits)
        except _FAULTS as error:
            said = " ".join(str(error).split()) or "it ends too early"
            raise BrokenError(f"{said} (byte {raw.tell():,} of {_length(path):,})") from error


def tar_contents(
    path: Path, wanted: Sequence[tuple[int, int]]
) -> Iterator[bytes | UnavailableError]:
    """Yield the contents at some (place, length), in that order, which is to be rising."""
    with _unpacked(path) as (stream, _):
        for at, length in wanted:
            try:
                stream.seek(at)
                data = stream.read(length)
            except _FAULTS as error:
                yield UnavailableError("corrupt", " ".join(str(error).split()))
                continue
            short = UnavailableError("truncated", "its archive ends before it does")
            yield data if len(data) == length else short


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Yield the tar as a stream, and the file that it is read from."""
    with path.open("rb") as raw:
        start = raw.read(6)
        raw.seek(0)
        unpackers = [each for magic, each in _UNPACKERS.items() if start.startswith(magic)]
        if not unpackers:
            yield raw, raw
            return
        with unpackers[0](raw) as stream:
            yield stream, raw


def _length(path: Path) -> int:
    return path.stat().st_size


class _Guarded:
    """A stream that unpacks no further than the limits; remembers the block that it gave last."""

    def __init__(self, stream: IO[bytes], raw: IO[bytes], limits: Limits, *, packed: bool) -> None:
        self._stream = stream
        self._raw = raw
        self._limits = limits
        self._packed = packed
        self.last = b""

    def read(self, length: int) -> bytes:
        if length > _LONGEST:
            raise BrokenError(f"a header of {length:,} bytes")
        self.last = self._stream.read(length)
        return self.last

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, place: int) -> int:
        while self._packed and (gap := place - self._stream.tell()) > 0:
            broken = self._limits.refused(self._raw.tell(), self._stream.tell())
            if broken:
                raise BrokenError(f"it unpacks to {broken}")
            if not self._stream.read(min(gap, _STEP)):
                break
        return self._stream.seek(place)


def _members(stream: _Guarded, limits: Limits) -> Iterator[Member]:
    # Errors of names are kept as they are; see ``keys.odd``.
    tar = tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # or a million of them stay in memory
        if not member.isdir():
            name, reason = named(member.name)
            yield Member(name, member.size, member.offset_data, reason or _reason(member, limits))
    # tarfile takes the end of the file, or a block that makes no sense, for the end of the tar.
    if stream.last.strip(b"\0") or len(stream.last) < tarfile.BLOCKSIZE:
        raise EOFError("it ends without the empty block that ends a tar")


def _reason(member: tarfile.TarInfo, limits: Limits) -> str | None:
    if member.issym() or member.islnk():
        return "link"
    if not member.isreg() or member.issparse():
        return "not_a_file"
    return "too_many_bytes" if member.size > limits.max_bytes else None
