"""Transforms of an image before it is packaged, in the order in which the config lists them.

A transform is any callable that takes and gives an image of PIL in mode "L" or "RGB", and that can
be pickled. One that moves pixels also has ``affine(width, height)``, so that boxes and outlines
follow; see ``imagemill.package.geometry``.
"""

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import AfterValidator, Field, ValidationError

from imagemill.config import Section
from imagemill.errors import BuildError, suggest
from imagemill.package.background import RemoveBackground
from imagemill.package.geometry import IDENTITY, Frame, placed

Transform = Callable[[Image.Image], Image.Image]

Pixels = Annotated[int, Field(ge=1)]

VERSION = 1  # of the transforms of this module; raise it when one gives other pixels than before


class Resize(Section):
    """Bring an image to ``width`` by ``height`` with Lanczos' filter."""

    width: Pixels
    height: Pixels
    how: Literal["exact", "fit", "fill"]
    """exact: stretched; fit: the largest that fits inside, aspect kept; fill: the smallest that
    covers, aspect kept, of which the centre is cut out."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the resized image."""
        side, box = self._cut(*image.size)
        if image.size == side:
            return image
        return image.resize(side, Image.Resampling.LANCZOS, box=box)

    def affine(self, width: int, height: int) -> Frame:
        """Return where pixels go."""
        side, (left, top, right, bottom) = self._cut(width, height)
        scale = side[0] / (right - left), side[1] / (bottom - top)
        return Frame(placed(*scale, -left * scale[0], -top * scale[1]), side)

    def _cut(
        self, width: int, height: int
    ) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
        """Return the side of the result and the part of the image that it shows."""
        across, down = self.width / width, self.height / height
        if self.how == "exact":
            return (self.width, self.height), (0, 0, width, height)
        if self.how == "fit":
            scale = min(across, down)
            side = max(1, round(width * scale)), max(1, round(height * scale))
            return side, (0, 0, width, height)
        scale = max(across, down)
        wide, high = self.width / scale, self.height / scale
        left, top = (width - wide) / 2, (height - high) / 2
        return (self.width, self.height), (left, top, left + wide, top + high)


class CentreCrop(Section):
    """Cut the centre out, of ``width`` by ``height`` or as much as there is."""

    width: Pixels
    height: Pixels

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the centre."""
        (left, top), (wide, high) = self._cut(*image.size)
        return image.crop((left, top, left + wide, top + high))

    def affine(self, width: int, height: int) -> Frame:
        """Return where pixels go."""
        (left, top), side = self._cut(width, height)
        return Frame(placed(1, 1, -left, -top), side)

    def _cut(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        wide, high = min(self.width, width), min(self.height, height)
        return ((width - wide) // 2, (height - high) // 2), (wide, high)


class Convert(Section):
    """Make every image grey, or every image RGB."""

    mode: Literal["L", "RGB"]

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the image in ``mode``; grey is ITU-R 601 luma, as everywhere in Pillow."""
        return image if image.mode == self.mode else image.convert(self.mode)


class Encode(Section):
    """How what comes out is written; PNG where no transform says. Best as the last of the list."""

    format: Literal["JPEG", "PNG", "WEBP"]
    """PNG and WEBP lose nothing."""
    quality: Annotated[int, Field(ge=1, le=100)]
    """Of JPEG."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the image as it is."""
        return image


OWN = {each.__name__: each for each in (Resize, CentreCrop, Convert, Encode, RemoveBackground)}

HERE = f"{__name__}."


def _checked(step: dict[str, Any]) -> dict[str, Any]:
    target = step.get("_target_")
    if not isinstance(target, str):
        raise ValueError(f"needs `_target_`, such as {HERE}Resize, or a function of your own")
    if not target.startswith(HERE):
        return step
    name = target.removeprefix(HERE)
    if name not in OWN:
        raise ValueError(f"no transform {name}{suggest(name, list(OWN))}")
    try:
        OWN[name].model_validate({key: step[key] for key in step if key != "_target_"})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{name}.{first['loc'][-1]}: {first['msg']}") from error
    return step


Step = Annotated[dict[str, Any], AfterValidator(_checked)]
"""An entry of the list: ``_target_``, and what it is called with."""


@dataclass(frozen=True)
class Transforms:
    """The transforms of one dataset."""

    steps: tuple[Transform, ...]

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the image after all of them. Raises ``BuildError`` where one fails."""
        for number, step in enumerate(self.steps):
            try:
                image = step(image)
            except BuildError:
                raise
            except Exception as error:  # a user's callable may raise anything
                raise BuildError(f"package.transforms[{number}]: {_failed(error)}") from error
            if not isinstance(image, Image.Image) or image.mode not in ("L", "RGB"):
                got = getattr(image, "mode", type(image).__name__)
                raise BuildError(
                    f"package.transforms[{number}]: gave {got}; it must give an image of PIL in "
                    "mode L or RGB"
                )
        return image

    def affine(self, width: int, height: int) -> Frame:
        """Return where pixels go in an image of that side."""
        frame = Frame(IDENTITY, (width, height))
        for step in self.steps:
            moved = getattr(step, "affine", None)
            frame = frame.then(moved(*frame.side)) if moved else frame
        return frame

    def remembering(self, memo: Path) -> "Transforms":
        """Return transforms of which those that can keep what they found out below ``memo``."""
        kept = (getattr(step, "remembering", None) for step in self.steps)
        return Transforms(
            tuple(keep(memo) if keep else step for keep, step in zip(kept, self.steps, strict=True))
        )

    @property
    def encoding(self) -> Encode:
        """How the result is written."""
        found = [step for step in self.steps if isinstance(step, Encode)]
        return found[-1] if found else Encode(format="PNG", quality=100)


def _failed(error: Exception) -> str:
    """Return what was raised, and where."""
    *_, last = traceback.extract_tb(error.__traceback__)
    place = f"{Path(last.filename).name}, line {last.lineno}"
    return f"raised {type(error).__name__}: {error} ({place}); mend it, or its arguments"


def fingerprinted(steps: Sequence[Transform], said: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return what identifies the results of ``steps``, which ``said`` of the config made.

    Of a callable of others also the file that it is written in. What that file imports is not
    looked at; a new value of any argument is the way to say that it has changed.
    """
    return [[_version(step), dict(each)] for step, each in zip(steps, said, strict=True)]


def _version(step: Transform) -> Any:
    if isinstance(step, RemoveBackground):
        return step.fingerprint()
    return VERSION if isinstance(step, tuple(OWN.values())) else _source(step)


def _source(step: Transform) -> str:
    made = step.func if isinstance(step, partial) else step
    thing = made if inspect.isroutine(made) else type(made)
    try:
        path = inspect.getsourcefile(thing)
    except TypeError:
        path = None
    return sha256(Path(path).read_bytes()).hexdigest() if path else "compiled"
