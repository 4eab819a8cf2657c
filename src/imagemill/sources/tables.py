"""Label tables: read once by ``scan``, stored as Parquet in a stable order."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.errors import SourceError
from imagemill.sources.locate import locate


class Csv(Section):
    """A delimited text file."""

    kind: Literal["csv"]
    path: str
    """Relative to the project, or absolute, or ``package://`` or ``sample://``."""
    separator: Annotated[str, Field(min_length=1, max_length=1)]
    """Between the columns; runs of spaces count as one when it is a space."""
    columns: list[str]
    """Names of the columns; empty when the first line has them."""

    def read(self, name: str, root: Path) -> pl.DataFrame:
        """Return all rows as text, sorted. Raises ``SourceError`` naming the line at fault."""
        try:
            path = locate(self.path, root)
            with path.open(newline="", encoding="utf-8-sig") as file:
                lines = csv.reader(file, delimiter=self.separator, skipinitialspace=True)
                header = self.columns or _header(line for line in lines if line)
                rows = [_row(header, line, lines.line_num) for line in lines if line]
        except (SourceError, OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"tables.{name}: {error}") from error
        return pl.DataFrame(rows, dict.fromkeys(header, pl.String), orient="row").sort(header)


def _header(lines: Iterator[list[str]]) -> list[str]:
    header = next(lines, None)
    if header is None:
        raise SourceError("no line in the file. Check `path`.")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise SourceError(f"two columns are called {twice[0]}. Name all of them in `columns`.")
    return header


def _row(header: list[str], line: list[str], number: int) -> list[str]:
    if len(line) == len(header) + 1 and not line[-1]:  # a separator at the end of the line
        line = line[:-1]
    if len(line) != len(header):
        raise SourceError(
            f"line {number} has {len(line)} values for {len(header)} columns "
            f"({', '.join(header)}). Check `tables.{name}.separator` and `columns`."
        )
    return line
