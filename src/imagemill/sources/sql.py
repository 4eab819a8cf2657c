"""Label tables from a database: one query, read-only."""

from pathlib import Path
from typing import Literal

import polars as pl

from imagemill.errors import SourceError
from imagemill.sources.objects import Refreshed


class Sql(Refreshed):
    """A query to a database."""

    kind: Literal["sql"]
    url_env: str
    """Name of the environment variable with the database's URL, password included."""
    query: str
    """One SELECT; its columns are the table's."""

    def read(self, name: str, root: Path) -> pl.DataFrame:
        """Return all rows as text, sorted. Raises ``SourceError`` without any password in it."""
        # SQLAlchemy takes a fifth of a second to import, which other tables need not wait for.
        from imagemill.sources import database  # noqa: PLC0415

        try:
            return database.read(self.url_env, self.query, root)
        except SourceError as error:
            raise SourceError(f"tables.{name}: {error}") from None
