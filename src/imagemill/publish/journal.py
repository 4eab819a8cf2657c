"""What this machine has put to one prefix, or was about to, until a publish comes to its end.

It saves work after a kill and is never needed: in most stores an ETag tells as much.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from imagemill.publish.plan import KNOWN

Note = Callable[[str, str, str], None]
"""Takes member, packaged and etag, as in ``plan.KNOWN``; safe to call from several threads."""


class Journal:
    """A file of lines ``etag packaged member``."""

    def __init__(self, folder: Path, url: str) -> None:
        """``url`` tells the prefix and its store; each has a journal of its own."""
        self._path = folder / hashlib.sha256(url.encode()).hexdigest()[:16]

    def read(self) -> pl.DataFrame:
        """Return ``plan.KNOWN``, oldest first; a last line that a kill cut short is left out."""
        text = self._path.read_text("utf-8", errors="replace") if self._path.exists() else ""
        whole = [line.split(" ", 2) for line in text.split("\n")[:-1]]
        rows = [(member, packaged, etag) for etag, packaged, member in whole]
        return pl.DataFrame(rows, KNOWN, orient="row")

    @contextmanager
    def open(self) -> Iterator[Note]:
        """Yield what writes down that an object with this ETag holds bytes of this sha256."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            yield lambda member, packaged, etag: _write(file, f"{etag} {packaged} {member}\n")
        finally:
            os.close(file)

    def forget(self) -> None:
        """Take the journal away."""
        self._path.unlink(missing_ok=True)


def _write(file: int, line: str) -> None:
    os.write(file, line.encode())
