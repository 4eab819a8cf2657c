"""A page of pairs to look at, each with its number, its originals and who found it."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from PIL import Image, ImageDraw, ImageOps

SIDE = 200  # of a picture, pixels
COLUMNS = 4  # pairs beside one another
ROWS = 5


def to_look_at(found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the pairs of originals that nobody judged, those of most systems and surest first.

    ``found`` maps a system to its pairs, ``sorted_out`` and within its limit.
    """
    each = [
        pairs.filter(pl.col("kind") == "unjudged")
        .group_by("one", "other")
        .agg(pl.col("distance").min(), example=pl.struct("a", "b").sort_by("distance").first())
        .with_columns(system=pl.lit(system))
        for system, pairs in found.items()
    ]
    pairs = (
        pl.concat(each)
        .group_by("one", "other")
        .agg(pl.col("system").unique().sort(), pl.col("distance").min(), pl.col("example").first())
    )
    most = pl.col("system").list.len().cast(pl.Int64)
    return pairs.sort(most.neg(), "distance", "one", "other")


def draw(pairs: pl.DataFrame, images: Path, to: Path) -> list[Path]:
    """Write PNG pages of ``to_look_at`` and ``to/pairs.csv`` with their numbers."""
    to.mkdir(parents=True, exist_ok=True)
    numbered = pairs.with_row_index("number")
    listed = numbered.select("number", "one", "other", pl.col("system").list.join("; "))
    listed.write_csv(to / "pairs.csv")
    return [page(part, images, to) for part in numbered.iter_slices(COLUMNS * ROWS)]


def page(pairs: pl.DataFrame, images: Path, to: Path) -> Path:
    width, height = COLUMNS * (2 * SIDE + 20), ROWS * (SIDE + 24)
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for at, row in enumerate(pairs.iter_rows(named=True)):
        left = at % COLUMNS * (2 * SIDE + 20)
        top = at // COLUMNS * (SIDE + 24)
        pen.text((left, top), f"{row['number']}: {', '.join(row['system'])}"[:60], fill="black")
        for number, picture in enumerate(pictures(row, images)):
            sheet.paste(picture, (left + number * (SIDE + 2), top + 14))
    path = to / f"{pairs['number'][0]:05}.png"
    sheet.save(path)
    return path


def pictures(row: dict[str, str], images: Path) -> Iterator[Image.Image]:
    for name in (row["one"], row["other"]):
        with Image.open(images / name) as image:
            yield ImageOps.contain(image.convert("RGB"), (SIDE, SIDE))
