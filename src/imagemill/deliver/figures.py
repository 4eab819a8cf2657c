"""What came of a cleaning in figures: for the summary, and to compare datasets by."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from imagemill.about import About
from imagemill.reviews import standing
from imagemill.reviews.standing import IN_FORCE

if TYPE_CHECKING:
    from imagemill.deliver import Tables

FILE = "figures.json"

Figures = dict[str, int]
"""Counts by name, in the order in which they are shown."""

GONE = pl.col("verdict") == "remove"


def figures(tables: "Tables", said: pl.DataFrame) -> Figures:
    """Return the figures of a dataset; ``said`` is its tagged manifest."""
    given = tables.samples.select("sample", given="label", let_in=pl.col("reason").is_null())
    rows = tables.manifest.join(given, on="sample")
    kept = rows.filter(~GONE)
    new = kept.filter(pl.col("label").ne_missing(pl.col("given")))
    found = {
        "listed": len(rows),
        "merged": int(rows["let_in"].sum()),
        "kept": len(kept),
        "removed": len(rows) - len(kept),
        "relabelled": len(new),
        "labels": kept["label"].drop_nulls().n_unique(),
    }
    found |= _counts(kept, "split", "split", "none")
    found |= _counts(rows.filter(GONE).explode("reasons"), "reasons", "removed", "")
    audited = tables.evidence.filter(pl.col("source").str.starts_with("audit:"))
    found["flagged_by_audits"] = audited["sample"].n_unique()
    found |= _counts(audited.unique(["sample", "code"]), "code", "audit", "")
    found["rows_of_audits_unmatched"] = len(tables.unmatched)
    found |= _counts(tables.leaks, "kind", "leaks", "")
    found["reviewed"] = said.filter(pl.col("user_tags").is_not_null())["digest"].n_unique()
    return found


def _counts(rows: pl.DataFrame, column: str, prefix: str, null: str) -> Figures:
    counted = rows.group_by(column).len().sort(-pl.col("len").cast(pl.Int64), column)
    return {f"{prefix}_{name or null}": count for name, count in counted.iter_rows()}


def text(dataset: str, about: About, found: Figures, tables: "Tables", written: list[str]) -> str:
    """Return the summary of a dataset, for people."""
    lines = [f"{dataset}: {about.title}", ""]
    lines += _columns({name.replace("_", " "): count for name, count in found.items()})
    share = found["removed"] / max(1, found["listed"])
    lines += [
        "",
        f"Removed: {share:.1%} of the listed images. Why, and how many of each split:",
        "",
    ]
    lines += _reasons(tables.manifest)
    lines += ["", "People:", *(_people(tables.reviews) or ["  nobody has reviewed an image"])]
    lines += ["", "Lists for training scripts, by the sources' own ids:"]
    lines += [f"  {line}" for line in written]
    return "\n".join(lines) + "\n"


def _reasons(manifest: pl.DataFrame) -> list[str]:
    gone = manifest.filter(GONE).explode("reasons").with_columns(pl.col("split").fill_null("-"))
    counted = gone.group_by("reasons", "split").len().sort("reasons", "split")
    return _columns(
        {f"{code or '-'}, {split}": count for code, split, count in counted.iter_rows()}
    )


def _people(reviews: pl.DataFrame) -> list[str]:
    stands = reviews.filter(standing.STANDING)
    lines = [
        f"  {who}: {count:,} verdicts"
        for who, count in stands.group_by("reviewer").len().sort("reviewer").iter_rows()
    ]
    effects = reviews.filter(state=IN_FORCE).group_by("effect").len().sort("effect")
    lines += [f"  {effect}: {count:,}" for effect, count in effects.iter_rows()]
    several, agreed = standing.agreement(reviews)
    if several:
        lines.append(f"  several judged {several:,}; they agree on {agreed:,}")
    return lines


def _columns(found: Mapping[str, int]) -> list[str]:
    width = max((len(name) for name in found), default=0)
    return [f"  {name:<{width}}  {count:>12,}" for name, count in found.items()]


def compared(datasets: Mapping[str, Figures]) -> pl.DataFrame:
    """Return one row a figure and one column a dataset; 0 where a dataset has no such figure."""
    names = list(dict.fromkeys(name for found in datasets.values() for name in found))
    columns = {each: [found.get(name, 0) for name in names] for each, found in datasets.items()}
    return pl.DataFrame({"figure": names, **columns})


def shown(comparison: pl.DataFrame) -> str:
    """Return a comparison as a table for people."""
    head = comparison.columns
    rows = [
        [row[0].replace("_", " "), *(f"{each:,}" for each in row[1:])] for row in comparison.rows()
    ]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in [head, *rows]
    )
