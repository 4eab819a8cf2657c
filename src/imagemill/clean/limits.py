"""How much a build may throw away."""

import polars as pl

from imagemill.clean.settings import Config, MaxRemovedShare
from imagemill.errors import GateError

SHOWN = 10  # splits and labels that a message names


def refuse_excess(verdicts: pl.DataFrame, samples: pl.DataFrame, config: Config) -> None:
    """Raise ``GateError`` where more of a split or label was removed than the config allows.

    Of what merge let in; labels are those that the sources give.
    """
    let_in = samples.filter(pl.col("reason").is_null()).select("sample", "split", "label")
    rows = let_in.join(verdicts.select("sample", "verdict", "reasons"), on="sample")
    limits = config.max_removed_share
    lines = _excess(rows, "split", limits.split, limits)
    lines += _excess(rows, "label", limits.label, limits)
    if not lines:
        return
    more = [f"  and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    shown = [*lines[:SHOWN], *more]
    raise GateError(
        "clean: too much is removed:\n"
        + "\n".join(shown)
        + "\nLook at what the checks and rules remove, loosen them, or raise "
        "`clean.max_removed_share`."
    )


def _excess(
    rows: pl.DataFrame, column: str, most: float | None, limits: MaxRemovedShare
) -> list[str]:
    if most is None:
        return []
    gone = pl.col("verdict") == "remove"
    counted = rows.group_by(column).agg(pl.len().alias("all"), gone.sum().alias("gone"))
    share = pl.col("gone") / pl.col("all")
    over = counted.filter(pl.col("all") >= limits.least, share > most)
    over = over.sort(-share, column)
    return [
        f"  {column} {name or '-'}: {removed:,} of {count:,} ({removed / count:.1%}, at most "
        f"{most:.1%}): {_why(rows.filter(gone, pl.col(column).eq_missing(name)))}"
        for name, count, removed in over.iter_rows()
    ]


def _why(rows: pl.DataFrame) -> str:
    codes = rows.select(pl.col("reasons").list.first().alias("code")).group_by("code").len()
    most = codes.sort(-pl.col("len").cast(pl.Int64), "code").head(3)
    return ", ".join(f"{count:,} {code}" for code, count in most.iter_rows())
