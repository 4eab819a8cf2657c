"""Charts as geometry: rectangles and circles that the page's template draws as SVG."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import polars as pl

from imagemill.report.ledger import KEPT
from imagemill.report.words import TIMES

WIDTH, HEIGHT = 360, 180  # units of the drawing
LEFT, RIGHT, TOP, BOTTOM = 34, 22, 12, 24  # margins for the axes' text
BINS = 40
FLOOR = 0.75  # units of height that a bar has at least, or one image among many is not seen

HUES = ("kept", "hit", "other")
"""Kept, removed for what the chart shows, removed for something else: from below upwards."""


class Mark(NamedTuple):
    """A rectangle; its hue is one of ``HUES``."""

    x: float
    y: float
    width: float
    height: float
    hue: str
    tip: str


class Dot(NamedTuple):
    """A disc for images of about one size; each hue's area tells its count."""

    x: float
    y: float
    rings: list[tuple[str, float]]
    """Hue and radius, the outermost first; the inner ones lie on top."""
    tip: str


class Tick(NamedTuple):
    """A word at an axis."""

    at: float
    text: str


class Chart(NamedTuple):
    """What one drawing shows."""

    title: str
    note: str
    """The same in words; also what a screen reader says."""
    across: list[Tick]
    up: list[Tick]
    marks: Sequence[Mark] = ()
    dots: Sequence[Dot] = ()


class Scale(NamedTuple):
    """How a value becomes a place on an axis; values beyond the ends count at the ends."""

    low: float
    high: float
    ticks: list[float]
    move: Callable[[float], float] = float
    """Applied to values and ends before they are placed: identity, or a logarithm."""

    def place(self, value: float) -> float:
        """Return where ``value`` lies, 0..1."""
        low, high = self.move(self.low), self.move(self.high)
        return (self.move(min(max(value, self.low), self.high)) - low) / (high - low)


def hued(rows: pl.DataFrame, reasons: list[str]) -> pl.DataFrame:
    """Add the column ``hue``, for a chart of what ``reasons`` remove."""
    hit = pl.col("reasons").list.set_intersection(reasons).list.len() > 0
    hue = pl.when(KEPT).then(pl.lit("kept")).when(hit).then(pl.lit("hit"))
    return rows.with_columns(hue.otherwise(pl.lit("other")).alias("hue"))


def histogram(title: str, rows: pl.DataFrame, column: str, scale: Scale) -> Chart:
    """Draw how the values of ``column`` are spread; ``rows`` is what ``hued`` gave."""
    counts = {hue: [0] * BINS for hue in HUES}
    for value, hue in rows.select(column, "hue").drop_nulls().iter_rows():
        counts[hue][min(int(scale.place(value) * BINS), BINS - 1)] += 1
    across = [Tick(_x(scale.place(value)), f"{value:,g}") for value in scale.ticks]
    note = _spread(rows[column].drop_nulls(), len(rows.filter(hue="hit")))
    return Chart(title, note, across, _upward(_tallest(counts)), marks=_bars(counts, 0.9))


def bars(title: str, note: str, counts: dict[str, int]) -> Chart:
    """Draw one bar for each named count."""
    stacked = {"kept": list(counts.values())}
    middles = [_x((n + 0.5) / len(counts)) for n in range(len(counts))]
    across = [Tick(at, name) for at, name in zip(middles, counts, strict=True)]
    return Chart(title, note, across, _upward(_tallest(stacked)), marks=_bars(stacked, 0.7))


def sharpness_scale(rows: pl.DataFrame) -> Scale:
    """Return a logarithmic scale from 1 to the power of ten above all values."""
    most = rows["sharpness"].max()
    powers = max(3, math.ceil(math.log10(max(1.0, float(most or 1)))))  # type: ignore[arg-type]
    return Scale(1, 10**powers, [10.0**n for n in range(powers + 1)], math.log10)


def sizes(title: str, rows: pl.DataFrame) -> Chart:
    """Draw width against height, with one dot for images of about equal shape and area."""
    known = rows.filter(pl.col("width") > 0, pl.col("height") > 0)
    edges = pl.concat([known["width"], known["height"]]).cast(pl.Int64)
    low = math.floor(math.log2(_int(edges.min()) or 1))
    high = math.ceil(math.log2(_int(edges.max()) or 1))
    powers = [2.0**n for n in range(min(low, high - 2), high + 1)]
    scale = Scale(powers[0], powers[-1], _thinned(powers), math.log2)
    across = [Tick(_x(scale.place(edge)), f"{edge:,g}") for edge in scale.ticks]
    up = [Tick(_y(scale.place(edge)), f"{edge:,g}") for edge in scale.ticks]
    return Chart(title, _shapes(known), across, up, dots=_dots(known, scale))


def _dots(rows: pl.DataFrame, scale: Scale) -> list[Dot]:
    near = [(pl.col(edge).log(2) * 4).round().alias(f"_{edge}") for edge in ("width", "height")]
    hues = [(pl.col("hue") == hue).sum().alias(hue) for hue in HUES]
    edges = [pl.col(edge).median() for edge in ("width", "height")]
    counted = rows.group_by(*near).agg(*edges, pl.len().alias("count"), *hues)
    most = _int(counted["count"].max())
    placed = counted.sort("count", "_width", "_height", descending=[True, False, False])
    return [_dot(row, scale, most) for row in placed.iter_rows(named=True)]


def _dot(row: dict[str, Any], scale: Scale, most: int) -> Dot:
    rings = []
    within = 0
    for hue in HUES:
        within += row[hue]
        if row[hue]:
            rings.append((hue, _radius(within, most)))
    tip = (
        f"about {row['width']:,.0f} {TIMES} {row['height']:,.0f}: {row['count']:,} images, "
        f"{row['kept']:,} kept"
    )
    return Dot(_x(scale.place(row["width"])), _y(scale.place(row["height"])), rings[::-1], tip)


def _radius(count: int, most: int) -> float:
    return round(2 + 10 * math.sqrt(count / most), 2)


def _bars(counts: dict[str, list[int]], breadth: float) -> list[Mark]:
    tallest = _tallest(counts)
    marks = []
    number = len(next(iter(counts.values())))
    slot = (WIDTH - LEFT - RIGHT) / max(1, number)
    for n in range(number):
        foot = float(HEIGHT - BOTTOM)
        for hue, values in counts.items():
            if not values[n]:
                continue
            tall = max(FLOOR, values[n] / tallest * (HEIGHT - TOP - BOTTOM))
            foot -= tall
            x = LEFT + (n + (1 - breadth) / 2) * slot
            place = (round(x, 2), round(foot, 2), round(slot * breadth, 2), round(tall, 2))
            marks.append(Mark(*place, hue, f"{values[n]:,} {TIPS[hue]}"))
    return marks


TIPS = {"kept": "kept", "hit": "removed for this", "other": "removed for another reason"}


def _tallest(counts: dict[str, list[int]]) -> int:
    return max((sum(column) for column in zip(*counts.values(), strict=True)), default=0) or 1


def _upward(tallest: int) -> list[Tick]:
    return [Tick(_y(0), "0"), Tick(_y(1), f"{tallest:,}")]


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 2)


def _thinned(ticks: list[float]) -> list[float]:
    return ticks[:: max(1, math.ceil(len(ticks) / 7))]


def _spread(values: pl.Series, hit: int) -> str:
    if values.is_empty():
        return "No image was measured."
    low, middle, high = (_said(values.quantile(q, "nearest")) for q in (0.0, 0.5, 1.0))
    return f"Half of the images lie below {middle}; all from {low} to {high}. Removed: {hit:,}."


def _said(value: float | None) -> str:
    """Return a number with three significant digits, or whole above 1,000."""
    return f"{value or 0:,.0f}" if abs(value or 0) >= 1000 else f"{value or 0:.3g}"


def _shapes(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "No image was measured."
    shapes = rows.group_by("width", "height").len("count")
    width, height, count = shapes.sort("count", "width", "height", descending=True).row(0)
    removed = f"Removed: {len(rows.filter(hue='hit')):,}."
    if len(shapes) == 1:
        return f"All {count:,} images are {width:,} {TIMES} {height:,}. {removed}"
    return (
        f"{len(shapes):,} different sizes; the most common, {width:,} {TIMES} {height:,}, "
        f"has {count:,} of {len(rows):,} images. {removed}"
    )


def _int(value: object) -> int:
    return int(value) if isinstance(value, int) else 0
