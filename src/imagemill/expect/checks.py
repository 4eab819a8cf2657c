"""Expectations held against what is there, as a table and a line of where to look."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from imagemill import layouts
from imagemill.errors import ConfigError, GateError, suggest
from imagemill.expect.bounds import Bounds, Figures, Photos, Result, said

SHOWN = 5
"""Folders, reasons and samples that a message names."""

OUT = pl.col("reason").is_not_null()


class Check(NamedTuple):
    """One expectation, held against what is there."""

    key: str
    """Where the config has it."""
    expected: str
    actual: str
    wrong: str
    """What is wrong; empty when it is met."""


def sources(listing: pl.DataFrame, expected: Mapping[str, Figures]) -> None:
    """Hold what each source lists against its figures.

    ``listing`` has ``source``, ``key``, ``identity``, ``label`` and ``reason``. Raises
    ``GateError`` with all expectations when one is not met, ``ConfigError`` for an unknown source.
    """
    _refuse_unknown(expected, listing, "expect.sources")
    checks, looks = [], []
    for name, figures in expected.items():
        rows = listing.filter(source=name)
        told = rows.filter(layouts.unit().is_not_null())
        found = _bounded(figures, _figures(told, rows), f"expect.sources.{name}")
        checks += found
        if any(check.wrong for check in found):
            looks.append(_look_at_source(name, rows))
    _raise_unmet(checks, looks)


def result(samples: pl.DataFrame, expected: Result) -> None:
    """Hold the merged samples against their figures; columns and errors as in ``sources``."""
    _refuse_unknown(expected.images_from, samples, "expect.result.images_from")
    kept = samples.filter(~OUT)
    checks = _bounded(expected, _figures(kept, samples), "expect.result")
    for name, bounds in expected.images_from.items():
        where = f"expect.result.images_from.{name}"
        checks += _check(where, bounds, len(kept.filter(source=name)))
    _raise_unmet(checks, _look_at_result(samples))


def photos(kept: pl.DataFrame, expected: Photos) -> None:
    """Hold every kept image against what all should be; raises ``GateError`` like ``sources``.

    ``kept`` has ``sample``, ``source``, ``width``, ``height``, ``mode`` and ``format``.
    """
    checks, looks = [], []
    for key, column, want, differs in _demands(expected):
        wrong = kept.filter(differs)
        count = f"{len(wrong):,} DIFFER" if len(wrong) else ""
        checks.append(Check(f"expect.photos.{key}", want, _range(kept[column]), count))
        if len(wrong):
            looks.append(_look_at_photos(key, column, wrong))
    _raise_unmet(checks, looks)


def _refuse_unknown(names: Iterable[str], rows: pl.DataFrame, where: str) -> None:
    known = sorted(rows["source"].unique())
    for name in names:
        if name not in known:
            raise ConfigError(f"{where}.{name}: no such source{suggest(name, known)}")


def _figures(counted: pl.DataFrame, listed: pl.DataFrame) -> dict[str, float]:
    identities: int = counted.select(layouts.unit().n_unique()).item()
    return {
        "identities": identities,
        "images": len(counted),
        "images_per_identity": len(counted) / max(1, identities),
        "skipped_share": len(listed.filter(OUT)) / max(1, len(listed)),
    }


def _bounded(expected: Figures, found: Mapping[str, float], where: str) -> list[Check]:
    checks = [_check(f"{where}.{key}", getattr(expected, key), found[key]) for key in found]
    return [check for some in checks for check in some]


def _check(key: str, bounds: Bounds | None, value: float) -> list[Check]:
    return [] if bounds is None else [Check(key, str(bounds), said(value), bounds.wrong(value))]


def _demands(expected: Photos) -> list[tuple[str, str, str, pl.Expr]]:
    """Return what is demanded: its key, the column, in words, and which rows differ."""
    edges = [("width", expected.width), ("height", expected.height)]
    words = [("mode", expected.modes), ("format", expected.formats)]
    return [
        *((key, key, str(b), _outside(key, b)) for key, b in edges if b),
        *(
            (f"{key}s", key, ", ".join(a), ~pl.col(key).is_in(a).fill_null(False))
            for key, a in words
            if a
        ),
    ]


def _outside(column: str, bounds: Bounds) -> pl.Expr:
    least, most = (pl.lit(end, pl.Float64) for end in (bounds.least, bounds.most))
    low, high = pl.col(column) < least, pl.col(column) > most
    return low.fill_null(False) | high.fill_null(False) | pl.col(column).is_null()


def _range(values: pl.Series) -> str:
    """Return the least and the most of numbers, or which words there are."""
    found = values.drop_nulls().unique().sort().to_list()
    if not found:
        return "no image"
    if isinstance(found[0], str):
        return ", ".join(found)
    return " to ".join(said(end) for end in dict.fromkeys([found[0], found[-1]]))


def _raise_unmet(checks: Sequence[Check], looks: Iterable[str]) -> None:
    unmet = sum(bool(check.wrong) for check in checks)
    if unmet:
        verb = "is" if unmet == 1 else "are"
        first = f"expect: {unmet} of {len(checks)} expectations {verb} not met"
        raise GateError("\n".join([first, *_table(checks), *looks]))


def _table(checks: Sequence[Check]) -> list[str]:
    rows = [("expectation", "expected", "actual", "")]
    rows += [(*check[:3], check.wrong or "met") for check in checks]
    key, expected, actual = (max(len(row[column]) for row in rows) for column in range(3))
    lines = [f"  {a:<{key}}  {b:>{expected}}  {c:>{actual}}  {d}" for a, b, c, d in rows]
    return [line.rstrip() for line in lines]


def _look_at_source(name: str, rows: pl.DataFrame) -> str:
    ends = rows["key"].sort()
    return (
        f"Look at `sources.{name}`: {len(rows):,} objects from {ends[0]} to "
        f"{ends[-1]}; left out: {_most(rows.filter(OUT), 'reason')}. Check its path or "
        f"prefix, `include`, `exclude` and layout, or mend `expect.sources.{name}`."
    )


def _look_at_result(samples: pl.DataFrame) -> list[str]:
    """Say for each source what is left of it, the least share first."""
    counted = samples.group_by("source").agg((~OUT).sum().alias("kept"), pl.len().alias("listed"))
    share = pl.col("kept") / pl.col("listed")
    lines = []
    for source, kept, listed in counted.sort(share, "source").iter_rows():
        out = _most(samples.filter(OUT, source=source), "reason")
        lines.append(
            f"Look at `sources.{source}`: {kept:,} of {listed:,} objects kept; left out: {out}."
        )
    return [*lines, "If these are right, mend `expect.result`."]


def _look_at_photos(key: str, column: str, wrong: pl.DataFrame) -> str:
    first = ", ".join(wrong["sample"].sort()[:SHOWN])
    return (
        f"Look at {first}{', ...' if len(wrong) > SHOWN else ''}; {column}: "
        f"{_most(wrong, column)}; sources: {_most(wrong, 'source')}. Take them out of the "
        f"source, or mend `expect.photos.{key}`."
    )


def _most(rows: pl.DataFrame, column: str) -> str:
    """Return the most common values of a column with their counts."""
    counted = rows.group_by(column).len("count").sort(["count", column], descending=[True, False])
    named = [f"{value} {count:,}" for value, count in counted[:SHOWN].iter_rows()]
    return ", ".join(named + ["..."] * (len(counted) > SHOWN)) or "none"
