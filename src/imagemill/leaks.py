"""Splits that share nothing: check the given ones, or assign new ones; then the final manifest."""

from bisect import bisect_right
from hashlib import sha256
from itertools import accumulate
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from imagemill import clusters, layouts
from imagemill.config import Section
from imagemill.errors import GateError
from imagemill.progress import say
from imagemill.tables import INVERSE, LEAKS, MANIFEST, TRANSFORMS

Bond = Literal["copies", "group", "identity"]


class Config(Section):
    """Where splits come from, and what must not lie on both sides of one."""

    splits: Literal["given", "assigned"]
    """Taken from the sources, or made here."""
    fractions: dict[str, Annotated[float, Field(gt=0, le=1)]]
    """Share of the units for each assigned split; a unit is what must stay together."""
    seed: int
    """Of the assignment."""
    together: list[Bond]
    """What must stay in one split: verified copies, groups, identities."""
    remove_from: list[str]
    """Given splits that lose an image which leaks, the first named first."""
    gate: Literal["fail", "warn"]
    """What a leak that remains does to the build."""
    min_images: Annotated[int, Field(ge=1)]
    """Images that an identity or label must have in the end."""

    @model_validator(mode="after")
    def _name_the_splits(self) -> Self:
        if self.splits == "assigned" and not self.fractions:
            raise ValueError("`fractions` must name the splits to assign, such as {train: 1.0}")
        return self


def decide(
    samples: pl.DataFrame, verdicts: pl.DataFrame, pairs: pl.DataFrame, config: Config
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the final manifest and the leaks found, as ``tables.MANIFEST`` and ``LEAKS``.

    Raises ``GateError`` when a leak remains and the gate is set to fail.
    """
    said = samples.drop("label", "reason", "detail", "kept_as")
    rows = said.join(verdicts, on="sample", how="left", maintain_order="left")
    if config.splits == "assigned":
        rows = _assign(rows, pairs, config)
    found = _across(rows, pairs, config)
    everything, gone = [found], set[str]()
    # Where a whole group leaks, a round shows but some of its pairs; the next one shows the rest.
    while leavers := _leavers(found, config):
        gone |= leavers
        rows = _remove(rows, pl.col("sample").is_in(list(leavers)), "leak")
        found = _across(rows, pairs, config)
        everything.append(found)
    rows = _remove(rows, _few(config.min_images), "identity_too_small")
    _gate(_across(rows, pairs, config), config)
    leaks = pl.concat(everything).unique(["a", "b", "kind"])
    return rows.select(*MANIFEST.columns), _blamed(leaks, gone).sort("a", "b", "kind")


IN = pl.col("verdict") == "keep"


def _few(min_images: int) -> pl.Expr:
    return IN.sum().over(layouts.unit()) < min_images


def _remove(rows: pl.DataFrame, which: pl.Expr, reason: str) -> pl.DataFrame:
    hit = IN & which
    longer = pl.col("reasons").list.concat(pl.lit([reason], pl.List(pl.String)))
    return rows.with_columns(
        pl.when(hit).then(longer).otherwise("reasons").alias("reasons"),
        pl.when(hit).then(pl.lit("remove")).otherwise("verdict").alias("verdict"),
    )


def _assign(rows: pl.DataFrame, pairs: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Give each unit of bound samples a split by a hash of the unit's name."""
    kept = rows.filter(IN)
    units = clusters.connected(_bonds(kept, pairs, config.together))
    chosen = {
        digest: _draw(units.get(digest, digest), config) for digest in kept["digest"].unique()
    }
    split = pl.col("digest").replace_strict(chosen, default=None, return_dtype=pl.String)
    return rows.with_columns(pl.when(IN).then(split).alias("split"))


def _bonds(kept: pl.DataFrame, pairs: pl.DataFrame, kinds: list[Bond]) -> list[tuple[str, str]]:
    """Return pairs that may not be parted: of content hashes, or of one with its group's name.

    The least member names a unit. A group's name sorts before all hashes, so that the group stays
    where it is when it gets another image.
    """
    found: list[tuple[str, str]] = []
    if "copies" in kinds:
        digests = kept["digest"].implode()
        here = pl.col("a").is_in(digests) & pl.col("b").is_in(digests)
        found += pairs.filter(here).select("a", "b").iter_rows()
    for kind in ("group", "identity"):
        if kind in kinds:
            members = kept.filter(pl.col(kind).is_not_null())
            name = pl.format("!{} {}", pl.lit(kind), kind)
            found += members.select(name.alias("name"), "digest").iter_rows()
    return found


def _draw(unit: str, config: Config) -> str:
    """Return the split of a unit: its hash, as a number in 0..1, on the cumulated fractions."""
    number = int(sha256(f"{config.seed}:{unit}".encode()).hexdigest()[:12], 16) / 16**12
    names = list(config.fractions)
    reached = list(accumulate(config.fractions.values()))
    return names[min(bisect_right(reached, number * reached[-1]), len(names) - 1)]


def _across(rows: pl.DataFrame, pairs: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return every pair of kept samples in different splits that share what must not be."""
    kept = rows.filter(IN & pl.col("split").is_not_null()).sort("sample")
    sides = kept.select("sample", "digest", "group", "identity", "split")
    parts = [_same(sides, "digest", "bytes"), _alike(sides, pairs)]
    parts += [_same(sides, kind, kind) for kind in ("group", "identity") if kind in config.together]
    return pl.concat(parts).sort("a", "b", "kind")


def _same(sides: pl.DataFrame, column: str, kind: str) -> pl.DataFrame:
    """Return each sample with the least one of each other split that has the same ``column``.

    All pairs would be too many: a group may have a hundred thousand images.
    """
    spread = pl.col("split").n_unique().over(column) > 1
    shared = sides.filter(pl.col(column).is_not_null()).filter(spread)
    least = shared.group_by(column, "split").agg(pl.col("sample").min())
    left = shared.select(pl.col(column), one="sample", split_one="split")
    right = least.select(pl.col(column), other="sample", split_other="split")
    pairs = left.join(right, on=column).filter(pl.col("split_one") != pl.col("split_other"))
    turned = pl.col("one") > pl.col("other")
    return pairs.select(
        pl.min_horizontal("one", "other").alias("a"),
        pl.max_horizontal("one", "other").alias("b"),
        pl.when(turned).then("split_other").otherwise("split_one").alias("split_a"),
        pl.when(turned).then("split_one").otherwise("split_other").alias("split_b"),
        pl.lit(kind).alias("kind"),
        pl.lit(None, pl.Int32).alias("distance"),
        pl.lit(None, pl.String).alias("transform"),
        pl.lit(None, pl.Float32).alias("score"),
        pl.lit(None, pl.String).alias("removed"),
    ).unique()


def _alike(sides: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    left = sides.select(digest_a="digest", sample_a="sample", split_a="split")
    right = sides.select(digest_b="digest", sample_b="sample", split_b="split")
    named = pairs.rename({"a": "digest_a", "b": "digest_b", "tier": "kind"})
    both = named.join(left, on="digest_a").join(right, on="digest_b")
    turned = pl.col("sample_a") > pl.col("sample_b")
    return (
        both.filter(pl.col("split_a") != pl.col("split_b"))
        .with_columns(
            pl.min_horizontal("sample_a", "sample_b").alias("a"),
            pl.max_horizontal("sample_a", "sample_b").alias("b"),
            pl.when(turned).then("split_b").otherwise("split_a").alias("split_a"),
            pl.when(turned).then("split_a").otherwise("split_b").alias("split_b"),
            pl.when(turned).then(_inverse()).otherwise("transform").alias("transform"),
            pl.lit(None, pl.String).alias("removed"),
        )
        .select(*LEAKS.columns)
    )


def _inverse() -> pl.Expr:
    """Return the transform that undoes another."""
    undone = {name: TRANSFORMS[number] for name, number in zip(TRANSFORMS, INVERSE, strict=True)}
    return pl.col("transform").replace(undone)


def _leavers(found: pl.DataFrame, config: Config) -> set[str]:
    """Return the samples that go: of each leaking pair the one in the split named first.

    The splits named last lose theirs first, so that what has left no longer makes others leave.
    """
    ranks = {split: rank for rank, split in enumerate(config.remove_from)}
    last = len(ranks)
    leaving: dict[int, list[tuple[str, str]]] = {}
    for a, b, split_a, split_b in found.select("a", "b", "split_a", "split_b").iter_rows():
        left, right = ranks.get(split_a, last), ranks.get(split_b, last)
        if left != right:
            leaving.setdefault(min(left, right), []).append((a, b) if left < right else (b, a))
    gone: set[str] = set()
    for rank in sorted(leaving, reverse=True):
        gone |= {goes for goes, stays in leaving[rank] if stays not in gone}
    return gone


def _blamed(found: pl.DataFrame, gone: set[str]) -> pl.DataFrame:
    left = pl.Series(sorted(gone), dtype=pl.String).implode()
    removed = pl.when(pl.col("a").is_in(left)).then("a").when(pl.col("b").is_in(left)).then("b")
    return found.with_columns(removed.alias("removed"))


def _gate(left: pl.DataFrame, config: Config) -> None:
    if left.is_empty():
        return
    worst = left.sort(pl.col("score").neg(), "a", nulls_last=False).head(5)
    shown = "\n".join(
        f"  {row['a']} ({row['split_a']}) ~ {row['b']} ({row['split_b']}): {row['kind']}"
        for row in worst.iter_rows(named=True)
    )
    message = (
        f"leaks: {len(left):,} pairs still lie across splits, such as\n{shown}\n"
        "Name the splits that may lose images in `leaks.remove_from`, use `leaks=assigned`, "
        "or set `leaks.gate: warn`."
    )
    if config.gate == "fail":
        raise GateError(message)
    say(f"warning: {message}")


def summary(manifest: pl.DataFrame, found: pl.DataFrame) -> str:
    """Return the split sizes and the count of leaks in one line."""
    sizes = manifest.filter(IN).group_by("split").len().sort("split")
    said = ", ".join(f"{split or 'no split'} {count:,}" for split, count in sizes.iter_rows())
    return f"leaks: {len(found):,} pairs across splits found; final splits: {said}"
