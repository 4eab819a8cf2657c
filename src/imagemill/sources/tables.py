"""Label tables: read once by ``scan``, stored as Parquet in a stable order."""

import csv
from pathlib import Path
from typing import Literal

import polars as pl

from imagemill.config import Section
from imagemill.errors import SourceError
from imagemill.sources.locate import locate


class Csv(Section):
    """A delimited text file."""

    kind: Literal["csv"]
    path: str
    """Relative to the project, or absolute, or ``package://`` or ``sample://``."""
    separator: str
    """Between the columns; runs of spaces count as one when it is a space."""
    columns: list[str]
    """Names of the columns; empty when the first line has them."""

    def read(self, name: str, root: Path) -> pl.DataFrame:
        """Return all rows as text, sorted. Raises ``SourceError`` naming the line at fault."""
        try:
            path = locate(self.path, root)
            with path.open(newline="", encoding="utf-8-sig") as file:
                lines = csv.reader(file, delimiter=self.separator, skipinitialspace=True)
                header = self.columns or next(lines, [])
                rows = [_row(name, header, line, lines.line_num) for line in lines if line]
        except (SourceError, OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"tables.{name}: {error}") from error
        return pl.DataFrame(rows, dict.fromkeys(header, pl.String), orient="row").sort(header)


def _row(name: str, header: list[str], line: list[str], number: int) -> list[str]:
    if len(line) != len(header):
        raise SourceError(
            f"line {number} has {len(line)} values for {len(header)} columns "
            f"({', '.join(header)}). Check `tables.{name}.separator` and `columns`."
        )
    return line
