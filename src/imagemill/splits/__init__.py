"""Assigned splits: units that stay whole, shares that are met, samples that never move.

A *unit* is a connected set of verified copies and groups (and identities, in the open-set mode).
Its samples get one split, so nothing can straddle.

What is *frozen* (``splits/<dataset>.csv``, in Git) never moves. Newcomers that are bound to it
follow it; the others are drawn, by themselves (``draw: hashed``) or to even out the shares
(``draw: even``). See ``splits.units`` and ``splits.even`` for the rules and the bound.

Without the file no rule can be sticky and more: if a sample is to stay wherever it is, whatever
else comes or goes, its split is a function of that sample alone. Then shares are met by chance
only, and two samples that turn out to be copies may be on two sides already. ``hashed`` is that
function, of a unit's name: nothing moves, but units that a newcomer joins or, where a unit has no
group to name it, a newcomer with a lesser hash renames.
"""

import numpy as np
import polars as pl

from imagemill.errors import ConfigError, suggest
from imagemill.splits import draw, even, frozen, mend, units
from imagemill.splits.settings import Bond, Config

__all__ = ["Bond", "Config", "assign", "frozen"]


def assign(
    rows: pl.DataFrame,
    pairs: pl.DataFrame,
    config: Config,
    held: pl.DataFrame | None = None,
    away: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Give each sample a split: ``sample``, ``split``, ``fold`` (Int32), ``reason``, as ``rows``.

    ``rows``: the samples that are kept, with ``sample, digest, label, identity, group``.
    ``pairs``: ``a, b``, digests of verified copies; those of others do no harm.
    ``held``: ``digest, split`` as ``frozen.read`` returns it; None when nothing is frozen.
    ``away``: samples that are not kept, with ``digest, group, identity``; of these, what is frozen
    still holds its group.
    ``reason`` is null, or ``joins_splits`` where ``split`` is null: a newcomer that would join
    what is frozen in different splits. The result depends on no order; one thread of Python.
    """
    held = frozen.empty() if held is None else held
    away = rows.clear() if away is None else away
    _refuse_unknown(held, config)
    given = rows.select("sample", "digest", "identity", "group", label=_label(config))
    bonds = units.bonds(given, away, pairs, held, config)
    drawn_in = units.drawn_in(bonds)
    known = bonds.images.select("node", "digest").join(drawn_in, on="node", how="left")
    told = given.join(known, on="digest", how="left", maintain_order="left")
    shares = {name: share for name, share in config.fractions.items() if share > 0}
    newcomers = told.filter(pl.col("split").is_null() & pl.col("out").is_null())
    drawn = _draw(newcomers, told, units.units(bonds), shares, config)
    split = told.join(drawn, on="node", how="left", maintain_order="left").select(
        "sample",
        split=pl.coalesce("split", "drawn"),
        reason=pl.when("out").then(pl.lit(units.JOINS)),
    )
    if not config.folds:
        split = split.with_columns(fold=pl.lit(None, pl.Int32))
    else:
        folds = _folds(given.join(split, on="sample"), pairs, config)
        split = split.join(folds, on="sample", how="left", maintain_order="left")
    return split.select("sample", "split", "fold", "reason")


def _label(config: Config) -> pl.Expr:
    """Return what shares are kept of: an identity that must be in every split, or a label."""
    closed = config.identities == "closed"
    return (pl.coalesce("identity", "label") if closed else pl.col("label")).fill_null("")


def _refuse_unknown(held: pl.DataFrame, config: Config) -> None:
    for name in held["split"].unique().sort():
        if name not in config.fractions:
            raise ConfigError(
                f"leaks.assign.fractions: images are frozen in {name}, which is not named"
                f"{suggest(name, config.fractions)}; name it, with 0 if it takes no newcomers"
            )


def _draw(
    newcomers: pl.DataFrame,
    told: pl.DataFrame,
    sets: pl.DataFrame,
    shares: dict[str, float],
    config: Config,
) -> pl.DataFrame:
    """Return ``node, drawn``: the split of each image of ``newcomers``."""
    placed = newcomers.join(sets, on="node", how="left", maintain_order="left")
    named = placed.select("unit", "name").unique().sort("unit").with_row_index("at")
    numbers = draw.numbers(named["name"], config.seed)
    share = np.array(list(shares.values()))
    if config.draw == "hashed":
        found = draw.alone(numbers, share)
    else:
        at = placed.join(named.select("unit", "at"), on="unit").select("at", "label")
        parts, fixed = _counted(at, told, list(shares))
        given = (parts, numbers, fixed, share / share.sum())
        spread = config.rare == "spread"
        found = mend.mend(even.draw(*given, spread=spread), *given, spread=spread)
    chosen = named.select("unit", drawn=pl.Series(list(shares), dtype=pl.String).gather(found))
    return placed.select("node", "unit").unique().join(chosen, on="unit").select("node", "drawn")


def _counted(
    placed: pl.DataFrame, told: pl.DataFrame, splits: list[str]
) -> tuple[pl.DataFrame, draw.Ints]:
    """Return what ``even.draw`` takes: ``parts``, and what is ``fixed`` in these splits."""
    there = told.filter(pl.col("split").is_in(splits))
    labels = pl.concat([there["label"], placed["label"]]).unique().sort().rename("label").to_frame()
    coded = labels.with_columns(code=pl.int_range(pl.len()))
    parts = placed.join(coded, on="label").group_by(unit=pl.col("at").cast(pl.Int64), label="code")
    column = pl.col("split").replace_strict({name: at for at, name in enumerate(splits)})
    cells = there.join(coded, on="label").group_by("code", column.alias("column")).len()
    fixed = np.zeros((len(labels), len(splits)), np.int64)
    fixed[cells["code"].to_numpy(), cells["column"].to_numpy()] = cells["len"].to_numpy()
    return parts.agg(count=pl.len().cast(pl.Int64)).sort("unit", "label"), fixed


def _folds(rows: pl.DataFrame, pairs: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return ``sample, fold`` for the split that is folded: units stay whole, shares are equal."""
    inside = rows.filter(split=config.folded).drop("split", "reason")
    equal = {f"{fold}": 1 / config.folds for fold in range(config.folds)}
    # By the split's own hashes, those that the split has would all lie in the first folds.
    given = config.model_copy(update={"fractions": equal, "folds": 0, "seed": ~config.seed})
    found = assign(inside, pairs, given)
    return found.select("sample", fold=pl.col("split").cast(pl.Int32))
