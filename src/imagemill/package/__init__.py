"""Write the final manifest's images in the formats that people train on, and test the result.

Every format shows the same pixels: those of ``contract``, after the transforms of the config, and
of training splits also what augmentation derives from them.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field, field_validator

from imagemill import arcface, certificates
from imagemill.about import About
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
    parquet,
    recordio,
    renditions,
    shards,
    webdataset,
)
from imagemill.package.annotations import Annotations
from imagemill.package.augment import Choice
from imagemill.package.coco import Config as Coco
from imagemill.package.contents import WANTED, contents
from imagemill.package.contract import Recipe
from imagemill.package.hdf5 import Config as Hdf5
from imagemill.package.imagefolder import Config as ImageFolder
from imagemill.package.labels import Lot, numbered, warn_of_changes
from imagemill.package.litdata import Config as LitData
from imagemill.package.mds import Config as Mds
from imagemill.package.parquet import Config as Parquet
from imagemill.package.recordio import Config as RecordIO
from imagemill.package.renditions import FACTS, Shelf, Source
from imagemill.package.transforms import Step, Transform, Transforms, fingerprinted
from imagemill.package.webdataset import Config as WebDataset
from imagemill.tables import CONTENTS

MANIFEST = ("verdict", *WANTED)
"""Columns of ``tables.MANIFEST`` that packaging needs."""

IMAGES_WORTH_A_WORKER = 1000
"""A worker starts in the time in which one that runs packages some thousands."""

Placed = tuple[pl.DataFrame, Shelf]
"""Rows of ``contents`` with the places of their bytes, and where these are read."""


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


Write = Callable[[Lot, Shelf, Any, Path, Engine], tuple[pl.DataFrame, checksums.Files]]
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

    manifest: pl.DataFrame
    """``tables.MANIFEST``, or its columns ``MANIFEST``."""
    source: Source
    annotations: Annotations


def write(
    given: Input, config: Config, making: Recipe, out: Path, memo: Path, engine: Engine
) -> pl.DataFrame:
    """Write every configured format below ``out``, which may hold an earlier package.

    Where something fails, ``out`` keeps the earlier package whole. Returns label and copy of each
    row that is packaged.
    """
    with disk.explained(out), engine.kept() as workers:
        workers.warm(len(given.manifest) // IMAGES_WORTH_A_WORKER)
        job = _Job(given, config, making.remembering(memo), out, memo, workers)
        try:
            told = job.write(presume=True)
        except renditions.PresumedWronglyError:
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
        """Write every format; return label and copy of each row.

        With ``presume`` it may raise ``PresumedWronglyError``.
        """
        lot, shelf, presumed = self._lot(presume)
        told = lot.rows.select("label", "copy")
        for name, settings in self.config.formats.wanted().items():
            (self.out / name).mkdir(exist_ok=True)
            self._format(name, settings, lot, shelf)
            if presumed:  # every image of it was read, and is as presumed
                lot = replace(lot, rows=renditions.settle(lot.rows, self.making, self.memo))
                presumed = False
        return told

    def _lot(self, presume: bool) -> tuple[Lot, Shelf, bool]:
        """Return what is packaged, and whether its renditions are only presumed."""
        kept = contents(self.given.manifest, self.config.augment, self.config.labels)
        if self.config.formats.coco is None:
            kept = kept.drop("source", "key")
        placed = self._presumed(kept) if presume else None
        rows, shelf = placed or self._placed(kept)
        lot = numbered(shards.ordered(rows, self.config.seed), self.config.labels)
        return lot, shelf, placed is not None

    def _presumed(self, kept: pl.DataFrame) -> Placed | None:
        """Return what may spare a look at every image: where there is no package yet."""
        if self._of_pixels() or any(self.out.glob(f"*/{CONTENTS.file}")):
            return None
        return renditions.presumed(kept, self.given.source, self.making, self.memo)

    def _of_pixels(self) -> bool:
        return self.making.plain and self.config.formats.of_pixels

    def _placed(self, kept: pl.DataFrame) -> Placed:
        if self._of_pixels():
            return renditions.located(kept, self.given.source, self.making)
        return renditions.render(kept, self.given.source, self.making, self.memo, self.engine)

    def _format(self, name: str, settings: Any, lot: Lot, shelf: Shelf) -> None:
        out = self.out / name
        warn_of_changes(out, lot)
        disk.check(out, lot.rows, settings)
        if name == "coco":
            followed = self.given.annotations.of(lot.rows, self.given.source, self.making)
            done, files = coco.write(followed, lot.labels, shelf, settings, out, self.engine)
        else:
            done, files = WRITE[name](lot, shelf, settings, out, self.engine)
        if name == "imagefolder" and settings.unpacked:
            folders.commit(out)
        else:
            shards.commit(out, set(files))
        CONTENTS.write(out, done)
        labels.write(out, lot)
        if name == "imagefolder":
            arcface.write(out, done)
        croissant.write(out, name, self.config.about, done)
        checksums.write(out, files)


def seal(certificate: Path, out: Path) -> None:
    """Put the certificate of ``leaks`` into each format's folder, and its checksums beside."""
    certificates.seal(certificate, out)
    for manifest in sorted(out.glob(f"*/{CONTENTS.file}")):
        checksums.add(manifest.parent, (certificates.FILE, certificates.SEALS))


def summary(kept: pl.DataFrame, config: Config) -> str:
    """Return what was packaged in one line."""
    wanted = config.formats.wanted()
    derived = int((kept["copy"] > 0).sum())
    more = f" and {derived:,} derived from them" if derived else ""
    return (
        f"package: {len(kept) - derived:,} images{more}, {kept['label'].n_unique():,} labels, "
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
