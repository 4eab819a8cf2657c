"""CSV files that people open in a spreadsheet."""

from pathlib import Path

import polars as pl

from imagemill.files import replacing

FORMULA = r"^([=+\-@\t\r])"
"""How a cell begins that a spreadsheet would run."""


def write(path: Path, rows: pl.DataFrame) -> None:
    """Write ``rows`` as CSV, with an apostrophe before text that a spreadsheet would run."""
    with replacing(path) as part:
        guarded(rows).write_csv(part)


def guarded(rows: pl.DataFrame) -> pl.DataFrame:
    """Return ``rows`` in which no text is a formula; see OWASP's "CSV Injection"."""
    return rows.with_columns(pl.col(pl.String).str.replace(FORMULA, "'${1}"))
