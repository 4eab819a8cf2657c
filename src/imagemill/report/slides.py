"""Slides of a cleaned dataset: what was found, what was done, and what it looks like.

The six contents that the cleaning guide asks for, as one HTML file: a slide fills the window, and a
printed page.
"""

from typing import Any, NamedTuple

import polars as pl

from imagemill.report import counts, words
from imagemill.report.examples import Example, Gallery
from imagemill.report.ledger import KEPT
from imagemill.report.page import Page, environment
from imagemill.reviews import standing
from imagemill.reviews.standing import IN_FORCE, STANDING

TYPES = 12  # kinds of issues that a slide lists
SHOWN = 4  # kinds of issues with examples
EXAMPLES = 5  # pictures of each


class Issue(NamedTuple):
    """One kind of issue."""

    title: str
    source: str
    images: int


def render(page: Page) -> str:
    """Return the slides as HTML."""
    return environment().get_template("slides.html").render(_given(page)).lstrip()


def _given(page: Page) -> dict[str, Any]:
    evidence = page.tables.evidence
    audited = evidence.filter(pl.col("source").str.starts_with("audit:"))
    kept = page.rows.filter(KEPT)
    relabelled = kept.filter(pl.col("flags").list.contains("relabelled"))
    return {
        "about": page.about,
        "listed": len(page.rows),
        "kept": len(kept),
        "relabelled": len(relabelled),
        "audits": _by_source(audited),
        "audited": audited["sample"].n_unique(),
        "issues": _issues(evidence)[:TYPES],
        "most": max((each.images for each in _issues(evidence)), default=1),
        "leaks": _leaks(page),
        "flow": counts.flow(page.rows),
        "splits": _impact(page.rows),
        "examples": _examples(page),
        "rules": _rules(evidence),
        "people": _people(page.tables.reviews),
    }


def _by_source(evidence: pl.DataFrame) -> list[tuple[str, int, int]]:
    """Return each audit with its flags and its images."""
    counted = evidence.group_by("source").agg(pl.len(), pl.col("sample").n_unique().alias("images"))
    rows = counted.sort("source").iter_rows()
    return [(name.removeprefix("audit:"), flags, images) for name, flags, images in rows]


def _issues(evidence: pl.DataFrame) -> list[Issue]:
    found = evidence.filter(~pl.col("source").str.starts_with("rule"), pl.col("source") != "review")
    counted = found.group_by("code", "source").agg(pl.col("sample").n_unique().alias("images"))
    rows = counted.sort(-pl.col("images").cast(pl.Int64), "code", "source").iter_rows()
    return [Issue(words.of(code).title, source, images) for code, source, images in rows]


def _leaks(page: Page) -> list[tuple[str, int, int, int]]:
    """Return each kind of leak with its pairs, those that remain and the images that left."""
    gone = pl.col("removed")
    counted = page.tables.leaks.group_by("kind").agg(
        pl.len().alias("pairs"), gone.null_count().alias("left"), gone.drop_nulls().n_unique()
    )
    return [
        (words.TIERS.get(kind, kind), *rest) for kind, *rest in counted.sort("kind").iter_rows()
    ]


def _impact(rows: pl.DataFrame) -> list[tuple[str, int, int]]:
    """Return each split with its images before and after; before, of what the sources say."""
    counted = rows.group_by("split").agg(pl.len().alias("all"), KEPT.sum().alias("kept"))
    return [(name or "no split", *both) for name, *both in counted.sort("split").iter_rows()]


def _examples(page: Page) -> list[tuple[words.Words, list[Example]]]:
    gallery = Gallery(page.rows, page.tables, page.album)
    flagged = [(code, gallery.flagged(code, EXAMPLES)) for code, _ in counts.flags(page.rows)]
    reasons = counts.reasons(page.rows).filter(stage="clean")["code"].to_list()
    removed = [(code, gallery.removed(code, "clean", EXAMPLES)) for code in reasons]
    shown = [(words.of(code), found) for code, found in [*removed, *flagged] if found]
    return shown[:SHOWN]


def _rules(evidence: pl.DataFrame) -> list[tuple[str, int]]:
    rules = evidence.filter(pl.col("source").str.starts_with("rule:"))
    number = pl.col("source").str.strip_prefix("rule:").cast(pl.Int32)
    counted = rules.group_by("source", "detail").len().sort(number)
    return [(detail, count) for _, detail, count in counted.iter_rows()]


def _people(reviews: pl.DataFrame) -> dict[str, int]:
    several, agreed = standing.agreement(reviews)
    return {
        "reviewers": reviews.filter(STANDING)["reviewer"].n_unique(),
        "verdicts": len(reviews.filter(state=IN_FORCE)),
        "several": several,
        "agreed": agreed,
    }
