"""One page that people look at: what is in, what is out and why, with pictures.

The page is one file that needs nothing else: no network, no script, no other file.
"""

import json
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill import images
from imagemill.about import About
from imagemill.config import Section
from imagemill.report import counts, page, slides, truth
from imagemill.report.counts import Figures
from imagemill.report.ledger import Tables, ledger
from imagemill.report.pictures import Album


class Config(Section):
    """How much the page shows."""

    about: About
    examples: Annotated[int, Field(ge=0)]
    """Images shown for each reason and flag."""
    pairs: Annotated[int, Field(ge=0)]
    """Pairs of like images, and leaks, shown side by side."""
    max_pixels: Annotated[int, Field(ge=1)]
    """Width times height beyond which no picture is drawn."""
    max_bytes: Annotated[int, Field(ge=1)]
    """Length of a file beyond which no picture is drawn."""


def write(tables: Tables, packs_folder: Path, config: Config, out: Path) -> Figures:
    """Write ``index.html``, ``slides.html`` and ``summary.json`` below ``out``.

    Returns what the latter says. Equal tables and packs give equal bytes. Raises ``BuildError``
    when rows went missing.
    """
    rows = ledger(tables)
    planted = _planted(tables)
    figures = counts.figures(rows, tables.pairs, tables.leaks, planted)
    figures["orphans"] = len(tables.orphans)
    limits = images.Limits(max_pixels=config.max_pixels, max_bytes=config.max_bytes)
    unread = dict(
        tables.facts.drop_nulls("reason").select("digest", pl.coalesce("detail", "reason")).rows()
    )
    with Album(tables.places, packs_folder, limits, unread) as album:
        shown = page.Page(rows, tables, album, planted, config.about, config.examples, config.pairs)
        (out / "index.html").write_text(page.render(shown), encoding="utf-8")
        (out / "slides.html").write_text(slides.render(shown), encoding="utf-8")
    text = json.dumps(figures, indent=2, sort_keys=True)
    (out / "summary.json").write_text(f"{text}\n", encoding="utf-8")
    return figures


def _planted(tables: Tables) -> pl.DataFrame | None:
    if tables.truth is None or not truth.is_truth(tables.truth):
        return None
    return truth.caught(tables.manifest, tables.truth)


def summary(figures: Figures) -> str:
    """Return what a page shows, in one line."""
    return (
        f"report: {figures['final']:,} of {figures['listed']:,} listed images are in the package, "
        f"{figures['pairs']:,} pairs, {figures['leaks']:,} leaks"
    )


__all__ = ["Config", "Figures", "Tables", "summary", "truth", "write"]
