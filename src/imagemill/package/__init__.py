"""Write the final manifest's images in the formats that people train on, and test the result.

Every format shows the same pixels: those of ``contract``, after the transforms of the config, and
of training splits also what augmentation derives from them.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field, field_validator

from imagemill import arcface, arrays, certificates
from imagemill.about import About
from imagemill.arrays import PresumedWronglyError
from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.images import Limits
from imagemill.package import (
    card,
    checksums,
    coco,
    croissant,
    disk,
    folders,
    hdf5,
    imagefolder,
    labels,
    litdata,
    mds,
    memory,
    parquet,
    recordio,
    renditions,
    shards,
    webdataset,
)
from imagemill.package.annotations import Annotations
from imagemill.package.augment import Choice
from imagemill.package.coco import Config as Coco
from imagemill.package.contents import WANTED, Frame, contents
from imagemill.package.contract import Recipe
from imagemill.package.hdf5 import Config as Hdf5
from imagemill.package.imagefolder import Config as ImageFolder
from imagemill.package.labels import warn_of_changes
from imagemill.package.litdata import Config as LitData
from imagemill.package.lots import Lot
from imagemill.package.mds import Config as Mds
from imagemill.package.parquet import Config as Parquet
from imagemill.package.recordio import Config as RecordIO
from imagemill.package.renditions import FACTS, Placed, Source
from imagemill.package.shelf import Shelf
from imagemill.package.transforms import Step, Transform, Transforms, fingerprinted
from imagemill.package.webdataset import Config as WebDataset
from imagemill.tables import CONTENTS, Pieces

MANIFEST = ("verdict", *WANTED)
"""Columns of ``tables.MANIFEST`` that packaging needs."""

IMAGES_WORTH_A_WORKER = 1000
"""A worker starts in the time in which one that runs packages some thousands."""


class Formats(Section):
    """The formats to write, each with its settings; null leaves one out."""

    coco: Coco | None = None
    hdf5: Hdf5 | None = None
    imagefolder: ImageFolder | None = None
    litdata: LitData | None = None
    mds: Mds | None = None
    parquet: Parquet | None = None
    recordio: RecordIO | None = None
    webdataset: WebDataset | None = None

    def wanted(self) -> dict[str, Section]:
        """Return the settings of each format that is to be written."""
        return {name: settings for name, settings in self if settings is not None}

    @property
    def of_pixels(self) -> bool:
        """Whether no format holds files, so that no packaged file need be made."""
        return (
            list(self.wanted()) == ["hdf5"] and self.hdf5 is not None and self.hdf5.store == "raw"
        )


class Config(Section):
    """What is packaged, and how."""

    formats: Formats
    transforms: list[Step]
    """Made of every image before it is packaged, in this order."""
    augment: Choice
    """A choice of ``conf/augment``; null for none."""
    labels: list[str] | None
    """The labels in the order of their numbers, all of them; null: sorted."""
    metadata: Literal["strip", "keep"]
    """keep: where and by whom a photo was taken stays in the files that leave as they came."""
    seed: int
    """Of the order of samples in HDF5 and in shards."""
    max_pixels: Annotated[int, Field(ge=1)]
    max_bytes: Annotated[int, Field(ge=1)]
    about: About

    @field_validator("labels")
    @classmethod
    def _once(cls, labels: list[str] | None) -> list[str] | None:
        twice = [label for label, count in Counter(labels or ()).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]} stands twice; a label has one number")
        return labels

    @property
    def limits(self) -> Limits:
        """What ``images`` is to refuse."""
        return Limits(max_pixels=self.max_pixels, max_bytes=self.max_bytes)


Done = tuple[pl.DataFrame | Pieces, checksums.Files]
"""Rows of ``tables.CONTENTS``, in its order where they come in pieces, and the files."""

Write = Callable[[Lot, Shelf, Any, Path, Engine], Done]
"""Makes the files of one format below a folder, or below its ``shards.NEXT``."""

WRITE: dict[str, Write] = {
    "hdf5": hdf5.write,
    "imagefolder": imagefolder.write,
    "litdata": litdata.write,
    "mds": mds.write,
    "parquet": parquet.write,
    "recordio": recordio.write,
    "webdataset": webdataset.write,
}
"""By format, in the order in which they are written; ``coco`` needs the annotations as well."""


def recipe(config: Config, transforms: tuple[Transform, ...]) -> Recipe:
    """Return what makes packaged images; ``transforms`` are the objects of those in ``config``."""
    said = fingerprinted(transforms, config.transforms)
    keep = config.metadata == "keep"
    return Recipe(config.limits, Transforms(transforms), said, config.augment, keep)


@dataclass(frozen=True)
class Input:
    """What a package is made of."""

    manifest: Frame
    """``tables.MANIFEST``, or its columns ``MANIFEST``."""
    source: Source
    annotations: Annotations


def write(
    given: Input, config: Config, making: Recipe, out: Path, memo: Path, engine: Engine
) -> pl.DataFrame:
    """Write every configured format below ``out``, which may hold an earlier package.

    Where something fails, ``out`` keeps the earlier package whole. Returns for each label how many
    ``rows`` are packaged, and how many of them are ``derived``.
    """
    with disk.explained(out), engine.kept() as workers:
        count = given.manifest.lazy().select(pl.len()).collect().item()
        job = _Job(given, config, making.remembering(memo), out, memo, workers)
        workers.warm(count // IMAGES_WORTH_A_WORKER, job.module)
        try:
            told = job.write(presume=True)
        except PresumedWronglyError:
            told = job.write(presume=False)
    for path in out.iterdir():
        if path.name not in config.formats.wanted() and path.is_dir():
            shutil.rmtree(path)
    return told


@dataclass(frozen=True)
class _Job:
    """One call of ``write``."""

    given: Input
    config: Config
    making: Recipe
    out: Path
    memo: Path
    engine: Engine

    def write(self, *, presume: bool) -> pl.DataFrame:
        """Write every format; return how many rows there are of each label.

        With ``presume`` it may raise ``PresumedWronglyError``.
        """
        lot, shelf, presumed = self._lot(presume)
        told = _counts(lot)
        wanted = self.config.formats.wanted()
        for number, (name, settings) in enumerate(wanted.items(), 1):
            (self.out / name).mkdir(exist_ok=True)
            self._format(name, settings, lot, shelf, is_last=number == len(wanted))
            if presumed:  # every image of it was read, and is as presumed
                lot = renditions.settle(lot, self.making, self.memo)
                presumed = False
        return told

    def _lot(self, presume: bool) -> tuple[Lot, Shelf, bool]:
        """Return what is packaged, and whether its renditions are only presumed."""
        unused = ("source", "key") if self.config.formats.coco is None else ()
        wanted = [name for name in WANTED if name not in unused]
        kept = contents(self.given.manifest, self.config.augment, self.config.labels, wanted)
        lot = shards.ordered(kept, self.config.seed)
        presumed = self._presumed(lot) if presume else None
        placed = presumed or self._placed(lot)
        memory.give_back()
        return *placed, presumed is not None

    def _presumed(self, lot: Lot) -> Placed | None:
        """Return what may spare a look at every image: where there is no package yet."""
        if self._of_pixels() or any(self.out.glob(f"*/{CONTENTS.file}")):
            return None
        return renditions.presumed(lot, self.given.source, self.making, self.memo)

    @property
    def module(self) -> str:
        """The module in which the workers' work is; another takes long to import."""
        return arrays.__name__ if self._of_pixels() else __name__

    def _of_pixels(self) -> bool:
        return self.making.plain and self.config.formats.of_pixels

    def _placed(self, lot: Lot) -> Placed:
        if self._of_pixels():
            return renditions.located(lot, self.given.source, self.making)
        return renditions.render(lot, self.given.source, self.making, self.memo, self.engine)

    def _format(self, name: str, settings: Any, lot: Lot, shelf: Shelf, *, is_last: bool) -> None:
        done, files = self._files(name, settings, lot, shelf)
        if is_last:
            self.engine.rest()  # what is left to do takes memory, and no workers
        self._describe(name, lot, done, files)

    def _files(self, name: str, settings: Any, lot: Lot, shelf: Shelf) -> Done:
        """Make a format's files, in the place of those of an earlier package."""
        out = self.out / name
        warn_of_changes(out, lot)
        disk.check(out, lot.rows, settings)
        done: pl.DataFrame | Pieces
        if name == "coco":
            followed = self.given.annotations.of(lot.frame(), self.given.source, self.making)
            done, files = coco.write(followed, lot.labels, shelf, settings, out, self.engine)
        else:
            done, files = WRITE[name](lot, shelf, settings, out, self.engine)
        if name == "imagefolder" and settings.unpacked:
            folders.commit(out)
        else:
            shards.commit(out, set(files))
        return done, files

    def _describe(
        self, name: str, lot: Lot, done: pl.DataFrame | Pieces, files: checksums.Files
    ) -> None:
        """Write what tells of a format's files, beside them."""
        out = self.out / name
        memory.give_back()
        if isinstance(done, pl.DataFrame):
            CONTENTS.write(out, done)
        else:
            CONTENTS.write_pieces(out, done)
        labels.write(out, lot)
        if name == "imagefolder":
            arcface.write(out, CONTENTS.lazy(out).select("member", "split", "copy").collect())
        croissant.write(out, name, self.config.about, lot)
        checksums.write(out, files)


def _counts(lot: Lot) -> pl.DataFrame:
    label = lot.images["class"].gather(lot.rows["image"])
    derived = (lot.rows["copy"] > 0).alias("derived")
    rows = (
        pl.DataFrame([label, derived])
        .group_by("class")
        .agg(pl.len().alias("rows"), pl.sum("derived"))
    )
    return rows.sort("class")


def seal(certificate: Path, out: Path) -> None:
    """Put the certificate of ``leaks`` into each format's folder, and its checksums beside."""
    certificates.seal(certificate, out)
    for manifest in sorted(out.glob(f"*/{CONTENTS.file}")):
        checksums.add(manifest.parent, (certificates.FILE, certificates.SEALS))


def summary(kept: pl.DataFrame, config: Config) -> str:
    """Return what was packaged in one line."""
    wanted = config.formats.wanted()
    derived = int(kept["derived"].sum())
    more = f" and {derived:,} derived from them" if derived else ""
    return (
        f"package: {kept['rows'].sum() - derived:,} images{more}, {len(kept):,} labels, "
        f"as {', '.join(wanted)}; read back and verified"
    )


__all__ = [
    "FACTS",
    "MANIFEST",
    "Config",
    "Formats",
    "Input",
    "Source",
    "card",
    "contents",
    "recipe",
    "seal",
    "summary",
    "write",
]
