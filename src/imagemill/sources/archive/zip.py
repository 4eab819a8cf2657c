"""Zip files."""

import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from imagemill.sources.archive.members import BrokenError, Limits, Member, named
from imagemill.sources.objects import UnavailableError

_FAULTS = (
    zipfile.BadZipFile,
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    OverflowError,
    RuntimeError,
)
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_UNIX = 3  # made on a system whose modes and slashes are meant as such
_ENCRYPTED = 1


def zip_members(path: Path, limits: Limits) -> Iterator[Member]:
    """Yield every member that is no folder. Raises ``BrokenError``."""
    length = path.stat().st_size
    unpacked = 0
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except _FAULTS as error:
        raise BrokenError(f"{error}; it ends at byte {length:,}") from error
    for number, info in enumerate(infos):
        if info.is_dir():
            continue
        name, reason = named(_slashed(info))
        reason = reason or _reason(info, limits)
        unpacked += info.file_size if reason is None else 0
        yield Member(name, info.file_size, number, reason)
    # Members that share their packed bytes are each harmless.
    broken = limits.refused(length, unpacked)
    if broken:
        raise BrokenError(f"it unpacks to {broken}")


def zip_contents(
    path: Path, wanted: Sequence[tuple[int, int]]
) -> Iterator[bytes | UnavailableError]:
    """Yield the contents of some members, (number, length)."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        for number, length in wanted:
            yield _content(archive, infos[number], length)


def _content(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, length: int
) -> bytes | UnavailableError:
    try:
        with archive.open(info) as member:
            data = member.read(length)
            member.read(1)  # at the end the checksum is compared
    except _FAULTS as error:
        return UnavailableError("corrupt", " ".join(str(error).split()))
    short = UnavailableError("truncated", "it unpacks to less than its archive says")
    return data if len(data) == length else short


def _slashed(info: zipfile.ZipInfo) -> str:
    """Return the name with slashes; some programs for Windows write its own."""
    return info.filename if info.create_system == _UNIX else info.filename.replace("\\", "/")


def _reason(info: zipfile.ZipInfo, limits: Limits) -> str | None:
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "not_a_file"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted"
    if info.compress_type not in _PACKED:
        return "unknown_packing"
    if info.file_size > limits.max_bytes:
        return "too_many_bytes"
    return "bomb" if limits.steep(info.compress_size, info.file_size) else None
