"""Parquet files, here or elsewhere, of which only the needed columns and row groups are read.

Of a file elsewhere those bytes are put at their places in a sparse file of the same length, so
that one decoder reads them all.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from imagemill.errors import SourceError
from imagemill.sources.local import LocalFile
from imagemill.sources.parquet.footer import MAGIC, Chunk, Footer, NotParquetError, read_footer

PIECE = 1 << 23  # bytes asked for at once
ASKING = 8  # requests at once


class ChangedError(Exception):
    """A file that is another one than it was when it was listed."""


@dataclass(frozen=True)
class Local:
    """A shard on this machine."""

    file: LocalFile

    @property
    def name(self) -> str:
        """Path below the source's ``path``."""
        return self.file.name

    @property
    def version(self) -> str:
        """Content hash."""
        return self.file.digest

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return self.file.length

    def changed(self) -> bool:
        """Return whether it may be another file by now."""
        return self.file.changed()

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the file."""
        with self.file.path.open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    @contextmanager
    def holding(self, _footer: Footer, _chunks: list[Chunk]) -> Iterator[Path]:
        """Yield a file that has at least these chunks: the shard itself."""
        yield self.file.path


@dataclass(frozen=True)
class Remote:
    """A shard elsewhere, of which parts are fetched."""

    name: str
    version: str
    length: int
    get: Callable[[int, int], bytes]
    """Returns so many bytes from an offset. Raises ``ChangedError`` or ``SourceError``."""

    def changed(self) -> bool:
        """Return False: whoever asks for its bytes is told."""
        return False

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the file."""
        return self.get(offset, length)

    @contextmanager
    def holding(self, footer: Footer, chunks: list[Chunk]) -> Iterator[Path]:
        """Yield a file that has at least these chunks, for as long as the block lasts."""
        with TemporaryDirectory(prefix="imagemill-") as folder:
            path = Path(folder) / "shard.parquet"
            with path.open("wb") as file:
                os.pwrite(file.fileno(), MAGIC, 0)
                os.pwrite(file.fileno(), footer.raw, self.length - len(footer.raw))
                self._fill(file.fileno(), chunks)
            yield path

    def _fill(self, handle: int, chunks: list[Chunk]) -> None:
        def bring(piece: tuple[int, int]) -> None:
            os.pwrite(handle, self.get(*piece), piece[0])

        with ThreadPoolExecutor(ASKING) as pool:
            list(pool.map(bring, _pieces(chunks)))


Shard = Local | Remote


def _pieces(chunks: list[Chunk]) -> list[tuple[int, int]]:
    """Return the ranges of bytes to ask for, as (offset, length)."""
    return [
        (start, min(PIECE, chunk.offset + chunk.length - start))
        for chunk in chunks
        for start in range(chunk.offset, chunk.offset + chunk.length, PIECE)
    ]


def footer_of(shard: Shard) -> Footer:
    """Return a shard's footer. Raises ``ChangedError`` or ``SourceError``."""
    try:
        return read_footer(shard.length, shard.read)
    except (NotParquetError, OSError) as error:
        raise SourceError(
            f"{shard.name} cannot be read: {error}. Fetch that file again, or leave it out."
        ) from error
