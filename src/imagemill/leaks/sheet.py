"""What people read of leaks: the CSV of the cleaning guide, and the summary in words."""

import polars as pl

from imagemill.leaks.across import inverse
from imagemill.leaks.counts import Counts

FILE, SUMMARY, LABELS = "leaks.csv", "summary.txt", "labels.csv"

TRAIN = "train"

COLUMNS = (
    "train_image",
    "test_image",
    "method",
    "similarity",
    "leak_type",
    "hamming_distance",
    "transform",
    "score",
    "train_split",
    "test_split",
    "train_label",
    "test_label",
    "shared",
    "removed",
)
"""The cleaning guide's six, then ours.

``method``: exact, perceptual, semantic; group for what no comparison of images finds.
``similarity``: 0 to 1. 1 for equal files and pixels, 1 - ``hamming_distance`` / 64 for perceptual,
the cosine of the embeddings for semantic, empty for groups.
``leak_type``: bytes, pixels, perceptual, semantic, group, identity, against (another dataset).
``hamming_distance``: bits of 64; empty where no hashes were compared.
``transform``: what takes the test image to the training image.
``score``: verified likeness, -1 to 1; empty where none was verified.
``shared``: what both have, where a value says so: the file's sha256, the group, the identity.
"""


def rows(leaks: pl.DataFrame, remove_from: list[str]) -> pl.DataFrame:
    """Return ``tables.LEAKS`` with the columns ``COLUMNS``, in the order of the table.

    The training image is the one in a split called train; of others, the one whose split
    ``remove_from`` names later; of those that it does not name, the first by name.
    """
    turned = _rank("split_b", remove_from) < _rank("split_a", remove_from)

    def side(name: str, *, train: bool) -> pl.Expr:
        one, other = ("a", "b") if train else ("b", "a")
        ends = (f"{name}_{one}", f"{name}_{other}") if name else (one, other)
        return pl.when(turned).then(ends[1]).otherwise(ends[0])

    transform = pl.when(turned).then(inverse(pl.col("transform"))).otherwise("transform")
    return leaks.select(
        side("", train=True).alias("train_image"),
        side("", train=False).alias("test_image"),
        "method",
        "similarity",
        pl.col("kind").alias("leak_type"),
        pl.col("distance").alias("hamming_distance"),
        transform,
        "score",
        side("split", train=True).alias("train_split"),
        side("split", train=False).alias("test_split"),
        side("label", train=True).alias("train_label"),
        side("label", train=False).alias("test_label"),
        "shared",
        "removed",
    ).select(*COLUMNS)


def labels(kept: pl.DataFrame) -> pl.DataFrame:
    """Return how many ``kept`` images of each label each split has, and their share of the split.

    ``place`` names both, for a plot.
    """
    place = pl.format("{} {}", pl.col("split").fill_null("all"), pl.col("label").fill_null("-"))
    counted = kept.group_by("split", "label").agg(pl.len().alias("images"))
    share = (pl.col("images") / pl.col("images").sum().over("split")).round(6).alias("share")
    return counted.with_columns(share, place.alias("place")).sort("split", "label")


def _rank(split: str, remove_from: list[str]) -> pl.Expr:
    """Return a text by which splits sort, those to train on first."""
    named = {name: f"2 {len(remove_from) - at:04}" for at, name in enumerate(remove_from)}
    ranks = {**named, TRAIN: "0"}
    benchmark = pl.col("kind") == "against"
    other = pl.format("1 {}", pl.col(split))
    known = pl.col(split).replace_strict(ranks, default=None, return_dtype=pl.String)
    last = pl.lit("3") if split == "split_b" else pl.lit("0")
    return pl.when(benchmark).then(last).otherwise(pl.coalesce(known, other))


def summary(
    sizes: dict[str | None, int], made: str, before: Counts, after: Counts, how: list[str]
) -> str:
    """Return what was checked and what came of it, in lines for people."""
    lines = [f"Images in each split, {made}:"]
    lines += [f"  {split or 'no split'}: {count:,}" for split, count in sizes.items()]
    lines += ["", "Checked:", *[f"  {each}" for each in how]]
    lines += ["", f"{'Leaks':<12}{'found':>10}{'left':>10}{'pairs left':>14}{'images left':>13}"]
    for kind, count in before.items():
        left = after[kind]
        lines.append(
            f"{kind:<12}{count.worth:>10,}{left.worth:>10,}{left.pairs:>14,}{left.images:>13,}"
        )
    lines += [
        "",
        "Found and left count pairs of images; of bytes, group and identity the files, groups and",
        "identities that lie in several splits. leaks.csv lists them.",
    ]
    return "\n".join(lines) + "\n"
