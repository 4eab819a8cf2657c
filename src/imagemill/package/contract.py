"""The image contract: the bytes under which an image leaves the mill.

Without transforms, a source's own bytes where they are upright, 8 bit, grey or RGB and of one
frame, less private metadata; else an upright PNG. With transforms, what they give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from imagemill import images
from imagemill.arrays import unreadable
from imagemill.images import Limits
from imagemill.memo import fingerprint
from imagemill.package import augment
from imagemill.package.transforms import Transforms

VERSION = 1  # of the contract; raise it when the same image would leave with other bytes
SUFFIX = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
FORMAT = {suffix: name for name, suffix in SUFFIX.items()}

AS_IS, STRIPPED, ENCODED, STORED = "as_is", "stripped", "encoded", "stored"
"""How packaged bytes come about: those of the source; less metadata; made anew; kept in a store."""

SOURCE = "source"
"""Not packaged bytes but the source's, of which a format makes pixels."""

PRESUMED = "presumed"
"""The source's, if they turn out to have nothing to leave out when they are read."""


class Fact(NamedTuple):
    """What ``measure`` knows of a source's bytes."""

    format: str | None
    """Null where nothing is known, and the header must be read."""
    width: int | None
    height: int | None
    """Pixels, upright."""


UNKNOWN = Fact(None, None, None)


class Made(NamedTuple):
    """An image as it is packaged."""

    data: bytes
    suffix: str
    how: str
    width: int
    height: int


@dataclass(frozen=True)
class Recipe:
    """All that makes a packaged image of a source's bytes."""

    limits: Limits
    transforms: Transforms = field(default_factory=lambda: Transforms(()))
    said: Sequence[Any] = ()
    """What identifies the transforms; see ``transforms.fingerprinted``."""
    copying: augment.Config | None = None
    keep: bool = False
    """Whether metadata stays in the bytes of images that meet the contract as they are."""

    def remembering(self, memo: Path) -> "Recipe":
        """Return a recipe whose transforms keep what they found out below ``memo``."""
        return replace(self, transforms=self.transforms.remembering(memo))

    @property
    def plain(self) -> bool:
        """Whether images leave as they came, as far as the contract lets them."""
        return not self.transforms.steps and self.copying is None

    def folders(self) -> set[str]:
        """Return the names of the memo's folders that hold what this recipe needs."""
        steps = (getattr(step, "fingerprint", None) for step in self.transforms.steps)
        return {self.fingerprinted(), *(step() for step in steps if step)}

    def fingerprinted(self) -> str:
        """Return the name of the memo of what this recipe makes."""
        more: dict[str, Any] = {"metadata": "keep"} if self.keep else {}
        if not self.plain:
            more |= {"transforms": list(self.said), "augment": self._copied()}
        return fingerprint(
            "contract",
            VERSION + 1,
            decoders=images.decoders(),
            max_pixels=self.limits.max_pixels,
            max_bytes=self.limits.max_bytes,
            **more,
        )

    def _copied(self) -> list[Any] | None:
        """Return what decides how a copy looks; not which there are."""
        if self.copying is None:
            return None
        said = self.copying.model_dump(exclude={"splits", "multiplier"})
        return [augment.VERSION, np.__version__, said]

    def made(self, data: bytes, digest: str, copies: Sequence[int]) -> list[Made]:
        """Return the copies of an image, by number; 0 is the image itself.

        Raises ``BuildError`` when it cannot be read.
        """
        image = self.transforms(opened(data, self.limits))
        encoding = self.transforms.encoding
        found = []
        for copy in copies:
            if not copy and not self.transforms.steps:
                found.append(canonical(data, self.limits, keep=self.keep)._replace(how=STORED))
                continue
            shown = image
            if copy and self.copying is not None:
                shown = augment.derive(image, self.copying, digest, copy)
            encoded = images.encode(shown, encoding.format, encoding.quality)
            found.append(Made(encoded, SUFFIX[encoding.format], STORED, *shown.size))
        return found


def canonical(data: bytes, limits: Limits, fact: Fact = UNKNOWN, *, keep: bool = False) -> Made:
    """Return the image ``data`` as it is packaged where nothing is asked for.

    Metadata of one that meets the contract stays where ``keep`` says so. ``fact`` spares reading
    the header of one that is known to. Raises ``BuildError`` when it cannot be read, which
    ``measure`` should have found.
    """
    try:
        name, width, height = fact
        if name is None or width is None or height is None:
            header = images.header(data, limits)
            width, height = header.width, header.height
            name = header.format if images.meets_contract(header) else None
        if name is None:
            _, image = images.read(data, limits)
            encoded = images.encode(image, "PNG", quality=100)
            return Made(encoded, "png", ENCODED, width, height)
        bare = data if keep else images.strip_metadata(data, name)
    except images.Unreadable as error:
        raise unreadable(data, error) from error
    return Made(bare, SUFFIX[name], AS_IS if bare == data else STRIPPED, width, height)


def opened(data: bytes, limits: Limits) -> Image.Image:
    """Return the upright image of a file. Raises ``BuildError`` when it cannot be read."""
    try:
        return images.read(data, limits)[1]
    except images.Unreadable as error:
        raise unreadable(data, error) from error
