"""Evidence: everything that is said of a sample, gathered in the order of its weight."""

from collections.abc import Sequence

import polars as pl

from imagemill.tables import EVIDENCE

WISH = "wish"
"""What a piece of evidence asks for; ``effect`` says what came of it."""

ORDER = "order"
"""The order in which reasons are named."""

GATHERED = {**EVIDENCE.columns, WISH: pl.String, ORDER: pl.Int32}
"""Columns while a judgement is made."""


def piece(
    rows: pl.DataFrame, source: str | None, wish: str, order: int, code: str | None = None
) -> pl.DataFrame:
    """Return evidence on ``rows``, which have ``sample`` and any of the other columns."""
    given = {"source": source, "code": code}
    fixed = [pl.lit(text, pl.String).alias(name) for name, text in given.items() if text]
    said = rows.with_columns(*fixed, pl.lit(wish).alias(WISH), pl.lit(order, pl.Int32).alias(ORDER))
    absent = [
        pl.lit(None, kind).alias(name)
        for name, kind in GATHERED.items()
        if name not in said.columns
    ]
    return said.with_columns(absent).select(*GATHERED)


def gathered(pieces: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return all pieces as one, in order."""
    return pl.concat([pl.DataFrame(schema=GATHERED), *pieces])


def codes(evidence: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return for each sample the codes of its evidence as a list called ``name``, each once."""
    ordered = evidence.sort(ORDER, "code", maintain_order=True)
    return ordered.group_by("sample").agg(pl.col("code").unique(maintain_order=True).alias(name))
