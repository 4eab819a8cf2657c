"""How many leaks there are of each kind, counted exactly, also where not all pairs are listed."""

from typing import Literal, NamedTuple

import polars as pl

from imagemill.leaks.across import KIND_OF, straddling

Kind = Literal["bytes", "pixels", "perceptual", "semantic", "group", "identity", "against"]

KINDS: tuple[Kind, ...] = (
    "bytes",
    "pixels",
    "perceptual",
    "semantic",
    "group",
    "identity",
    "against",
)
"""Kinds of leaks, the surest first."""


class Count(NamedTuple):
    """Leaks of one kind."""

    pairs: int
    """Pairs of samples in different splits; of a benchmark: of a sample and one of its images."""
    images: int
    """Samples that are in any of these pairs."""
    sets: int | None
    """Contents, groups or identities in more than one split; null for pairs that form none."""

    @property
    def worth(self) -> int:
        """Return what the gate counts: groups, else pairs."""
        return self.pairs if self.sets is None else self.sets


NONE = Count(0, 0, None)

Counts = dict[Kind, Count]
"""Only of the kinds that were looked for."""


def counted(kept: pl.DataFrame, found: pl.DataFrame, checked: set[Kind]) -> Counts:
    """Return the counts of the leaks ``found`` (``tables.LEAKS``) among ``kept`` samples.

    Of the kinds ``checked`` alone.
    """
    divided = kept.filter(pl.col("split").is_not_null())
    sets = {kind: column for column, kind in KIND_OF.items()}
    return {
        kind: _of_sets(divided, sets[kind]) if kind in sets else _of_pairs(found, kind)
        for kind in KINDS
        if kind in checked
    }


def _of_sets(divided: pl.DataFrame, column: str) -> Count:
    sizes = straddling(divided, column).group_by(column, "split").agg(pl.len().cast(pl.Int64))
    each = sizes.group_by(column).agg(
        pl.col("len").sum().alias("all"), (pl.col("len") ** 2).sum().alias("within")
    )
    pairs = int(((each["all"] ** 2 - each["within"]) // 2).sum())
    return Count(pairs, int(each["all"].sum()), len(each))


def _of_pairs(found: pl.DataFrame, kind: Kind) -> Count:
    rows = found.filter(kind=kind)
    ends = [rows["a"]] if kind == "against" else [rows["a"], rows["b"]]
    return Count(len(rows), pl.concat(ends).n_unique(), None)
