"""Images as runs of bytes in files: where each lies, and how they are read.

``os.pread`` has no position that processes would share, so open files may be inherited by forks;
what is sent to a spawned process opens its own.
"""

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagemill.readers.contents import Files, Rows
from imagemill.readers.errors import PackageError

MOST = 128  # files open at once; processes may open about a thousand
NEAR = 16 << 10  # bytes: runs no further apart are read at once
LARGEST = 4 << 20  # bytes that are read at once, where more than one image is

Stamp = tuple[int, int]
"""Length and time of change, ns."""


def stamp(handle: int | Path) -> Stamp:
    """Return what tells a file from another of its name."""
    said = os.stat(handle)  # noqa: PTH116 (a path, or an open file)
    return said.st_size, said.st_mtime_ns


def check(path: Path, said: Stamp) -> None:
    """Raise ``PackageError`` where a file is gone, or another than when it was opened."""
    try:
        now = stamp(path)
    except FileNotFoundError as error:
        raise _gone(path) from error
    if now != said:
        raise _changed(path)


def _gone(path: object) -> PackageError:
    return PackageError(
        f"{path} is gone since the package was opened; open it again, or fetch it anew."
    )


def _changed(path: object) -> PackageError:
    return PackageError(
        f"{path} has changed since the package was opened; rows may be others now. Open it again."
    )


def remember(held: dict[Any, Any], key: object, value: object, most: int) -> None:
    """Put a value last, and forget the first ones beyond ``most``.

    Threads may do so at once; they would leave an ``OrderedDict`` broken.
    """
    held[key] = value
    if len(held) > most:
        for oldest in list(held)[:-most]:
            held.pop(oldest, None)


class _Opened:
    """An open file, closed when nobody reads it any more: a thread may, while others close it."""

    def __init__(self, path: str) -> None:
        self.handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # The name ``os`` may be gone when the interpreter ends.
        if "handle" in self.__dict__:
            close(self.handle)


class Extents(Files):
    """For each row a file of ``paths``, the offset of its first byte, and its length.

    Rows of a file follow one another. ``stamps`` are those that the files must have when they are
    opened; null where they need not be known.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        file: NDArray[np.integer[Any]],
        offset: NDArray[np.integer[Any]],
        length: NDArray[np.integer[Any]],
        stamps: Sequence[Stamp] | None = None,
    ) -> None:
        self.paths = [str(path) for path in paths]
        self.file = file.astype(np.int32)
        self.offset = offset.astype(np.int64)
        self.length = length.astype(np.int64)
        self._stamps = stamps
        self._open: dict[int, _Opened] = {}

    def __len__(self) -> int:
        return len(self.file)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def taken(self, rows: Rows) -> "Extents":
        """Return these rows, in this order."""
        parts = self.file[rows], self.offset[rows], self.length[rows]
        return Extents([Path(path) for path in self.paths], *parts, self._stamps)

    def starts(self) -> Rows:
        """Return the first row of each run of rows that lie in one file."""
        return np.flatnonzero(np.diff(self.file, prepend=-1)).astype(np.int64)

    def identity(self) -> bytes:
        """Return the names of the files, and what lies where."""
        names = "\n".join(Path(path).name for path in self.paths).encode()
        return b"".join((names, self.file.tobytes(), self.offset.tobytes(), self.length.tobytes()))

    def files(self, rows: Rows) -> list[bytes | memoryview]:
        """Return the bytes of each row, neighbours read at once.

        Raises ``PackageError`` where a file is gone, cut short, or another than it was.
        """
        order = np.lexsort((self.offset[rows], self.file[rows]))
        sorted_rows = rows[order]
        found: list[bytes | memoryview] = [b""] * len(rows)
        for first, last in self._runs(sorted_rows):
            for at, data in zip(order[first:last], self._run(sorted_rows[first:last]), strict=True):
                found[at] = data
        return found

    def _runs(self, rows: Rows) -> list[tuple[int, int]]:
        """Return first and past-the-end position of sorted ``rows`` that are read at once."""
        start, end = self.offset[rows], self.offset[rows] + self.length[rows]
        far = (self.file[rows][1:] != self.file[rows][:-1]) | (start[1:] - end[:-1] > NEAR)
        far |= start[1:] < end[:-1]  # a row that is asked for twice
        far |= (start[1:] // LARGEST) != (start[:-1] // LARGEST)
        cuts = [0, *(np.flatnonzero(far) + 1).tolist(), len(rows)]
        return list(pairwise(cuts)) if len(rows) else []

    def _run(self, rows: Rows) -> list[bytes | memoryview]:
        offsets, lengths = self.offset[rows].tolist(), self.length[rows].tolist()
        begin, end = offsets[0], offsets[-1] + lengths[-1]
        number = int(self.file[rows[0]])
        file = self._file(number)
        data = os.pread(file.handle, end - begin, begin)
        if len(data) != end - begin:
            raise self._short(number)
        if len(offsets) == 1:
            return [data]
        view = memoryview(data)
        return [view[at - begin : at - begin + n] for at, n in zip(offsets, lengths, strict=True)]

    def fill(self, rows: Rows, out: NDArray[np.uint8]) -> None:
        """Read rows of one length straight into ``out``, an array with a row for each."""
        flat = memoryview(out.reshape(-1).data)
        each = int(self.length[rows[0]]) if len(rows) else 0
        ends = self.offset[rows] + each
        follows = (ends[:-1] == self.offset[rows][1:]) & (
            self.file[rows][1:] == self.file[rows][:-1]
        )
        cuts = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(rows)]
        for first, last in pairwise(cuts) if len(rows) else ():
            number = int(self.file[rows[first]])
            part = flat[first * each : last * each]
            file = self._file(number)
            if os.preadv(file.handle, [part], int(self.offset[rows[first]])) != len(part):
                raise self._short(number)

    def _file(self, number: int) -> _Opened:
        """Return an open file, and remember it as the last that was asked for."""
        found = self._open.pop(number, None) or self._opened(number)
        remember(self._open, number, found, MOST)
        return found

    def _opened(self, number: int) -> _Opened:
        path = self.paths[number]
        try:
            found = _Opened(path)
        except FileNotFoundError as error:
            raise _gone(path) from error
        if self._stamps is not None and stamp(found.handle) != self._stamps[number]:
            raise _changed(path)
        return found

    def _short(self, number: int) -> PackageError:
        return PackageError(
            f"{self.paths[number]} is cut short; fetch it again, or build it again. "
            "`sha256sum -c checksums.txt` names every file that is damaged."
        )
