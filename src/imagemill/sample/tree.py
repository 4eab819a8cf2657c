"""Put the pictures and the plan together: every file of the dataset, with its truth."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, cycle, islice
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from imagemill.errors import BuildError
from imagemill.sample import copies, forms, plan
from imagemill.sample.likeness import distance, phashes
from imagemill.sample.photographs import PHOTOGRAPHS, Region, Regions

SEED = 20_240_229
PLAIN = (6, 5, 4, 6, 5, 4, 6, 5, 4)  # images of the identities in which nothing is planted
SINGLE_CARDS = 22
SINGLE_ALBUMS = 2
CLASHES = 2  # of names, and of identities

# Distances of a copy from its original, in bits. None lies between the perceptual and the
# others, so that no radius from 6 to 13 splits the copies of one kind.
TIERS = {"bytes": (0, 0), "pixels": (0, 0), "perceptual": (0, 6), "keypoints": (14, 64)}

SPLITS: tuple[plan.Split, ...] = ("train", "train", "test", "train", "test", "train")
"""Of the clean images of an identity, in order."""


@dataclass(frozen=True)
class File:
    """One file, and what is true of it."""

    source: Literal["album", "cards"]
    key: str
    data: bytes
    label: str | None
    """As ``labels.csv`` has it; None: it has no row."""
    problem: str = "none"
    verdict: plan.Verdict = plan.CLEAN
    tier: str = ""
    of: str = ""
    """The original of a copy, as ``<source>/<key>``."""

    @property
    def path(self) -> str:
        """The path below the folder of the dataset."""
        return f"{self.source}/{self.key}"

    def size(self) -> tuple[int, int] | None:
        """Return width and height of the upright picture; None where none can be read."""
        if self.verdict.stage == "measure" and self.verdict.outcome == "remove":
            return None
        with Image.open(io.BytesIO(self.data)) as image:
            return ImageOps.exif_transpose(image).size


def files() -> list[File]:
    """Return every file, sorted by path.

    Raises ``BuildError`` when a photograph is missing or the photographs are used up.
    """
    regions = Regions(np.random.default_rng(SEED))
    suffixes = cycle((".jpg", ".jpg", ".jpg", ".png"))
    parts = (_plain, _planted, _copied, _last, _contested, _namesakes, _single)
    found = chain.from_iterable(part(regions, suffixes) for part in parts)
    return sorted(found, key=lambda file: file.path)


def _plain(regions: Regions, suffixes: Iterator[str]) -> Iterator[File]:
    for count in PLAIN:
        yield from _clean(regions.take(count), suffixes)


def _planted(regions: Regions, suffixes: Iterator[str]) -> Iterator[File]:
    """Yield three clean images and a group of planted ones for each identity."""
    splits = cycle(SPLITS)
    for group in plan.PLANTED:
        region = regions.take(3 + sum(planted.shows for planted in group))
        yield from _clean(_part(region, 0, 3), suffixes)
        fresh = iter(region.pictures[3:])
        for number, planted in enumerate(group, start=4):
            picture = next(fresh) if planted.shows else region.pictures[0]
            file = _image(region, number, next(splits), planted.suffix, planted.make(picture))
            label = _said(planted, region.label)
            yield replace(file, label=label, problem=planted.problem, verdict=planted.verdict)


def _said(planted: plan.Planted, label: str) -> str | None:
    labels = [photograph.label for photograph in PHOTOGRAPHS]
    other = labels[(labels.index(label) + 1) % len(labels)]
    return {"own": label, "other": other, "none": None}[planted.label]


def _copied(regions: Regions, suffixes: Iterator[str]) -> Iterator[File]:
    """Yield three clean images, a copy of the first and, for most identities, a card."""
    for copy in plan.COPIES:
        carded = copy.split == "train"
        region = regions.take(4 if carded else 3)
        clean = _clean(_part(region, 0, 3), chain([copy.original], suffixes))
        yield from clean
        yield _copy(copy, region, clean[0], number=4)
        if carded:
            yield _card(region, region.pictures[3])


def _last(regions: Regions, _: Iterator[str]) -> Iterator[File]:
    """Yield an image that is alone in its identity once its copy is removed."""
    region = regions.take(1)
    original = _image(region, 1, "train", ".jpg", forms.jpeg(region.pictures[0]))
    yield replace(original, problem="last_one", verdict=plan.LAST_ONE)
    yield _copy(plan.LAST_COPY, region, original, number=2)


def _contested(regions: Regions, suffixes: Iterator[str]) -> Iterator[File]:
    """Yield pairs of identities, three clean images each, that share the bytes of a fourth."""
    for _ in range(CLASHES):
        pair = regions.take(4), regions.take(3)
        for region in pair:
            yield from _clean(_part(region, 0, 3), suffixes)
        data = forms.jpeg(pair[0].pictures[3])
        first, second = (_image(region, 4, "train", ".jpg", data) for region in pair)
        for file, other in ((first, second), (second, first)):
            contested = replace(file, problem="identity_conflict", verdict=plan.CONFLICT)
            yield replace(contested, tier="bytes", of=other.path)


def _namesakes(regions: Regions, suffixes: Iterator[str]) -> Iterator[File]:
    """Yield identities with two images, of other content, that have one name but for suffix."""
    for _ in range(CLASHES):
        region = regions.take(5)
        yield from _clean(_part(region, 0, 3), suffixes)
        key = f"train/{region.name}/{region.name}_face.jpg"
        photo = File("album", key, forms.jpeg(region.pictures[3]), region.label)
        for file in (photo, _card(region, region.pictures[4])):
            yield replace(file, problem="name_collision", verdict=plan.NAMESAKE)


def _single(regions: Regions, _: Iterator[str]) -> Iterator[File]:
    """Yield identities of a single image."""
    for number in range(SINGLE_ALBUMS + SINGLE_CARDS):
        region = regions.take(1)
        picture = region.pictures[0]
        photo = _image(region, 1, "train", ".jpg", forms.jpeg(picture))
        file = photo if number < SINGLE_ALBUMS else _card(region, picture)
        yield replace(file, problem="single", verdict=plan.SKIPPED)


def _part(region: Region, start: int, stop: int) -> Region:
    return Region(region.name, region.label, region.pictures[start:stop])


def _clean(region: Region, suffixes: Iterator[str]) -> list[File]:
    """Return clean images of all pictures, the first of them in train."""
    kinds = islice(suffixes, len(region.pictures))
    rows = zip(region.pictures, SPLITS, kinds, strict=False)
    return [
        _image(region, number, split, suffix, forms.plain(picture, suffix))
        for number, (picture, split, suffix) in enumerate(rows, start=1)
    ]


def _copy(copy: plan.Copy, region: Region, original: File, number: int) -> File:
    file = _image(region, number, copy.split, copy.suffix, _fit(copy, original.data))
    planted = replace(file, problem=copy.problem, verdict=copy.verdict)
    return replace(planted, tier=copy.tier, of=original.path)


def _fit(copy: plan.Copy, original: bytes) -> bytes:
    """Return the first version whose distance from the original is that of its tier."""
    least, most = TIERS[copy.tier]
    variants = phashes(forms.decoded(original))
    for version in copy.versions(original):
        if least <= distance(variants, [phashes(forms.decoded(version))]) <= most:
            return version
    raise BuildError(
        f"sample: no version of {copy.problem} differs from its original in {least} to {most} "
        f"bits; add one to {copies.__name__}"
    )


def _image(region: Region, number: int, split: plan.Split, suffix: str, data: bytes) -> File:
    key = f"{split}/{region.name}/{region.name}_{number}{suffix}"
    return File("album", key, data, region.label)


def _card(region: Region, picture: Image.Image) -> File:
    return File("cards", f"{region.name}_face.png", forms.png(picture), region.label)
