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
        left, top, width, height = box
        corners = [(left + i * width, top + j * height) for i in (0, 1) for j in (0, 1)]
        xs, ys = zip(*(self._inside(*self.point(x, y)) for x, y in corners), strict=True)
        wide, high = max(xs) - min(xs), max(ys) - min(ys)
        return (min(xs), min(ys), wide, high) if wide > 0 and high > 0 else None

    def outline(self, polygon: Sequence[float]) -> list[float]:
        """Return where a polygon x1, y1, x2, y2, ... goes, its points drawn to the edges.

        Fewer than three distinct points are left of one that lies outside.
        """
        pairs = zip(polygon[::2], polygon[1::2], strict=True)
        moved = [self._inside(*self.point(x, y)) for x, y in pairs]
        return [edge for point in moved for edge in point] if len(set(moved)) > 2 else []

    @property
    def growth(self) -> float:
        """Factor by which areas grow."""
        a, b, _, d, e, _ = self.map
        return abs(a * e - b * d)

    def _inside(self, x: float, y: float) -> tuple[float, float]:
        return min(max(x, 0.0), float(self.side[0])), min(max(y, 0.0), float(self.side[1]))


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
