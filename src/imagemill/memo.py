"""Memo: what a function of an image's bytes gave, remembered by content hash.

One folder per function fingerprint holds Parquet segments, each written whole and never changed.
Two processes may add at once, a killed one leaves nothing half done, and the folder may be
deleted at any time: then the work is done again.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from imagemill.files import locked
from imagemill.progress import say
from imagemill.tables import Dtype

MANY = 48  # segments; more are merged into one


def fingerprint(name: str, version: int, **parts: object) -> str:
    """Return a folder name that changes with anything that could change the function's result.

    ``parts`` are its parameters, decoder versions and model hashes; all must be JSON values.
    """
    text = json.dumps([name, version, parts], sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class Memo:
    """Remembered rows of one function; ``schema`` has a ``digest`` column and its values."""

    def __init__(self, root: Path, fingerprint: str, schema: Mapping[str, Dtype]) -> None:
        self.folder = root / fingerprint
        self._schema = dict(schema)
        self.folder.mkdir(parents=True, exist_ok=True)

    def find(self, digests: pl.Series) -> pl.DataFrame:
        """Return the remembered rows for ``digests``, one each, sorted by digest."""
        wanted = pl.DataFrame({"digest": digests.unique()})
        found = [
            frame.join(wanted, on="digest", how="semi")
            for path in sorted(self.folder.glob("*.parquet"))
            if (frame := self._segment(path)) is not None
        ]
        if not found:
            return pl.DataFrame(schema=self._schema)
        return pl.concat(found).unique("digest", keep="any").sort("digest")

    def add(self, rows: pl.DataFrame) -> None:
        """Remember ``rows``. Rows that are known already do no harm."""
        if not rows.is_empty():
            self._write(rows.select(*self._schema).sort("digest"))

    def tidy(self) -> None:
        """Merge the segments into one when there are many."""
        with locked(self.folder / "lock", f"waiting for another build to tidy {self.folder}"):
            paths = sorted(self.folder.glob("*.parquet"))
            if len(paths) <= MANY:
                return
            frames = [frame for path in paths if (frame := self._segment(path)) is not None]
            kept = self._write(pl.concat(frames).unique("digest", keep="any").sort("digest"))
            for path in paths:
                if path != kept:
                    path.unlink()

    def _write(self, rows: pl.DataFrame) -> Path:
        name = hashlib.sha256("".join(rows["digest"]).encode()).hexdigest()[:20]
        path = self.folder / f"{name}.parquet"
        part = self.folder / f"{name}.{os.getpid()}.part"
        rows.write_parquet(part, compression="zstd")
        part.replace(path)
        return path

    def _segment(self, path: Path) -> pl.DataFrame | None:
        try:
            return pl.read_parquet(path, columns=list(self._schema), schema=self._schema)
        except FileNotFoundError:  # merged away by another process, whose rows we may miss: no harm
            return None
        except (pl.exceptions.PolarsError, OSError) as error:
            say(f"memo: {path.name} is damaged and forgotten ({error.__class__.__name__})")
            path.unlink(missing_ok=True)
            return None
