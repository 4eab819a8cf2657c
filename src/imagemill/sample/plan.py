"""What is planted: one line for each problem, with the verdict that a build has to reach."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeVar

from imagemill.sample import copies, forms

Split = Literal["train", "test"]


class Verdict(NamedTuple):
    """What becomes of a file, by which stage, and the reason it gives."""

    stage: str
    outcome: Literal["keep", "remove", "skip", "flag"]
    reason: str = ""


@dataclass(frozen=True)
class Copy:
    """A copy of the first image of an identity, which is clean and in train."""

    problem: str
    verdict: Verdict
    tier: Literal["bytes", "pixels", "perceptual", "keypoints"]
    versions: Callable[[bytes], Iterator[bytes]]
    """From the original's file; the first that belongs to ``tier`` is planted."""
    original: str = ".jpg"
    """Suffix of the original."""
    suffix: str = ".jpg"
    split: Split = "train"


@dataclass(frozen=True)
class Planted:
    """A file beside the clean images of an identity, which is no copy of them."""

    problem: str
    verdict: Verdict
    make: Callable[[forms.Picture], bytes]
    suffix: str = ".jpg"
    shows: bool = True
    """Whether a picture can be made out; else none is used up for it."""
    label: Literal["own", "other", "none"] = "own"
    """What ``labels.csv`` says."""


CLEAN = Verdict("", "keep")
SKIPPED = Verdict("scan", "skip", "identity_too_small")
NAMELESS = Verdict("scan", "remove", "no_label")
NAMESAKE = Verdict("merge", "keep")
CONFLICT = Verdict("merge", "remove", "identity_conflict")
LAST_ONE = Verdict("leaks", "remove", "identity_too_small")

_SAME_BYTES = Verdict("merge", "remove", "same_bytes")
_DUPLICATE = Verdict("clean", "remove", "duplicate")
_LEAK = Verdict("leaks", "remove", "leak")
_UNDERSTOOD = Verdict("measure", "keep")
_FLAGGED = Verdict("clean", "flag", "wrong_extension")
_STRIPPED = Verdict("package", "keep")


T = TypeVar("T")


def _twice(item: T) -> tuple[T, T]:
    return item, item


def _merge(reason: str) -> Verdict:
    return Verdict("merge", "remove", reason)


def _measure(reason: str) -> Verdict:
    return Verdict("measure", "remove", reason)


def _clean(reason: str) -> Verdict:
    return Verdict("clean", "remove", reason)


def _oriented(orientation: int) -> Planted:
    make = partial(forms.oriented, orientation=orientation)
    return Planted(f"orientation_{orientation}", _UNDERSTOOD, make)


_small = partial(copies.stored, form=forms.small_png)
_recompressed = partial(copies.recompressed, quality=40)
_pixels = partial(Copy, "same_pixels", _DUPLICATE, "pixels", original=".png")
_leak = partial(Copy, verdict=_LEAK, split="test")

COPIES = (
    *_twice(Copy("same_bytes", _SAME_BYTES, "bytes", copies.same)),
    *_twice(Copy("resized", _DUPLICATE, "perceptual", copies.resized)),
    *_twice(Copy("mirrored", _DUPLICATE, "perceptual", copies.mirrored)),
    *_twice(Copy("cropped_5", _DUPLICATE, "perceptual", copies.trimmed)),
    *_twice(Copy("cropped_20", _DUPLICATE, "keypoints", copies.cropped)),
    *_twice(Copy("rotated_10", _DUPLICATE, "keypoints", copies.tilted)),
    *(
        Copy("recompressed", _DUPLICATE, "perceptual", partial(copies.recompressed, quality=q))
        for q in (30, 45, 60)
    ),
    *(
        Copy(
            f"rotated_{degrees}", _DUPLICATE, "perceptual", partial(copies.turned, degrees=degrees)
        )
        for degrees in (90, 180, 270)
        for _ in range(2)
    ),
    _pixels(versions=_small, suffix=".png"),
    _pixels(versions=partial(copies.stored, form=forms.noted_png), suffix=".png"),
    _pixels(versions=partial(copies.stored, form=forms.lossless_webp), suffix=".webp"),
    _leak("leak_bytes", tier="bytes", versions=copies.same),
    _leak("leak_bytes", tier="bytes", versions=copies.same, original=".png", suffix=".png"),
    *_twice(_leak("leak_pixels", tier="pixels", versions=_small, original=".png", suffix=".png")),
    *_twice(_leak("leak_recompressed", tier="perceptual", versions=_recompressed)),
    *_twice(_leak("leak_mirrored", tier="perceptual", versions=copies.mirrored)),
)
"""Each in an identity of its own."""

LAST_COPY = Copy("recompressed", _DUPLICATE, "perceptual", _recompressed)
"""That of an image which is alone once its copy is gone."""

PLANTED: tuple[tuple[Planted, ...], ...] = (
    *_twice((Planted("wrong_label", _merge("label_conflict"), forms.jpeg, label="other"),)),
    *_twice((Planted("no_label", NAMELESS, forms.jpeg, label="none"),)),
    *_twice((Planted("blurred", _clean("blurred"), forms.blurred),)),
    *_twice((Planted("dark", _clean("dark"), forms.dark),)),
    *_twice((Planted("bright", _clean("bright"), forms.bright),)),
    *_twice((Planted("tiny", _clean("too_small"), forms.tiny),)),
    *_twice((Planted("odd_aspect", _clean("odd_aspect"), forms.stretched),)),
    *_twice((Planted("animated", _clean("animated"), forms.animated, ".gif"),)),
    (Planted("low_information", _clean("low_information"), forms.flat, ".png", shows=False),),
    (Planted("low_information", _clean("low_information"), forms.framed, ".png", shows=False),),
    *_twice((Planted("truncated_jpeg", _measure("truncated"), forms.truncated_jpeg),)),
    *_twice((Planted("truncated_png", _measure("truncated"), forms.truncated_png, ".png"),)),
    *_twice((Planted("corrupt", _measure("corrupt"), forms.corrupt, ".png"),)),
    # Only one: two would be the same bytes under two identities.
    (Planted("empty", _measure("empty"), forms.nothing, shows=False),),
    *_twice((Planted("html", _measure("not_an_image"), forms.html, shows=False),)),
    *_twice((Planted("noise", _measure("not_an_image"), forms.noise, ".png", shows=False),)),
    *_twice((Planted("bomb", _measure("too_many_pixels"), forms.bomb, ".png", shows=False),)),
    (Planted("wrong_extension", _FLAGGED, forms.png, ".jpg"),),
    (Planted("wrong_extension", _FLAGGED, forms.jpeg, ".png"),),
    *_twice((Planted("private_metadata", _STRIPPED, forms.private),)),
    tuple(_oriented(orientation) for orientation in (1, 2, 3, 4)),
    tuple(_oriented(orientation) for orientation in (5, 6, 7, 8)),
    *_twice(
        (
            Planted("mode_cmyk", _UNDERSTOOD, forms.cmyk),
            Planted("mode_16_bit", _UNDERSTOOD, forms.sixteen_bit, ".png"),
            Planted("mode_rgba", _UNDERSTOOD, forms.rgba, ".png"),
            Planted("mode_grey_alpha", _UNDERSTOOD, forms.grey_alpha, ".png"),
        )
    ),
    *_twice(
        (
            Planted("mode_palette", _UNDERSTOOD, forms.palette, ".png"),
            Planted("mode_palette_alpha", _UNDERSTOOD, forms.palette_alpha, ".png"),
            Planted("mode_gif", _UNDERSTOOD, forms.gif, ".gif"),
            Planted("mode_webp", _UNDERSTOOD, forms.webp, ".webp"),
        )
    ),
)
"""Each group in an identity of its own; files that are kept do not disturb one another."""
