"""What earlier builds found: sets of pictures that were compared, each with each, and their pairs.

A set of pictures and its pairs are one file, named by the hash of its bytes, written whole and
never changed. Of several sets, a build takes up the one that has most of its own pictures; the
rest of its pictures are compared with all, the pairs of pictures that are gone are left out.
"""

from pathlib import Path

import polars as pl

from imagemill.memo import Memo
from imagemill.tables import Dtype

KEPT = 4  # sets: of a few datasets that share a memo, or of one that goes back and forth

NEAR = pl.Struct(
    {
        "name": pl.Binary,
        "number": pl.Int64,
        "distance": pl.Int64,
        "semantic": pl.Boolean,
        "score": pl.Float32,
    }
)
SCHEMA: dict[str, Dtype] = {"digest": pl.Binary, "near": pl.List(NEAR)}
"""A picture by name, with the verified pairs whose other picture has a greater name."""


class Known(Memo):
    """Sets of pictures that were compared under one fingerprint."""

    def __init__(self, root: Path, fingerprint: str) -> None:
        super().__init__(root, fingerprint, SCHEMA)

    def best(self, names: pl.Series) -> pl.DataFrame:
        """Return the set that has most of the pictures ``names``, without the others."""
        parts = (self._read(path) for path in self._segments())
        wanted = names.rename("digest").to_frame()
        held = [part.join(wanted, on="digest", how="semi") for part in parts]
        return max(held, key=len, default=pl.DataFrame(schema=SCHEMA))

    def keep(self, rows: pl.DataFrame) -> None:
        """Remember a set of pictures with its pairs, and forget the oldest of many sets."""
        self._write(rows)
        for path in sorted(self._segments(), key=_written)[:-KEPT]:
            path.unlink(missing_ok=True)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another build has just forgotten it
        return 0.0
