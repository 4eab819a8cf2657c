"""What one package holds: its images, and the rows that are made of them.

An image that augmentation copies has several rows, and whole rows of text take a kilobyte each. So
a row is numbers, 80 bytes, and ``Lot.frame`` puts texts in where some of the rows are worked on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.arrays import DIGEST

AT_ONCE = 8192  # rows that are looked at together, with texts

Digests = NDArray[np.uint8]
"""sha256 of each row, (N, 32)."""


@dataclass(frozen=True)
class Lot:
    """Rows of a package, in order."""

    images: pl.DataFrame
    """A row for each kept sample, as ``contents`` has them."""
    rows: pl.DataFrame
    """``image`` (row of ``images``), ``copy``, ``shared`` (another file has its name), ``part``;
    later ``order``, and of the rendition ``packaged`` (``Digests``, or
    (N, 16) of raw pixels, as ``arrays.hashed`` has them) and all that ``Place`` has."""
    labels: Sequence[str] = ()
    """In the order of their numbers; one may have no image."""
    words: Mapping[str, pl.Series] = field(default_factory=dict)
    """The texts that numbers in columns of ``rows`` stand for."""

    def __len__(self) -> int:
        return len(self.rows)

    def slice(self, start: int, length: int | None = None) -> "Lot":
        """Return rows that follow one another."""
        return replace(self, rows=self.rows.slice(start, length))

    def slices(self, length: int = AT_ONCE) -> Iterator["Lot"]:
        """Yield all rows, ``length`` at a time."""
        return (self.slice(start, length) for start in range(0, len(self), length))

    def taken(self, rows: NDArray[np.int64]) -> "Lot":
        """Return the rows of these numbers, in this order."""
        taken = [column.gather(rows) for column in self.rows]
        return replace(self, rows=pl.DataFrame(taken))

    def having(self, words: Mapping[str, pl.Series] | None = None, **columns: pl.Series) -> "Lot":
        """Return the lot with more columns of rows, or with others in their place."""
        rows = self.rows.with_columns(each.alias(name) for name, each in columns.items())
        return replace(self, rows=rows, words={**self.words, **(words or {})})

    def parts(self) -> Iterator[tuple[str, "Lot"]]:
        """Yield each part, by name, with its rows, which follow one another."""
        runs = self.rows["part"].rle()
        start = 0
        for run in runs:
            yield self.words["part"][run["value"]], self.slice(start, run["len"])
            start += run["len"]

    def frame(self, *names: str) -> pl.DataFrame:
        """Return what is known of the rows, or some columns of it; as text where it is."""
        every = (*self.images.columns, *self.rows.drop("image", "shared").columns)
        return pl.DataFrame({name: self._column(name) for name in names or every})

    def _column(self, name: str) -> pl.Series:
        if name == "name":
            return self._name()
        if name not in self.rows:
            return self.images[name].gather(self.rows["image"])
        if name in self.words:
            return self.words[name].gather(self.rows[name])
        return hexed(self.rows[name]) if name == "packaged" else self.rows[name]

    def _name(self) -> pl.Series:
        """Return the name of each row's file, of which there is one in a folder."""
        found = self.images.select("name", "digest")[self.rows["image"]]
        copy, shared = self.rows["copy"], self.rows["shared"]
        copied = copy > 0
        if copied.any():
            derived = pl.format("{}_aug{}", "name", copy)
            found = found.with_columns(
                pl.when(copied).then(derived).otherwise("name").alias("name")
            )
        if shared.any():
            mark = pl.when(copied).then(pl.format("_aug{}", copy)).otherwise(pl.lit(""))
            hashed = pl.format("{}_{}{}", "name", pl.col("digest").str.head(16), mark)
            found = found.with_columns(pl.when(shared).then(hashed).otherwise("name").alias("name"))
        return found["name"]


def by_member(lot: Lot, member: pl.Expr) -> Lot:
    """Return the rows in the order of ``member``, made of folder, name and suffix."""
    named = [each.frame("folder", "name", "suffix").select(member) for each in lot.slices()]
    return lot.taken(pl.concat(named).to_series().arg_sort().to_numpy())


def listings(lot: Lot, member: pl.Expr) -> Iterator[pl.DataFrame]:
    """Yield all that is known of the rows, and ``member``, some thousand at a time."""
    return (each.frame().with_columns(member) for each in lot.slices())


def hexed(digests: pl.Series) -> pl.Series:
    """Return digests (N, bytes) as ``tables`` have them, in hexadecimal digits."""
    rows = digests.to_numpy()
    digits = rows.tobytes().hex()
    cut = [digits[at : at + 2 * rows.shape[1]] for at in range(0, len(digits), 2 * rows.shape[1])]
    return pl.Series(digests.name, cut, pl.String)


def digested(texts: pl.Series) -> Digests:
    """Return the sha256 that ``hexed`` makes these texts of."""
    return np.frombuffer(unhexed(texts), np.uint8).reshape(-1, DIGEST)


def unhexed(texts: pl.Series) -> bytes:
    """Return the digests that ``hexed`` makes texts of, one behind the other."""
    return bytes.fromhex("".join(texts.to_list()))


__all__ = [
    "AT_ONCE",
    "DIGEST",
    "Digests",
    "Lot",
    "by_member",
    "digested",
    "hexed",
    "listings",
    "unhexed",
]
