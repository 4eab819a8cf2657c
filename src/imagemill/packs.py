"""Packs: plain tar files whose boundaries follow from what they hold.

A pack's name is a hash of its members, so a pack that exists under its name is complete and
right, and two sets that share most members share most packs. The idea is content-defined
chunking (Muthitacharoen et al., LBFS, 2001) with images in the place of byte windows: a member
ends its pack with a probability of its length over the average, decided by its own hash alone.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tarfile import PAX_FORMAT, TarInfo
from typing import NamedTuple

from imagemill.errors import BuildError

AVERAGE = 64 << 20  # bytes of content in a pack, about
LEAST, MOST = 1 / 8, 8  # times the average; narrower bounds make a change spread to its neighbours
BLOCK = 512
BUFFER = 1 << 20  # bytes written at once: images are small, and a call to the kernel is not
NEAR = 4096  # bytes between two members that are read over rather than skipped
FOLDER = "packs"  # of the downloaded packs, below the output of download
_HASHES = 1 << 64
LONG = 8**11  # bytes: what the octal digits of a plain header cannot say


class Member(NamedTuple):
    """One file of a pack: its path inside, the sha256 of its content (hex), its length."""

    name: str
    digest: str
    length: int


Place = tuple[str, str, int, int]
"""Where a member's bytes lie: its digest, the pack, the offset in it, and their length."""


@dataclass(frozen=True)
class Pack:
    """Members that belong in one tar file, in order."""

    members: tuple[Member, ...]

    @cached_property
    def name(self) -> str:
        """File name, from the names, hashes and order of the members."""
        text = "\n".join(f"{m.digest} {m.name}" for m in self.members)
        return f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.tar"

    def offsets(self) -> Iterator[tuple[Member, int]]:
        """Yield every member with the offset of its first content byte."""
        position = 0
        for member in self.members:
            position += BLOCK if _plain(member) else len(header(member))
            yield member, position
            position += _padded(member.length)

    @property
    def length(self) -> int:
        """Bytes of the whole tar file, end marker included."""
        last, offset = list(self.offsets())[-1]
        return offset + _padded(last.length) + 2 * BLOCK


def plan(members: Iterable[Member], average: int = AVERAGE) -> Iterator[Pack]:
    """Divide ``members`` into packs, in the order given; one pack is in memory at a time.

    One member put in or taken out changes the pack that it falls into, and at times a neighbour.
    """
    least, most = LEAST * average, MOST * average
    current: list[Member] = []
    filled = 0
    for member in members:
        current.append(member)
        filled += member.length
        if filled >= most or (filled >= least and _ends(member, average)):
            yield Pack(tuple(current))
            current, filled = [], 0
    if current:
        yield Pack(tuple(current))


def write(
    pack: Pack,
    folder: Path,
    content: Callable[[Member], bytes],
    keep: Callable[[], bool] = lambda: True,
) -> None:
    """Write ``pack`` below ``folder``, unless ``keep`` says at the end that it is not wanted.

    Raises ``ValueError`` when ``content`` gives bytes of another length than planned.
    """
    part = folder / f".{pack.name}.{os.getpid()}.part"
    try:
        with part.open("wb", buffering=BUFFER) as tar:
            for member in pack.members:
                data = content(member)
                if len(data) != member.length:
                    raise ValueError(f"{member.name}: {len(data)} bytes, planned {member.length}")
                tar.write(header(member))
                tar.write(data)
                tar.write(bytes(_padded(len(data)) - len(data)))
            tar.write(bytes(2 * BLOCK))
        if keep():
            part.replace(folder / pack.name)
    finally:
        part.unlink(missing_ok=True)


def holds(folder: Path, pack: Pack) -> bool:
    """Tell whether ``folder`` has the whole of ``pack``: its length and every header.

    Contents are not read here; whoever reads one checks it, with ``Reader.content``.
    """
    try:
        with (folder / pack.name).open("rb", buffering=0) as tar:
            return os.fstat(tar.fileno()).st_size == pack.length and all(
                _heads(tar.fileno(), member, offset) for member, offset in pack.offsets()
            )
    except FileNotFoundError:
        return False


def _heads(tar: int, member: Member, offset: int) -> bool:
    expected = header(member)
    return os.pread(tar, len(expected), offset - len(expected)) == expected


def places(folder: Path, members: Iterable[Member]) -> Iterator[tuple[str, int]]:
    """Yield pack and offset of each of ``members``: all that the packs in ``folder`` hold, sorted.

    Reads one header a pack. Raises ``BuildError`` where no pack begins with the member that must.
    """
    starts: dict[bytes, list[Path]] = {}
    for path in folder.glob("*.tar"):
        with path.open("rb") as tar:
            starts.setdefault(tar.read(BLOCK), []).append(path)
    position = end = 0
    for member in members:
        if position >= end:
            path = _starting(starts, member, folder)
            position, end = 0, path.stat().st_size - 2 * BLOCK
        position += BLOCK if _plain(member) else len(header(member))
        yield path.name, position
        position += _padded(member.length)


def _starting(starts: dict[bytes, list[Path]], member: Member, folder: Path) -> Path:
    """Return the pack that begins with ``member``; ``starts`` has all by their first block."""
    expected = header(member)
    for path in starts.get(expected[:BLOCK], []):
        with path.open("rb") as tar:
            if tar.read(len(expected)) == expected:
                return path
    raise BuildError(
        f"{folder}: no pack begins with {member.name}, as its manifest says. "
        "Delete that folder and build again, or fetch it with `dvc checkout`."
    )


class Reader:
    """Reads members by place; keeps the packs that it read last open."""

    MOST = 64  # packs open at once; processes may open about a thousand files

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[str, int] = OrderedDict()

    def read(self, pack: str, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``; fewer when the pack ends before."""
        return os.pread(self._handle(pack), length, offset)

    def content(self, digest: str, pack: str, offset: int, length: int) -> bytes:
        """Return the bytes of a member; raises ``BuildError`` unless their sha256 is ``digest``."""
        data = self.read(pack, offset, length)
        self._check(data, digest, pack, offset)
        return data

    def contents(self, places: Sequence[Place]) -> Iterator[bytes]:
        """Yield what ``content`` returns of each place; those side by side are read at once."""
        for start, end in _runs(places):
            _, pack, first, _ = places[start]
            _, _, last, length = places[end - 1]
            held = self.read(pack, first, last + length - first)
            for digest, _, offset, count in places[start:end]:
                data = held[offset - first : offset - first + count]
                self._check(data, digest, pack, offset)
                yield data

    def _check(self, data: bytes, digest: str, pack: str, offset: int) -> None:
        if hashlib.sha256(data).hexdigest() != digest:
            raise BuildError(
                f"{self._folder / pack} is damaged at byte {offset:,}. "
                "Delete that file and build again; what it held is then fetched anew."
            )

    def _handle(self, pack: str) -> int:
        if pack not in self._open:
            if len(self._open) >= self.MOST:
                os.close(self._open.popitem(last=False)[1])
            self._open[pack] = os.open(self._folder / pack, os.O_RDONLY)
        self._open.move_to_end(pack)
        return self._open[pack]

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every pack that is open."""
        for handle in self._open.values():
            os.close(handle)
        self._open.clear()


def _runs(places: Sequence[Place]) -> Iterator[tuple[int, int]]:
    """Yield first and past-the-end of places of one pack, in order and with little between them."""
    start = 0
    for at in range(1, len(places) + 1):
        _, pack, first, _ = places[start]
        if at < len(places):
            _, before, end, length = places[at - 1]
            _, here, offset, _ = places[at]
            near = 0 <= offset - end - length <= NEAR and offset - first < BUFFER
            if here == pack == before and near:
                continue
        yield start, at
        start = at


def _ends(member: Member, average: int) -> bool:
    # The leading digits may be the sort order itself; the trailing ones are independent of it.
    return int(member.digest[-16:], 16) * average < member.length * _HASHES


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK


def _plain(member: Member) -> bool:
    return len(member.name) <= 100 and member.name.isascii() and member.length < LONG


def header(member: Member) -> bytes:
    """Return the blocks that stand before a member; one, but for long names and lengths."""
    if not _plain(member):
        return _slow_header(member)
    return plain_header(member.name.encode(), member.length)


def plain_header(name: bytes, length: int) -> bytes:
    """Return the header of a member whose name has up to 100 characters, all of ASCII.

    ``tarfile`` takes 20 microseconds, which is minutes for a million.
    """
    size = b"%011o\0" % length
    checksum = b"%06o\0 " % (sum(name) + sum(size) + _TEMPLATE_SUM)
    return b"".join((name.ljust(100, b"\0"), _OWNER, size, _TIME, checksum, _REST))


def _slow_header(member: Member) -> bytes:
    info = TarInfo(member.name)
    info.size = member.length
    return info.tobuf(PAX_FORMAT)


_TEMPLATE = _slow_header(Member("", "", 0))
_OWNER, _TIME, _REST = _TEMPLATE[100:124], _TEMPLATE[136:148], _TEMPLATE[156:]
_TEMPLATE_SUM = sum(_OWNER) + sum(_TIME) + 8 * 0x20 + sum(_REST)
