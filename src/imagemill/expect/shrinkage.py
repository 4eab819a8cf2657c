"""Where a source's listing has lost identities since the last build."""

from typing import NamedTuple

import polars as pl

from imagemill import layouts
from imagemill.errors import GateError

SHOWN = 5
"""Prefixes that a message names."""

GONE = 0.9
"""Share of a prefix's identities that are lost when it counts as gone."""

MANY = 100
"""More folders than this beside each other are told apart by their first character alone."""

SMALL = 0.01
"""Share of all losses below which a prefix is not looked into."""


class Loss(NamedTuple):
    """Identities whose first key began so: in the last build, and of these now."""

    prefix: str
    before: int
    now: int

    @property
    def lost(self) -> int:
        """Identities that are there no more."""
        return self.before - self.now

    def __str__(self) -> str:
        more = "" if self.prefix.endswith("/") else "*"
        return f"{self.prefix}{more}: {self.before:,} identities before, {self.now:,} now"


def shrunk(before: pl.DataFrame, now: pl.DataFrame, most: float | None) -> None:
    """Refuse a listing in which a source has far fewer identities than in the last build.

    Both frames have ``source``, ``key``, ``identity`` and ``label``; ``most`` is the share of a
    source's identities (or labels) that may go, null any. Sources that only one of them has are
    not compared. Raises ``GateError`` that names each source and the prefixes that were lost.
    """
    if most is None:
        return
    was, is_now = _counted(before), _counted(now)
    short = [
        _explain(name, count, is_now[name], most, losses(before, now, name))
        for name, count in was.items()
        if name in is_now and is_now[name] < count * (1 - most)
    ]
    if short:
        raise GateError("\n".join(short))


def losses(before: pl.DataFrame, now: pl.DataFrame, source: str) -> list[Loss]:
    """Return the prefixes of keys under which a source lost identities, those that lost most first.

    They are the widest that lost nearly all; where these explain less than half of the loss, the
    first level at which keys differ.
    """
    first = _first_keys(before, source)
    there = _first_keys(now, source)["unit"]
    marked = first.select("key", kept=pl.col("unit").is_in(there.implode()))
    lost = len(marked) - int(marked["kept"].sum())
    gone = _gone(marked, "", max(1, round(SMALL * lost)))
    explained = sum(loss.lost for loss in gone)
    found = gone if explained * 2 >= lost else [loss for loss, _ in _divided(marked, "")]
    return sorted(found, key=lambda loss: (-loss.lost, loss.prefix))


def _counted(listing: pl.DataFrame) -> dict[str, int]:
    units = listing.group_by("source").agg(layouts.unit().drop_nulls().n_unique().alias("count"))
    return dict(units.sort("source").iter_rows())


def _first_keys(listing: pl.DataFrame, source: str) -> pl.DataFrame:
    told = listing.filter(source=source).select("key", unit=layouts.unit()).drop_nulls("unit")
    return told.group_by("unit").agg(pl.col("key").min())


def _gone(rows: pl.DataFrame, prefix: str, least: int) -> list[Loss]:
    found = []
    for loss, part in _divided(rows, prefix):
        if loss.lost < least:
            continue
        if loss.lost >= GONE * loss.before:
            found.append(loss)
        else:
            found += _gone(part, loss.prefix, least)
    return found


def _divided(rows: pl.DataFrame, prefix: str) -> list[tuple[Loss, pl.DataFrame]]:
    """Divide keys that begin with ``prefix`` where they first differ, with what each part lost."""
    folders = rows.select(_folder(prefix)).to_series().unique()
    while len(folders) == 1 and folders[0]:
        prefix += folders[0]
        folders = rows.select(_folder(prefix)).to_series().unique()
    by_name = len(folders) > MANY or "" in folders
    step = pl.col("key").str.slice(len(prefix), 1) if by_name else _folder(prefix)
    parts = rows.with_columns(step.alias("_step")).partition_by("_step", as_dict=True)
    return [
        (Loss(f"{prefix}{name}", len(part), int(part["kept"].sum())), part)
        for (name,), part in parts.items()
        if name
    ]


def _folder(prefix: str) -> pl.Expr:
    """Return the next folder of a key after ``prefix``, with its slash; empty for a file."""
    return pl.col("key").str.slice(len(prefix)).str.extract("^([^/]*/)").fill_null("")


def _explain(name: str, before: int, now: int, most: float, lost: list[Loss]) -> str:
    prefixes = [f"  {loss}" for loss in lost[:SHOWN]]
    if len(lost) > SHOWN:
        prefixes.append(f"  and {len(lost) - SHOWN:,} more prefixes")
    return "\n".join(
        [
            f"sources.{name}: lists {now:,} identities, and {before:,} at the last build: "
            f"{1 - now / before:.1%} fewer, `expect.max_shrunk` allows {most:.1%}.",
            *prefixes,
            f"Check that the source is whole, and `sources.{name}`: path or prefix, `include`, "
            "layout. If they are gone on purpose, build once with expect.max_shrunk=null.",
        ]
    )
