"""Label tables: read once by ``scan``, stored as Parquet in a stable order."""

import csv
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from imagemill.errors import SourceError
from imagemill.sources.locate import locate
from imagemill.sources.objects import Refreshed


class Csv(Refreshed):
    """A delimited text file."""

    kind: Literal["csv"]
    path: str
    """Relative to the project, or absolute, or ``package://`` or ``sample://``."""
    separator: Annotated[str, Field(min_length=1, max_length=1)]
    """Between the columns; runs of spaces count as one when it is a space."""
    columns: list[str]
    """Names of the columns; empty when the first line has them."""

    def read(self, name: str, root: Path) -> pl.DataFrame:
        """Return all rows as text, sorted; lines without any value are skipped.

        Raises ``SourceError`` naming the line at fault.
        """
        try:
            path = locate(self.path, root)
            with path.open(newline="", encoding="utf-8-sig") as file:
                lines = csv.reader(file, delimiter=self.separator, skipinitialspace=True)
                said = (self._trimmed(line) for line in lines if any(line))
                header = _header(self.columns or next(said, []))
                rows = [_row(header, line, lines.line_num) for line in said]
        except (SourceError, OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"tables.{name}: {error}") from error
        return pl.DataFrame(rows, dict.fromkeys(header, pl.String), orient="row").sort(header)

    def _trimmed(self, line: list[str]) -> list[str]:
        spaced = self.separator == " " and not line[-1]  # a space at the end of the line
        return line[:-1] if spaced else line


def _header(names: list[str]) -> list[str]:
    if not names:
        raise SourceError("no line in the file. Check its `path`.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SourceError(f"two columns are called {twice[0]}. Name all of them in `columns`.")
    return names


def _row(header: list[str], line: list[str], number: int) -> list[str]:
    if len(line) != len(header):
        raise SourceError(
            f"line {number} has {len(line)} values for {len(header)} columns "
            f"({', '.join(header)}). Check its `separator` and `columns`."
        )
    return line
