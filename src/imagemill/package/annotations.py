"""Boxes and outlines of a COCO source, brought to where the packaged pixels are."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from imagemill.errors import BuildError
from imagemill.package import augment
from imagemill.package.contract import Recipe
from imagemill.package.geometry import Box, Frame, area, corners, turned
from imagemill.package.masks import lit, warped
from imagemill.package.renditions import Source
from imagemill.tables import read_side_tables

ANNOTATIONS, IMAGES = ".annotations", ".images"
"""Behind a source's name: the side tables that a source of kind ``coco`` brings."""

SAID = {
    "key": pl.String,
    "category": pl.String,
    "x": pl.Float64,
    "y": pl.Float64,
    "w": pl.Float64,
    "h": pl.Float64,
    "area": pl.Float64,
    "iscrowd": pl.Boolean,
    "segmentation": pl.String,
}
"""What is used of the table of annotations; ``sources.coco`` explains it."""


LAST_UNTURNED = 4
"""EXIF's orientations above swap width and height."""


@dataclass(frozen=True)
class Annotation:
    """One annotation of a packaged image, in its pixels."""

    category: str
    box: tuple[float, float, float, float]
    area: float
    iscrowd: bool
    segmentation: Any
    """Polygons, or a run-length encoding, as COCO has them."""


@dataclass(frozen=True)
class Annotations:
    """What sources say of parts of their images."""

    said: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """``SAID``, by source."""
    declared: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """key, width and height of each image as the annotations' file has them, by source."""

    def of(self, listed: pl.DataFrame, source: Source, making: Recipe) -> "Followed":
        """Return the annotations of ``listed``, moved as its images were."""
        side = pl.struct("width", "height")
        facts = source.facts.lazy().select("digest", "orientation", upright=side).collect()
        rows = listed.join(facts, on="digest", how="left", maintain_order="left")
        return Followed(rows, self, making)


def read(folder: Path) -> Annotations:
    """Read the annotations among the side tables that ``scan`` left in ``folder``."""
    names = json.loads((folder / "tables" / "names.json").read_text())
    sources = [name.removesuffix(ANNOTATIONS) for name in names if name.endswith(ANNOTATIONS)]
    found = read_side_tables(folder, [name + ANNOTATIONS for name in sources])
    images = read_side_tables(folder, [name + IMAGES for name in sources])
    return Annotations(
        {name: found[name + ANNOTATIONS].select(*SAID).drop_nulls("key") for name in sources},
        {name: images[name + IMAGES].select("key", "width", "height") for name in sources},
    )


@dataclass(frozen=True)
class Followed:
    """Annotations of packaged images."""

    rows: pl.DataFrame
    given: Annotations
    making: Recipe

    def each(self) -> Iterator[list[Annotation]]:
        """Yield the annotations of each row of ``rows``, in order.

        An image of a source without any has one: its label, for the whole of it.
        """
        told = {name: self._by_key(name) for name in self.given.said}
        columns = ("source", "key", "label", "digest", "copy", "width", "height")
        rows = self.rows.select(*columns, "orientation", "upright").iter_rows()
        for source, key, label, digest, copy, width, height, orientation, upright in rows:
            if source not in told:
                box = (0.0, 0.0, float(width), float(height))
                yield [Annotation(label, box, float(width * height), False, [])]
                continue
            sides, said = told[source]
            here = said.get(key, [])
            whole = tuple(upright.values()) if upright and upright["width"] else (width, height)
            frame = self._frame(digest, copy, sides.get(key), orientation or 1, whole)
            if frame.side != (width, height):
                raise BuildError(
                    f"package.transforms: {key} came out as {width} x {height}, and its boxes for "
                    f"{frame.side[0]} x {frame.side[1]}: a callable of yours that moves pixels "
                    "needs a method `affine(width, height)`; see imagemill.package.geometry"
                )
            yield [moved for row in here if (moved := _moved(row, frame)) is not None]

    def _by_key(self, name: str) -> tuple[dict[str, tuple[int, int]], dict[str, list[Any]]]:
        wanted = self.rows.filter(source=name).select("key").unique()
        sides = self.given.declared[name].join(wanted, on="key", how="semi").drop_nulls()
        said: dict[str, list[Any]] = {}
        for row in self.given.said[name].join(wanted, on="key", how="semi").iter_rows(named=True):
            said.setdefault(row["key"], []).append(row)
        return {key: (width, height) for key, width, height in sides.iter_rows()}, said

    def _frame(
        self,
        digest: str,
        copy: int,
        declared: tuple[int, int] | None,
        orientation: int,
        whole: tuple[int, int],
    ) -> Frame:
        """Return where the pixels that an annotation speaks of are in the packaged image.

        It speaks of upright pixels, unless the side that its file declares is that of the stored
        ones. ``whole`` is the side of the source's image, upright.
        """
        frame = turned(1, *whole)
        if orientation > LAST_UNTURNED and declared == whole[::-1] and declared != whole:
            frame = turned(orientation, *declared)
        frame = frame.then(self.making.transforms.affine(*frame.side))
        if copy and self.making.copying is not None:
            chosen, _ = augment.draw(self.making.copying, digest, copy)
            frame = frame.then(chosen.affine(*frame.side))
        return frame


def _moved(row: dict[str, Any], frame: Frame) -> Annotation | None:
    """Return an annotation after ``frame``; None where nothing of it is left in the picture.

    Its area is the share of what was said that is left, as its outline has it.
    """
    if row["category"] is None or row["x"] is None or row["w"] is None:
        return None
    given = (row["x"], row["y"], row["w"], row["h"])
    box = frame.box(given)
    try:
        outline, share = _followed(row["segmentation"], given, frame)
    except (ValueError, TypeError, LookupError) as error:
        raise BuildError(
            f"package.formats.coco: {row['key']}: a segmentation of {row['category']} is neither "
            f"polygons nor a run-length encoding ({error}); correct it in the source's JSON"
        ) from error
    if box is None or not share:
        return None
    said = row["area"] if row["area"] is not None else row["w"] * row["h"]
    return Annotation(row["category"], box, said * share, bool(row["iscrowd"]), outline)


def _followed(text: str | None, box: Box, frame: Frame) -> tuple[Any, float]:
    """Return an outline after ``frame``, and how its area compares with what it was."""
    said = json.loads(text) if text else []
    outline: Any
    if isinstance(said, dict):
        outline = warped(said, frame)
        before, after = float(lit(said)), float(lit(outline))
    else:
        outline = [left for each in said if (left := frame.outline(each))]
        before, after = sum(map(area, said), 0.0), sum(map(area, outline), 0.0)
    if not before:  # such as a line; then there is the box alone
        before, after = area(corners(box)), area(frame.outline(corners(box)))
    return outline, after / before if before else 0.0
