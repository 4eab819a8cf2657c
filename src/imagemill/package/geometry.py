"""Where pixels go: affine maps of one image, and boxes and outlines that follow them."""

from collections.abc import Sequence
from dataclasses import dataclass

Affine = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): x' = a x + b y + c and y' = d x + e y + f, in pixels from the upper left."""

IDENTITY: Affine = (1, 0, 0, 0, 1, 0)

Box = tuple[float, float, float, float]
"""Left, top, width, height."""


def placed(across: float, down: float, right: float, below: float) -> Affine:
    """Return the map that scales by ``across`` and ``down`` and then moves."""
    return (across, 0, right, 0, down, below)


@dataclass(frozen=True)
class Frame:
    """A map from one image to another, and the width and height of that one."""

    map: Affine
    side: tuple[int, int]

    def then(self, after: "Frame") -> "Frame":
        """Return the map that does this and then ``after``."""
        a, b, c, d, e, f = self.map
        p, q, r, s, t, u = after.map
        joined = (
            *(p * a + q * d, p * b + q * e, p * c + q * f + r),
            *(s * a + t * d, s * b + t * e, s * c + t * f + u),
        )
        return Frame(joined, after.side)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point goes; it may lie outside."""
        a, b, c, d, e, f = self.map
        return a * x + b * y + c, d * x + e * y + f

    def box(self, box: Box) -> Box | None:
        """Return the smallest box around where ``box`` goes, cut at the edges; None outside."""
        left = self.outline(corners(box))
        if not left:
            return None
        xs, ys = left[::2], left[1::2]
        return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)

    def outline(self, polygon: Sequence[float]) -> list[float]:
        """Return where a polygon x1, y1, x2, y2, ... goes, cut at the edges; empty outside.

        As Sutherland and Hodgman cut it (CACM 17, 1974): one of several parts has them joined along
        an edge. Raises ``ValueError`` for an odd number of figures.
        """
        ring = [self.point(x, y) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
        for axis, end in enumerate(self.side):
            ring = _cut(_cut(ring, axis, 0.0, -1), axis, float(end), 1)
        flat = [edge for point in ring for edge in point]
        return flat if area(flat) > 0 else []


Point = tuple[float, float]


def _cut(ring: list[Point], axis: int, limit: float, beyond: int) -> list[Point]:
    """Return the part of a ring on this side of a line; ``beyond`` is the sign of the other."""
    kept: list[Point] = []
    for start, end in zip(ring[-1:] + ring[:-1], ring, strict=True):
        before, behind = (beyond * (point[axis] - limit) for point in (start, end))
        if (before > 0) != (behind > 0):
            part = before / (before - behind)
            across = start[1 - axis] + part * (end[1 - axis] - start[1 - axis])
            kept.append((across, limit) if axis else (limit, across))
        if behind <= 0:
            kept.append(end)
    return kept


def corners(box: Box) -> list[float]:
    """Return a box as a polygon."""
    left, top, width, height = box
    right, bottom = left + width, top + height
    return [left, top, right, top, right, bottom, left, bottom]


def area(polygon: Sequence[float]) -> float:
    """Return what a polygon x1, y1, x2, y2, ... encloses."""
    xs, ys = polygon[::2], polygon[1::2]
    turns = zip(xs, ys, [*xs[1:], *xs[:1]], [*ys[1:], *ys[:1]], strict=True)
    return abs(sum(x * other_y - other_x * y for x, y, other_x, other_y in turns)) / 2


def turned(orientation: int, width: int, height: int) -> Frame:
    """Return the map from stored pixels of that side to upright ones; EXIF's numbers 1 to 8."""
    maps: dict[int, Affine] = {
        1: IDENTITY,
        2: (-1, 0, width, 0, 1, 0),
        3: (-1, 0, width, 0, -1, height),
        4: (1, 0, 0, 0, -1, height),
        5: (0, 1, 0, 1, 0, 0),
        6: (0, -1, height, 1, 0, 0),
        7: (0, -1, height, -1, 0, width),
        8: (0, 1, 0, -1, 0, width),
    }
    side = (width, height) if orientation < 5 else (height, width)
    return Frame(maps[orientation], side)
