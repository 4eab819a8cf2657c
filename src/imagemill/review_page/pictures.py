"""Pictures for the page, made from the packs: small, whole, and the difference of two.

A browser never gets an image's own bytes: what it is shown is decoded and encoded anew, so that no
file is taken for anything but pixels.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import BoundedSemaphore, Lock

from PIL import Image, ImageChops, ImageOps
from PIL.Image import Transpose

from imagemill import images, packs
from imagemill.review_page.dataset import Dataset

THUMB = 320  # pixels, longer edge; a cell of the grid is 200 wide, and screens are dense
WHOLE = 4096  # pixels, longer edge, of what is zoomed into
COMPARED = 720  # pixels, longer edge, of a difference
QUALITY, FINE = 82, 92  # of JPEG
GAIN = 3  # by which a difference is made brighter
KEPT = 128 << 20  # bytes of small pictures that are remembered
AT_ONCE = 4  # images decoded at a time: each may take gigabytes

_TURNS = {"90": Transpose.ROTATE_90, "180": Transpose.ROTATE_180, "270": Transpose.ROTATE_270}


class Pictures:
    """Makes pictures of the images of one build; several threads may ask."""

    def __init__(self, dataset: Dataset) -> None:
        shown = dataset.shown
        self._images = dataset.images
        self._limits = images.Limits(max_pixels=shown.max_pixels, max_bytes=shown.max_bytes)
        self._reader = packs.Reader(Path(dataset.folder / "download" / packs.FOLDER))
        self._reading, self._remembering = Lock(), Lock()
        self._decoding = BoundedSemaphore(AT_ONCE)
        self._made: OrderedDict[int, bytes] = OrderedDict()
        self._filled = 0

    def thumb(self, at: int) -> bytes:
        """Return a JPEG of at most ``THUMB`` pixels a side; raises ``Unreadable``."""
        with self._remembering:
            if (found := self._made.get(at)) is not None:
                self._made.move_to_end(at)
                return found
        made = self._encoded(lambda: _within(self._read(at), THUMB), QUALITY)
        with self._remembering:
            self._filled += len(made) - len(self._made.get(at, b""))
            self._made[at] = made
            while self._filled > KEPT:
                self._filled -= len(self._made.popitem(last=False)[1])
        return made

    def whole(self, at: int) -> bytes:
        """Return a JPEG of all pixels, but of at most ``WHOLE`` a side; raises ``Unreadable``."""
        return self._encoded(lambda: _within(self._read(at), WHOLE), FINE)

    def difference(self, a: int, b: int, transform: str) -> bytes:
        """Return how two images differ once ``transform`` took ``b`` to ``a``: black where equal.

        Raises ``Unreadable``.
        """

        def made() -> Image.Image:
            one = _within(self._read(a), COMPARED).convert("RGB")
            two = turned(self._read(b), transform).convert("RGB").resize(one.size)
            bands = ImageChops.difference(one, two).split()
            most = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
            return most.point(lambda level: min(255, level * GAIN))

        return self._encoded(made, FINE)

    def _encoded(self, made: Callable[[], Image.Image], quality: int) -> bytes:
        with self._decoding:
            return images.encode(made(), "JPEG", quality)

    def _read(self, at: int) -> Image.Image:
        row = self._images.row(at, named=True)
        if row["unread"] is not None:  # it may have ended the process that read it
            raise images.Unreadable("corrupt", row["unread"])
        with self._reading:
            data = self._reader.read(row["pack"], row["offset"], row["length"])
        return images.read(data, self._limits)[1]

    def close(self) -> None:
        """Close the packs."""
        with self._reading:
            self._reader.close()


def turned(image: Image.Image, transform: str) -> Image.Image:
    """Return what one of ``tables.TRANSFORMS`` makes of an image."""
    name = transform.removeprefix("flip")
    image = ImageOps.mirror(image) if transform.startswith("flip") else image
    turn = _TURNS.get(name.removeprefix("rot"))
    return image if turn is None else image.transpose(turn)


def _within(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    if factor >= 1:
        return image
    small = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(small, Image.Resampling.LANCZOS, reducing_gap=2.0)
