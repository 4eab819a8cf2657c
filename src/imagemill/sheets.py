"""CSV files that people open in a spreadsheet."""

import re
from pathlib import Path

import polars as pl

from imagemill.files import replacing

FORMULA = r"^('*[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}])"
"""How a cell begins that a spreadsheet would run, or that looks as if it had been guarded.

The last four are the wide forms of the first."""

_PYTHON = re.sub(r"\\x\{(\w+)\}", r"\\u\1", FORMULA)  # Polars and Python write code points unlike
_STARTS = re.compile(_PYTHON)
_GUARDED = re.compile(f"^'{_PYTHON[1:]}")


def write(path: Path, rows: pl.DataFrame) -> None:
    """Write ``rows`` as CSV, with an apostrophe before text that a spreadsheet would run."""
    with replacing(path) as part:
        guarded(rows).write_csv(part)


def guarded(rows: pl.DataFrame) -> pl.DataFrame:
    """Return ``rows`` in which no text is a formula; see OWASP's "CSV Injection"."""
    return rows.with_columns(pl.col(pl.String).str.replace(FORMULA, "'${1}"))


def guard(text: str) -> str:
    """Return ``text`` as no formula; ``unguard`` gives it back."""
    return f"'{text}" if _STARTS.match(text) else text


def unguard(text: str) -> str:
    """Return what ``guard`` was given."""
    return text[1:] if _GUARDED.match(text) else text
