"""Copies within the dataset: which of them stays, and what is done where their labels disagree."""

import polars as pl

from imagemill import clusters
from imagemill.clean.settings import Config
from imagemill.reviews.standing import IN_FORCE
from imagemill.reviews.taxonomy import DIFFERENT, SAME
from imagemill.tables import PAIRS

REVIEWED = "reviewed"
"""Tier of a pair that people say is the same."""

SEMANTIC = "semantic"
"""Tier of pairs that are alike and no copies."""

DUPLICATE, CONFLICT = "duplicate", "conflicting_copies"


def believed(pairs: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """Return ``tables.PAIRS`` as people would have it.

    Without the pairs that they call different, and with those that they call the same.
    """
    said = reviews.filter(pl.col("other") != "", state=IN_FORCE)
    said = said.select("action", a="digest", b="other")
    denied = said.filter(action=DIFFERENT)
    stays = pairs.join(denied, on=["a", "b"], how="anti", maintain_order="left")
    copies = stays.filter(pl.col("tier") != SEMANTIC)
    new = said.filter(action=SAME).join(copies, on=["a", "b"], how="anti").sort("a", "b")
    akin = stays.join(new, on=["a", "b"], how="anti", maintain_order="left")
    rows = new.select("a", "b", tier=pl.lit(REVIEWED), transform=pl.lit("none"))
    added = pl.concat([PAIRS.frame(), rows], how="diagonal").select(*PAIRS.columns)
    return pl.concat([akin, added]).sort(PAIRS.key)


def of_samples(rows: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of samples in ``rows``, from pairs of images and equal bytes.

    ``a`` and ``b`` are samples; ``label``, ``identity``, ``split``, ``firm`` and ``may_go`` of both
    have their suffix.
    """
    near = pairs.filter(pl.col("tier") != SEMANTIC).select("a", "b")
    twice = rows.filter(pl.col("digest").is_duplicated())
    ends = pl.concat([near["a"], near["b"]]).unique()
    paired = rows.filter(pl.col("digest").is_in(ends.implode()))
    left, right = _sides(paired)
    other = near.join(left, left_on="a", right_on="digest").join(
        right, left_on="b", right_on="digest"
    )
    left, right = _sides(twice)
    same = left.join(right, on="digest").filter(pl.col("sample_a") < pl.col("sample_b"))
    return (
        pl.concat([other.drop("a", "b"), same.drop("digest")])
        .rename({"sample_a": "a", "sample_b": "b"})
        .sort("a", "b")
    )


_SAID = ["sample", "label", "identity", "split", "firm", "may_go"]


def _sides(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    said = rows.select("digest", *_SAID)
    left = said.select("digest", pl.exclude("digest").name.suffix("_a"))
    return left, said.select("digest", pl.exclude("digest").name.suffix("_b"))


def conflicts(both: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of samples that are said to show different things."""
    return both.filter(
        pl.col("label_a").ne_missing(pl.col("label_b"))
        | (pl.col("identity_a") != pl.col("identity_b"))  # no identity contradicts none
    )


def leaving(both: pl.DataFrame) -> pl.DataFrame:
    """Return ``sample`` and the ``other`` of each pair whose sample may go because of the other.

    One that people keep stays, and one of a split that is not cleaned.
    """
    a = both.filter("may_go_a", ~pl.col("firm_a")).select(sample="a", other="b")
    b = both.filter("may_go_b", ~pl.col("firm_b")).select(sample="b", other="a")
    return pl.concat([a, b]).sort("sample", "other").unique("sample", keep="first").sort("sample")


def copies(rows: pl.DataFrame, both: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return ``sample`` and ``kept_as`` of the copies that go: of several the best one stays.

    ``rows``: samples with facts, ``both``: pairs of them. Copies in different given splits are for
    ``leaks``. One that people keep is best, and never goes.
    """
    both = both.filter(
        pl.col("split_a").eq_missing(pl.col("split_b")),
        ~(pl.col("firm_a") & pl.col("firm_b")),
        "may_go_a",
        "may_go_b",
    )
    if config.keep_copy == "all" or both.is_empty():
        return pl.DataFrame(schema={"sample": pl.String, "kept_as": pl.String})
    ends = pl.concat([both["a"], both["b"]]).unique()
    ranked = rows.filter(pl.col("sample").is_in(ends.implode())).sort(_best(config))["sample"]
    taken = clusters.stars(ranked.to_list(), both.select("a", "b").iter_rows())
    return pl.DataFrame(sorted(taken.items()), ["sample", "kept_as"], orient="row")


def _best(config: Config) -> list[pl.Expr]:
    """Return what sorts samples, the best first."""
    area = pl.col("width").cast(pl.Int64) * pl.col("height")
    rank = pl.col("source").replace_strict(
        config.priority, list(range(len(config.priority))), default=None, return_dtype=pl.Int32
    )
    best = {
        "largest": [area, pl.col("bytes"), pl.col("sharpness")],
        "sharpest": [pl.col("sharpness"), area, pl.col("bytes")],
        "priority": [area, pl.col("bytes"), pl.col("sharpness")],
    }[config.keep_copy]
    trusted = [rank.fill_null(len(config.priority)), pl.col("source")]
    first = trusted if config.keep_copy == "priority" else []
    return [~pl.col("firm"), *first, *(each.neg() for each in best), pl.col("sample")]
