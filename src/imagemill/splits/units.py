"""Units: the sets of images that must stay in one split, and those that frozen ones draw in."""

from dataclasses import dataclass

import polars as pl

from imagemill import clusters
from imagemill.splits.settings import Config

JOINS = "joins_splits"
"""Reason of a newcomer that would join what is frozen in different splits."""


@dataclass(frozen=True)
class Bonds:
    """What holds images together."""

    images: pl.DataFrame
    """``node, digest, fixed``: kept images in the order of their digests, then others that are
    frozen; ``fixed`` is the frozen split, or null."""
    kept: int
    """The nodes below this are kept."""
    pairs: pl.DataFrame
    """``a, b``: nodes of verified copies."""
    hubs: pl.DataFrame
    """``hub, node, name``: a row for each group or identity and each image in it."""


def bonds(
    rows: pl.DataFrame, away: pl.DataFrame, pairs: pl.DataFrame, held: pl.DataFrame, config: Config
) -> Bonds:
    """Return what holds ``rows`` together.

    A frozen image that is not kept now still holds its copies and its group: one that takes its
    place, being larger perhaps, belongs where it was.
    """
    here = rows.select(pl.col("digest").unique().sort())
    pairs = pairs.select("a", "b").filter("copies" in config.together)
    named = pl.concat([pairs["a"], pairs["b"], away["digest"]]).unique().rename("digest").to_frame()
    gone = held.join(here, on="digest", how="anti").join(named, on="digest", how="semi")
    listed = pl.concat([here, gone.select("digest").sort("digest")])
    images = listed.with_row_index("node").cast({"node": pl.Int64})
    nodes = images.select("node", "digest")
    linked = pairs.join(nodes, left_on="a", right_on="digest").rename({"node": "left"})
    linked = linked.join(nodes, left_on="b", right_on="digest").select(a="left", b="node")
    known = held.select("digest", fixed="split")
    images = images.join(known, on="digest", how="left", maintain_order="left")
    told = [rows, away.join(gone, on="digest", how="semi")]
    said = pl.concat([each.select("digest", "group", "identity") for each in told])
    return Bonds(images, len(here), linked, _hubs(said, nodes, config))


def _hubs(rows: pl.DataFrame, nodes: pl.DataFrame, config: Config) -> pl.DataFrame:
    parts = [
        rows.filter(pl.col(kind).is_not_null()).select(
            "digest", name=pl.format("!{} {}", pl.lit(kind), kind)
        )
        for kind in config.bonds
        if kind != "copies"
    ]
    empty = pl.DataFrame(schema={"digest": pl.String, "name": pl.String})
    named = pl.concat([empty, *parts]).unique().join(nodes, on="digest")
    hub = pl.col("name").rank("dense").cast(pl.Int64) - 1 + len(nodes)
    return named.select(hub.alias("hub"), "node", "name")


def drawn_in(found: Bonds) -> pl.DataFrame:
    """Return ``node, split, out``: kept images whose split follows from what is frozen.

    The rule: newcomers that hang together and touch one frozen split go there. Where they touch
    several, the split that most of them touch has them (a tie goes to the first by name), and each
    that touches another one is left ``out``, with no split.
    """
    held = found.images.filter(pl.col("fixed").is_not_null())
    free = found.images.filter(pl.col("fixed").is_null())
    touched = _touched(found, held, free)
    sets = free.select("node", unit=_connected(found, free))
    touching = touched.join(sets, on="node")
    counts = touching.group_by("unit", "fixed").len()
    chosen = counts.sort("unit", pl.col("len").cast(pl.Int64).neg(), "fixed").unique(
        "unit", keep="first", maintain_order=True
    )
    followers = sets.join(chosen.select("unit", "fixed"), on="unit")
    other = touching.join(chosen.select("unit", goal="fixed"), on="unit")
    out = other.filter(pl.col("fixed") != pl.col("goal"))["node"].unique()
    left_out = pl.col("node").is_in(out.implode())
    follow = followers.select("node", split=pl.when(~left_out).then("fixed"), out=left_out)
    stay = held.filter(pl.col("node") < found.kept).select(
        "node", split="fixed", out=pl.lit(value=False)
    )
    return pl.concat([stay, follow])


def _touched(found: Bonds, held: pl.DataFrame, free: pl.DataFrame) -> pl.DataFrame:
    """Return ``node, fixed``: which frozen splits each newcomer is bound to directly."""
    both = pl.concat([found.pairs, found.pairs.select(a="b", b="a")])
    by_copy = both.join(held, left_on="b", right_on="node").select("fixed", node="a")
    kinds = found.hubs.join(held, on="node").select("hub", "fixed").unique()
    by_hub = found.hubs.join(kinds, on="hub").select("fixed", "node")
    return pl.concat([by_copy, by_hub]).unique().join(free, on="node", how="semi")


def _connected(found: Bonds, free: pl.DataFrame) -> pl.Series:
    """Return the least connected node of each node of ``free``, by bonds among those alone.

    A group with frozen images connects none: each of its newcomers is bound to those.
    """
    pairs = found.pairs.join(free, left_on="a", right_on="node", how="semi")
    pairs = pairs.join(free, left_on="b", right_on="node", how="semi")
    tied = found.hubs.join(free, on="node", how="anti").select("hub")
    hubs = found.hubs.join(tied, on="hub", how="anti")
    ends = pl.concat([pairs.select("a", "b"), hubs.select(a="node", b="hub")])
    last = found.hubs["hub"].max()
    count = max(len(found.images), 0 if last is None else int(last) + 1)  # type: ignore[arg-type]
    least = clusters.components(count, ends["a"].to_numpy(), ends["b"].to_numpy())
    return pl.Series("unit", least[free["node"].to_numpy()], pl.Int64)


def units(found: Bonds) -> pl.DataFrame:
    """Return ``node, unit, name`` of every kept image, whatever is frozen.

    A unit's name is that of its first group or identity, which stays when images come and go, or
    else its least digest.
    """
    every = found.images.filter(pl.col("node") < found.kept)
    sets = every.select("node", "digest", unit=_connected(found, every))
    names = found.hubs.join(sets, on="node").group_by("unit").agg(pl.col("name").min())
    least = sets.group_by("unit").agg(pl.col("digest").min())
    named = least.join(names, on="unit", how="left")
    named = named.select("unit", name=pl.coalesce("name", "digest"))
    return sets.select("node", "unit").join(named, on="unit", how="left", maintain_order="left")
