"""What is known of a folder with planted copies, and what a found pair is worth.

A pair of a needle and its original is a hit; two needles of one original are kin, neither hit nor
false; any other pair is one of two originals, which ``judged.csv`` calls the same photo or not.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

JUDGED = Path(__file__).parent / "judged.csv"

PAIRS = {"a": pl.String, "b": pl.String, "distance": pl.Float64}
"""Pairs of file names as every system gives them; the smaller the distance the surer."""


@dataclass(frozen=True)
class Truth:
    """The planted copies of a folder, and the verdicts on pairs of originals."""

    needles: pl.DataFrame  # needle, original, edit, steps
    judged: pl.DataFrame  # a, b (originals, a < b), verdict: same, not, unsure

    @classmethod
    def read(cls, folder: Path) -> "Truth":
        """Read the truth of a planted folder, and all verdicts."""
        judged = pl.read_csv(JUDGED, schema_overrides={"note": pl.String})
        return cls(pl.read_csv(folder / "truth.csv"), judged.select("a", "b", "verdict"))

    def edits(self) -> pl.DataFrame:
        """Return every edit with the number of its needles, in the order of planting."""
        return self.needles.group_by("edit", maintain_order=True).agg(planted=pl.len())

    def sorted_out(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Return ``pairs`` with ``one``, ``other`` (originals), ``kind`` and ``edit``.

        Kinds are hit, kin, same, not, unsure and unjudged.
        """
        owner = self.needles.select(file="needle", owner="original", edit="edit")
        for side in ("a", "b"):
            named = owner.rename({"owner": f"owner_{side}", "edit": f"edit_{side}"})
            pairs = pairs.join(named, left_on=side, right_on="file", how="left")
        left, right = (pl.coalesce(f"owner_{side}", side) for side in ("a", "b"))
        pairs = pairs.with_columns(
            one=pl.min_horizontal(left, right),
            other=pl.max_horizontal(left, right),
            both=pl.col("edit_a").is_not_null() & pl.col("edit_b").is_not_null(),
        )
        verdicts = self.judged.rename({"a": "one", "b": "other"})
        pairs = pairs.join(verdicts, on=["one", "other"], how="left")
        own = pl.when("both").then(pl.lit("kin")).otherwise(pl.lit("hit"))
        judged = pl.col("verdict").fill_null("unjudged")
        kind = pl.when(pl.col("one") == pl.col("other")).then(own).otherwise(judged)
        edit = pl.when(kind == "hit").then(pl.coalesce("edit_a", "edit_b"))
        names = ("a", "b", "distance", "one", "other")
        return pairs.select(*names, kind.alias("kind"), edit.alias("edit"))
