"""Memo: what a function of an image's bytes gave, remembered by content hash.

One folder per function fingerprint holds Parquet segments, each named by the hash of its bytes,
written whole and never changed. Two processes may add at once, a killed one leaves nothing half
done, and the folder may be deleted at any time: then the work is done again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Literal

import polars as pl

from imagemill.files import locked
from imagemill.progress import say
from imagemill.tables import Dtype

MANY = 48  # small segments; more are merged
SMALL = 4 << 20  # bytes of a segment that is still worth merging: what is merged is in memory
STALE = 86_400  # seconds after which an unfinished segment is taken for that of a killed process


def fingerprint(name: str, version: int, **parts: object) -> str:
    """Return a folder name that changes with anything that could change the function's result.

    ``parts`` are its parameters, decoder versions and model hashes; all must be JSON values.
    """
    text = json.dumps([name, version, parts], sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class Memo:
    """Remembered rows of one function; ``schema`` has a ``digest`` column and its values."""

    def __init__(
        self, root: Path, fingerprint: str, schema: Mapping[str, Dtype], *, noise: bool = False
    ) -> None:
        """Take what ``tables.Table`` calls ``noise``."""
        self.folder = root / fingerprint
        self._schema = dict(schema)
        self._compression: Literal["uncompressed", "zstd"] = "uncompressed" if noise else "zstd"

    def find(self, digests: pl.Series) -> pl.DataFrame:
        """Return the remembered rows for ``digests``, one each, sorted by digest."""
        wanted = pl.DataFrame({"digest": digests.unique()}, {"digest": pl.String})
        found = [pl.DataFrame(schema=self._schema)]
        read: set[Path] = set()
        # Again while there are new ones: another process may merge away what is still to be read.
        while fresh := sorted(set(self._segments()) - read):
            read.update(fresh)
            found.append(self._among(fresh, wanted))
        return pl.concat(found).unique("digest", keep="any").sort("digest")

    def each(self) -> Iterator[pl.DataFrame]:
        """Yield all that is remembered, a segment at a time; some rows maybe more than once."""
        read: set[Path] = set()
        while fresh := sorted(set(self._segments()) - read):  # as in ``find``
            read.update(fresh)
            yield from map(self._read, fresh)

    def _among(self, paths: list[Path], wanted: pl.DataFrame) -> pl.DataFrame:
        """Return the ``wanted`` rows of segments, by one join: each has to look at all of them."""
        parts = [pl.scan_parquet(path) for path in paths if self._sound(path)]
        whole = pl.concat([pl.LazyFrame(schema=self._schema), *parts])
        try:
            return whole.join(wanted.lazy(), on="digest", how="semi").collect()
        except FileNotFoundError:  # another process has just merged one
            each = (self._read(path) for path in paths)
            return pl.concat([part.join(wanted, on="digest", how="semi") for part in each])

    def add(self, rows: pl.DataFrame) -> None:
        """Remember ``rows``. Rows that are known already do no harm."""
        if not rows.is_empty():
            self._write(rows.select(*self._schema).sort("digest"))

    def tidy(self) -> None:
        """Merge small segments into one when there are many."""
        with locked(self.folder / "lock", f"waiting for another build to tidy {self.folder}"):
            for part in self.folder.glob("*.part"):
                _forget_stale(part)
            small = [path for path in self._segments() if path.stat().st_size < SMALL]
            if len(small) > MANY:
                for group in _grouped(small):
                    self._merge(group)

    def _merge(self, paths: list[Path]) -> None:
        kept = self._write(self._distinct(paths).sort("digest"))
        for path in paths:
            if path != kept:
                path.unlink(missing_ok=True)

    def _distinct(self, paths: list[Path]) -> pl.DataFrame:
        return pl.concat([self._read(path) for path in paths]).unique("digest", keep="any")

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def _write(self, rows: pl.DataFrame) -> Path:
        file = BytesIO()
        rows.write_parquet(file, compression=self._compression)
        data = file.getvalue()
        path = self.folder / f"{_name(data)}.parquet"
        part = path.with_suffix(f".{os.getpid()}.part")
        self.folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
        return path

    def _read(self, path: Path) -> pl.DataFrame:
        """Return the rows of a segment; none when it was merged away or is damaged."""
        if not self._sound(path):
            return pl.DataFrame(schema=self._schema)
        try:
            return pl.read_parquet(path)
        except FileNotFoundError:
            return pl.DataFrame(schema=self._schema)

    def _sound(self, path: Path) -> bool:
        """Tell whether a segment is there, and as it was written; forget a damaged one."""
        try:
            with path.open("rb") as file:
                name = _shortened(hashlib.file_digest(file, "sha256").hexdigest())
        except FileNotFoundError:
            return False
        if name != path.stem:
            say(f"memo: {path} is damaged and forgotten")
            path.unlink(missing_ok=True)
        return name == path.stem


def _grouped(paths: list[Path]) -> list[list[Path]]:
    """Divide segments into groups to be merged, of about ``SMALL`` bytes."""
    groups: list[list[Path]] = [[]]
    filled = 0
    for path in paths:
        if filled >= SMALL:
            groups.append([])
            filled = 0
        groups[-1].append(path)
        filled += path.stat().st_size
    return groups


def _name(data: bytes) -> str:
    return _shortened(hashlib.sha256(data).hexdigest())


def _shortened(digest: str) -> str:
    return digest[:20]


def _forget_stale(part: Path) -> None:
    try:
        if part.stat().st_mtime < time.time() - STALE:
            part.unlink()
    except FileNotFoundError:  # its process has just finished it
        pass
