"""How many images each label has, in words and figures for people."""

import polars as pl

FIGURES = {
    "labels": pl.len(),
    "images": pl.col("images").sum(),
    "least": pl.col("images").min(),
    "mean": pl.col("images").mean().round(1),
    "median": pl.col("images").median(),
    "most": pl.col("images").max(),
}
"""What is said of the images of the labels of one split."""


def text(contents: pl.DataFrame) -> str:
    """Return statistics over every label of ``contents``, which has ``split`` and ``label``.

    A line for each split (``-`` where there is none) with its labels, its images, and the least,
    mean, median and most images of a label; then how many labels have 1, 2, 3 to 4, 5 to 8, ...
    images. A label that is in two splits counts in each.
    """
    counted = contents.group_by("split", "label").len("images")
    by_split = counted.group_by("split").agg(**FIGURES).sort("split")
    return "\n".join([*_columns(by_split), "", *_columns(distribution(counted["images"]))])


def distribution(images: pl.Series) -> pl.DataFrame:
    """Return ``images`` (1, 2, 3-4, 5-8, ...), ``labels`` and their ``share``, from the counts.

    Ranges in which no label lies are left out.
    """
    # Exact for any count: the bits of n - 1 are where the ranges divide.
    power = pl.Series("power", [(count - 1).bit_length() for count in images.to_list()], pl.Int64)
    found = power.value_counts(name="labels").sort("power")
    named = pl.Series("images", [_range(power) for power in found["power"]], pl.String)
    share = (pl.col("labels") / pl.col("labels").sum() * 100).round(1)
    return found.select(named, "labels", pl.format("{} %", share).alias("share"))


def _range(power: int) -> str:
    first, last = (1 << power >> 1) + 1, 1 << power
    return str(last) if power < 2 else f"{first}-{last}"


def _columns(frame: pl.DataFrame) -> list[str]:
    rows = [frame.columns, *([_cell(value) for value in row] for row in frame.iter_rows())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)) for row in rows]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
