"""Choose images that show what a reason or a pair means, and put names to them."""

from typing import Any, NamedTuple

import polars as pl

from imagemill.report import words
from imagemill.report.ledger import KEPT, Tables
from imagemill.report.pictures import Album, Thumb

Row = dict[str, Any]

ELSEWHERE = "its pixels are not here"
SEMANTIC = "semantic"


class Shown(NamedTuple):
    """One image on the page."""

    sample: str
    thumb: Thumb
    kept: bool | None
    """Null: an image of another dataset."""
    label: str
    split: str
    note: str


class Example(NamedTuple):
    """An image that was removed or flagged, and the one it was weighed against, if any."""

    subject: Shown
    beside: Shown | None


class Pair(NamedTuple):
    """Two images that are alike: how, how much, and what makes them equal."""

    left: Shown
    right: Shown
    title: str
    facts: list[str]


_SHORT = pl.min_horizontal("width", "height")
_LONG = pl.max_horizontal("width", "height")
_SHAPE = pl.format("{} {} {} pixels", "width", pl.lit(words.TIMES), "height")
_GREY = pl.format("mean grey {}", pl.col("brightness").round(3))

MEASURED: dict[str, tuple[pl.Expr, pl.Expr]] = {
    "too_small": (-_SHORT, _SHAPE),
    "odd_aspect": (_LONG / _SHORT, _SHAPE),
    "blurred": (-pl.col("sharpness"), pl.format("sharpness {}", pl.col("sharpness").round(1))),
    "dark": (-pl.col("brightness"), _GREY),
    "bright": (pl.col("brightness"), _GREY),
    "low_information": (-pl.col("entropy"), pl.format("{} bits", pl.col("entropy").round(2))),
    "animated": (pl.col("frames"), pl.format("{} frames", "frames")),
    "wrong_extension": (pl.col("digest"), pl.format("is a {} file", "format")),
}
"""How far an image lies beyond the limit of a check, nearest least, and how to say its value."""


class Gallery:
    """Chooses from one ledger; the same examples for the same tables."""

    def __init__(self, rows: pl.DataFrame, tables: Tables, album: Album) -> None:
        self._rows = rows
        self._pairs = tables.pairs
        self._leaks = tables.leaks
        self._album = album
        self._beside = companions(rows, tables)

    def removed(self, code: str, stage: str, count: int) -> list[Example]:
        """Return up to ``count`` images that ``stage`` left out for ``code``."""
        bears = pl.col("reasons").list.contains(code)
        return self._examples(self._rows.filter(bears, stage=stage), code, count)

    def flagged(self, code: str, count: int) -> list[Example]:
        """Return up to ``count`` kept images with the flag ``code``."""
        bears = pl.col("flags").list.contains(code)
        return self._examples(self._rows.filter(KEPT, bears), code, count)

    def pairs(self, count: int) -> list[Pair]:
        """Return the pairs with the lowest scores: those most open to doubt."""
        chosen = self._pairs.sort("score", "a", "b").head(count)
        seen = self._first_of(pl.concat([chosen["a"], chosen["b"]]))
        return [
            Pair(seen[row["a"]], seen[row["b"]], _tier(row["tier"]), _likeness(row))
            for row in chosen.iter_rows(named=True)
        ]

    def leaks(self, count: int) -> list[Pair]:
        """Return the leaks that remain, then those removed, the lowest scores first in each.

        So many of each kind at most that every kind is shown.
        """
        each = pl.int_range(pl.len()).over("kind")
        lowest = self._leaks.sort("score", "a", "b", "kind", nulls_last=True)
        chosen = lowest.sort(each, pl.col("removed").is_not_null(), maintain_order=True).head(count)
        named = self._named(pl.concat([chosen["a"], chosen["b"]]))
        return [
            Pair(self._end(row["a"], named), self._end(row["b"], named), *_leak(row))
            for row in chosen.iter_rows(named=True)
        ]

    def _end(self, sample: str, named: dict[str, Row]) -> Shown:
        """Return an image of a leak; of another dataset nothing but its name is known."""
        if sample in named:
            return self._shown(named[sample])
        return Shown(sample, Thumb("", 0, 0, ELSEWHERE), None, "", "", "")

    def _examples(self, rows: pl.DataFrame, code: str, count: int) -> list[Example]:
        """Nearest calls first where the check measures something, else by content hash.

        Images with other reasons besides come later, and pictures seen already last.
        """
        near, note = MEASURED.get(code, (pl.col("digest"), pl.col("detail")))
        again = pl.col("sample").rank("ordinal").over("digest")
        order = [again, pl.col("reasons").list.len(), near, pl.col("digest"), pl.col("sample")]
        chosen = (
            rows.with_columns(note.alias("note"))
            .sort(order, nulls_last=True)
            .head(count)
            .join(self._beside, on="sample", how="left", maintain_order="left")
        )
        others = self._named(chosen["beside"].drop_nulls())
        return [self._example(row, others) for row in chosen.iter_rows(named=True)]

    def _example(self, row: Row, others: dict[str, Row]) -> Example:
        other = others.get(row["beside"])
        return Example(self._shown(row), self._shown(other) if other else None)

    def _named(self, samples: pl.Series) -> dict[str, Row]:
        found = self._rows.filter(pl.col("sample").is_in(samples.implode()))
        return {row["sample"]: row for row in found.iter_rows(named=True)}

    def _first_of(self, digests: pl.Series) -> dict[str, Shown]:
        """Return one sample for each content hash: a kept one if there is any."""
        found = self._rows.filter(pl.col("digest").is_in(digests.implode()))
        firsts = found.sort(~KEPT, "sample").unique("digest", keep="first", maintain_order=True)
        return {row["digest"]: self._shown(row) for row in firsts.iter_rows(named=True)}

    def _shown(self, row: Row) -> Shown:
        thumb = self._album.thumb(row["digest"])
        names = (row["label"] or "", row["split"] or "", row.get("note") or "")
        return Shown(row["sample"], thumb, row["stage"] is None, *names)


def companions(rows: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Return ``sample`` and ``beside``: what stays for it, leaks to it or contradicts it."""
    kept = rows.filter(pl.col("kept_as").is_not_null()).select("sample", beside="kept_as")
    gone = tables.leaks.filter(pl.col("removed").is_not_null())
    other = pl.when(pl.col("removed") == pl.col("a")).then("b").otherwise("a")
    leaked = gone.sort("a", "b", "kind").select(sample="removed", beside=other)
    every = pl.concat([kept, leaked, _contradicted(rows, tables.pairs)])
    return every.unique("sample", keep="first", maintain_order=True)


def _contradicted(rows: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the copies that disagree, each with the first that it disagrees with."""
    wrong = rows.filter(pl.col("reasons").list.contains("conflicting_copies"))
    said = wrong.select("digest", "sample", "label", "identity")
    both = pairs.select("a", "b")
    same = said.select(pl.col("digest").alias("a"), pl.col("digest").alias("b")).unique()
    links = pl.concat([both, both.select(a="b", b="a"), same])
    joined = said.join(links, left_on="digest", right_on="a").join(
        said, left_on="b", right_on="digest", suffix="_other"
    )
    differ = pl.col("label").ne_missing(pl.col("label_other")) | pl.col("identity").ne_missing(
        pl.col("identity_other")
    )
    first = joined.filter(differ).group_by("sample").agg(pl.col("sample_other").min())
    return first.select("sample", beside="sample_other").sort("sample")


def _tier(tier: str) -> str:
    return words.TIERS.get(tier, tier)


def _likeness(row: Row) -> list[str]:
    facts = []
    if row["score"] is not None:
        facts.append(f"likeness {row['score']:.3f}")
    if row["distance"] is not None:
        facts.append(f"{row['distance']} bits apart")
    if SEMANTIC in (row.get("tier"), row.get("kind")):
        facts.append(f"similarity {row['similarity']:.3f}")
    if row["transform"] not in (None, "none"):
        facts.append(f"right one {words.TRANSFORMS.get(row['transform'], row['transform'])}")
    return facts


def _leak(row: Row) -> tuple[str, list[str]]:
    removed = "nothing removed"
    if row["removed"] is not None:
        side, split = ("left", "split_a") if row["removed"] == row["a"] else ("right", "split_b")
        removed = f"the {side} one leaves {row[split] or 'the dataset'}"
    ends = " and ".join(row[end] or "no split" for end in ("split_a", "split_b"))
    return f"{_tier(row['kind'])} in {ends}", [*_likeness(row), removed]
