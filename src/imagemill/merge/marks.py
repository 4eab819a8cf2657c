"""How rows are marked as out."""

import polars as pl

IN = pl.col("reason").is_null()


def out(
    rows: pl.DataFrame, which: pl.Expr, reason: str, detail: pl.Expr | None = None
) -> pl.DataFrame:
    """Give ``reason`` (and ``detail``) to the rows that are in and that ``which`` holds for."""
    hit = IN & which
    columns = [pl.when(hit).then(pl.lit(reason)).otherwise("reason").alias("reason")]
    if detail is not None:
        columns.append(pl.when(hit).then(detail).otherwise("detail").alias("detail"))
    return rows.with_columns(columns)
