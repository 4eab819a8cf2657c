"""Fetched bytes that no pack holds yet: they survive a kill, so that nothing is fetched twice.

A run appends contents to a file and, after each, a line to a journal. A line that is cut short,
or whose bytes are not there, is as if it had never been written.
"""

import json
import os
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import polars as pl

SPOOLED = {
    "source": pl.String,
    "key": pl.String,
    "tag": pl.String,
    "digest": pl.String,
    "bytes": pl.Int64,
    "file": pl.String,
    "offset": pl.Int64,
}
"""Columns of what a spool holds: one row for each version of an object."""

FLUSH = 1 << 20  # bytes that a kill may cost, which are fetched again


class Spool:
    """A folder of fetched contents; one process writes to it at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        number = len(list(folder.glob("*.data")))
        self._name = f"{number:06}-{os.getpid()}"
        self._data = (folder / f"{self._name}.data").open("ab", buffering=FLUSH)
        self._journal = (folder / f"{self._name}.journal").open("a", buffering=1, encoding="utf-8")
        self._lines: list[str] = []
        self._pending = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.flush()
        self._data.close()
        self._journal.close()

    def add(self, source: str, key: str, tag: str, content: bytes) -> None:
        """Keep the content of one version of an object."""
        row = (source, key, tag, sha256(content).hexdigest(), len(content))
        self._lines.append(json.dumps([*row, f"{self._name}.data", self._data.tell()]))
        self._data.write(content)
        self._pending += len(content)
        if self._pending >= FLUSH or len(self._lines) >= 64:
            self.flush()

    def flush(self) -> None:
        """Write what is pending: first the bytes, then the lines that speak of them."""
        self._data.flush()
        if self._lines:
            self._journal.write("\n".join(self._lines) + "\n")
        self._lines.clear()
        self._pending = 0

    def held(self) -> pl.DataFrame:
        """Return one row for every content that is whole, as ``SPOOLED``."""
        self.flush()
        rows = [row for path in sorted(self.folder.glob("*.journal")) for row in self._rows(path)]
        frame = pl.DataFrame(rows, SPOOLED, orient="row")
        return frame.unique(["source", "key", "tag"], keep="last", maintain_order=True)

    def _rows(self, journal: Path) -> list[list[object]]:
        data = journal.with_suffix(".data")
        there = data.stat().st_size if data.exists() else 0
        rows = []
        for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if len(row) == len(SPOOLED) and row[6] + row[4] <= there:
                rows.append(row)
        return rows

    def clear(self) -> None:
        """Forget everything, once packs hold it."""
        for path in self.folder.iterdir():
            path.unlink()
