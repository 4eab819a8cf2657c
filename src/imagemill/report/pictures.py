"""Small pictures of images in packs, as text that stands in a page."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import polars as pl
from PIL import Image

from imagemill import images, packs

SIDE = 160  # pixels, longer edge; shown at 128, so that dense screens have something to show
QUALITY = 80
NOT_FETCHED = "not fetched"


class Thumb(NamedTuple):
    """A small picture, or why there is none."""

    uri: str
    """``data:`` address; empty where there is no picture."""
    width: int
    height: int
    missing: str


class Album:
    """Makes thumbnails of content hashes and remembers them; a context manager."""

    def __init__(
        self,
        places: pl.DataFrame,
        folder: Path,
        limits: images.Limits,
        unread: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        """Take where images lie, and for those that no picture comes out of the reason.

        They are not read again: one may have ended the process that did.
        """
        self._places = {row[0]: row[1:] for row in places.select(_PLACE).iter_rows()}
        self._unread = unread
        self._limits = limits
        self._reader = packs.Reader(folder)
        self._made: dict[str, Thumb] = {}

    def __enter__(self) -> "Album":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    def thumb(self, digest: str | None) -> Thumb:
        """Return the picture of the image with this content hash, upright, at most ``SIDE``."""
        if digest is None or digest not in self._places:
            return Thumb("", 0, 0, NOT_FETCHED)
        if digest in self._unread:
            return Thumb("", 0, 0, self._unread[digest] or "")
        if digest not in self._made:
            self._made[digest] = self._make(digest)
        return self._made[digest]

    def _make(self, digest: str) -> Thumb:
        try:
            _, image = images.read(self._reader.read(*self._places[digest]), self._limits)
        except images.Unreadable as error:
            return Thumb("", 0, 0, error.detail or error.reason)
        return _thumb(image)


_PLACE = ["digest", "pack", "offset", "length"]


def _thumb(image: Image.Image) -> Thumb:
    factor = min(1.0, SIDE / max(image.size))
    side = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    small = image if factor == 1 else image.resize(side, Image.Resampling.LANCZOS)
    code = b64encode(images.encode(small, "JPEG", QUALITY)).decode()
    return Thumb(f"data:image/jpeg;base64,{code}", *small.size, "")
