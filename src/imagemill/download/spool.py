"""Fetched bytes that no pack holds yet: they survive a kill, so that nothing is fetched twice.

A run appends contents to a file and, after each, a line to a journal, both at once: what was
handed over outlives the process. A line that is cut short, or whose bytes are not there, is as if
it had never been written.
"""

import json
import os
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import polars as pl

from imagemill.sources.objects import Wanted

SPOOLED = {
    "source": pl.String,
    "key": pl.String,
    "tag": pl.String,
    "digest": pl.String,
    "bytes": pl.Int64,
    "file": pl.String,
    "offset": pl.Int64,
    "validator": pl.String,  # as in ``objects.Fetched``
}
"""Columns of what a spool holds: one row for each version of an object."""


class Spool:
    """A folder of fetched contents; one process writes to it at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        number = len(list(folder.glob("*.data")))
        self._name = f"{number:06}-{os.getpid()}"
        self._data = (folder / f"{self._name}.data").open("ab")
        self._journal = (folder / f"{self._name}.journal").open("ab")
        self._offset = self._data.tell()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._data.close()
        self._journal.close()

    def add(self, source: str, each: Wanted, content: bytes, validator: str | None) -> None:
        """Keep the content of one version of an object."""
        digest, file = sha256(content).hexdigest(), f"{self._name}.data"
        where = (file, self._offset)
        row = (source, each.key, each.tag, digest, len(content), *where, validator)
        line = json.dumps(dict(zip(SPOOLED, row, strict=True)))
        self._data.write(content)
        self._data.flush()
        self._journal.write(f"{line}\n".encode())
        self._journal.flush()
        self._offset += len(content)

    def held(self) -> pl.DataFrame:
        """Return one row for every content that is whole, as ``SPOOLED``."""
        parts = [self._rows(path) for path in sorted(self.folder.glob("*.journal"))]
        frame = pl.concat([pl.DataFrame(schema=SPOOLED), *parts])
        return frame.unique(["source", "key", "tag"], keep="last", maintain_order=True)

    def _rows(self, journal: Path) -> pl.DataFrame:
        data = journal.with_suffix(".data")
        there = data.stat().st_size if data.exists() else 0
        text = journal.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        try:
            rows = pl.read_ndjson(whole, schema=SPOOLED) if whole else pl.DataFrame(schema=SPOOLED)
        except pl.exceptions.PolarsError:  # after a machine that went down, not just a process
            return pl.DataFrame(schema=SPOOLED)
        return rows.filter(pl.col("offset") + pl.col("bytes") <= there)

    def clear(self) -> None:
        """Forget everything, once packs hold it."""
        for path in self.folder.iterdir():
            path.unlink()
