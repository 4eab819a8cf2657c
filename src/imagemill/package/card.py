"""The dataset card that travels in a package."""

import re

import polars as pl

from imagemill.about import About
from imagemill.errors import BuildError, suggest
from imagemill.package import augment

WANTED = ("source", "split", "label", "verdict", "reasons")
"""Columns of ``tables.MANIFEST`` that a card is made of."""

MANY = 100  # rows of a table that people still read

_MARKUP = re.compile(r"[\\|<*`\[]")


def render(about: About, manifest: pl.DataFrame, copying: augment.Config | None = None) -> str:
    """Return the card of a dataset in Markdown: of ``WANTED`` of each row of its manifest.

    ``copying`` is what was derived from its images.
    """
    kept = manifest.filter(verdict="keep")
    lines = [
        f"# {about.title}",
        "",
        f"- Licence: {about.licence}",
        f"- Credit: {about.credit}",
        f"- Images: {len(kept):,} of {len(manifest):,} listed",
        *_derived(kept, copying),
        "",
        "## Splits and labels",
        "",
        *_table(_by_split(kept)),
        "",
        "## Sources",
        "",
        *_table(_by_source(manifest, about)),
        "",
        "## Left out",
        "",
        *_table(_reasons(manifest)),
        "",
    ]
    return "\n".join(lines)


def _derived(kept: pl.DataFrame, copying: augment.Config | None) -> list[str]:
    """Return the line that tells of images derived by augmentation, if there are any."""
    if copying is None or copying.multiplier == 1:
        return []
    each = copying.multiplier - 1
    count = each * int(kept["split"].is_in(copying.splits).sum())
    splits = _cell(", ".join(copying.splits))
    return [
        f"- Derived from them by augmentation: {count:,}, {each:,} of each image of {splits}; "
        "their `copy` in manifest.parquet is not 0"
    ]


def _by_split(kept: pl.DataFrame) -> pl.DataFrame:
    """Return images by split and label, or by split alone where there are many labels."""
    counted = kept.group_by("split", "label").len("images").sort("split", "label")
    if len(counted) <= MANY:
        return counted
    return (
        counted.group_by("split")
        .agg(pl.len().alias("labels"), pl.col("images").sum())
        .sort("split")
    )


def _by_source(manifest: pl.DataFrame, about: About) -> pl.DataFrame:
    """Return what each source has brought. Raises ``BuildError`` for a licence of no source."""
    kept = (pl.col("verdict") == "keep").sum().alias("kept")
    counted = manifest.group_by("source").agg(pl.len().alias("listed"), kept).sort("source")
    for name in about.licences:
        if name not in counted["source"]:
            known = counted["source"].to_list()
            raise BuildError(f"about.licences.{name}: no source{suggest(name, known)}")
    licence = [about.licences.get(name, about.licence) for name in counted["source"]]
    return counted.with_columns(pl.Series("licence", licence, pl.String))


def _reasons(manifest: pl.DataFrame) -> pl.DataFrame:
    removed = manifest.filter(verdict="remove").select(reason="reasons").explode("reason")
    return removed.group_by("reason").len("images").sort("reason")


def _table(frame: pl.DataFrame) -> list[str]:
    cells = [[_cell(value) for value in row] for row in frame.iter_rows()]
    rule = ["---"] * frame.width
    return [f"| {' | '.join(row)} |" for row in [frame.columns, rule, *cells]]


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value if value is not None else "-")
    return " ".join(_MARKUP.sub(r"\\\g<0>", text).split())
