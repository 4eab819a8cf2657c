"""How far several reviewers say the same of the same images: plain share, and Cohen's kappa."""

from itertools import combinations
from typing import NamedTuple

import polars as pl

from imagemill.reviews.standing import AGREES, IN_FORCE, ITEM, OVERRULED


class Kappa(NamedTuple):
    """Agreement of two people on what both judged."""

    one: str
    two: str
    both: int
    """Images, annotations and pairs that both judged."""
    agreed: int
    kappa: float | None
    """Cohen's (1960): 1 is full agreement, 0 what chance would give; null where both always say
    one and the same thing, and chance alone would make them agree."""


def kappas(reviews: pl.DataFrame) -> list[Kappa]:
    """Return the agreement of every two people who judged anything in common.

    ``reviews``: ``tables.REVIEWS``. A verdict is its action, and of ``relabel`` the new label.
    """
    stands = reviews.filter(pl.col("state").is_in([IN_FORCE, AGREES, OVERRULED]))
    shared = stands.filter(pl.len().over(ITEM) > 1)
    said = shared.select(*ITEM, "reviewer", word=pl.format("{} {}", "action", "label"))
    people = said["reviewer"].unique().sort().to_list()
    found = [_kappa(said, one, two) for one, two in combinations(people, 2)]
    return [each for each in found if each.both]


def _kappa(said: pl.DataFrame, one: str, two: str) -> Kappa:
    first, second = (said.filter(reviewer=each).drop("reviewer") for each in (one, two))
    both = first.join(second, on=ITEM, suffix="_two")
    count, agreed = len(both), int((both["word"] == both["word_two"]).sum())
    chance = _chance(both) if count else 1.0
    kappa = None if chance == 1 else (agreed / count - chance) / (1 - chance)
    return Kappa(one, two, count, agreed, kappa)


def _chance(both: pl.DataFrame) -> float:
    """Return how often two who say each word as often as these would agree by chance."""
    one = both.group_by("word").agg(n=pl.len())
    two = both.group_by(word="word_two").agg(m=pl.len())
    products = one.join(two, on="word").select(pl.col("n").cast(pl.Int64) * pl.col("m"))
    return float(products.sum().item() or 0) / len(both) ** 2
