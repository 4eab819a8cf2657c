"""One decoded image, and the forms of it that several functions look at."""

from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from imagemill.images import Header

LEAST_SIDE = 96
"""Pixels below which the small form gets no smaller: twice the side of the largest thumbnail."""


@dataclass(frozen=True)
class Picture:
    """An upright image in mode "L" or "RGB", and what its file declares."""

    header: Header
    image: Image.Image
    bytes: int
    """Of the file."""

    @cached_property
    def small(self) -> Image.Image:
        """Each whole number of pixels averaged to one, so that about 96 to 200 a side are left.

        What is judged on a still smaller scale hardly differs, and costs a twentieth.
        """
        across, down = self._divisors
        return self.image if across == down == 1 else self.image.reduce((across, down))

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the image in pixels of ``small``, whose last ones may be partial."""
        across, down = self._divisors
        return self.image.width / across, self.image.height / down

    @cached_property
    def _divisors(self) -> tuple[int, int]:
        across, down = (max(1, side // LEAST_SIDE) for side in self.image.size)
        least = min(across, down)
        # Squares, where that leaves no side much too long, are what Pillow is quick with.
        return (least, least) if max(across, down) <= 2 * least else (across, down)
