"""Write the final manifest's images in the formats that people train on, and test the result.

Every format shows the same pixels: those of ``contract``, after the transforms of the config, and
of training splits also what augmentation derives from them.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import Field

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
from imagemill.package.contents import contents
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

    @property
    def of_pixels(self) -> bool:
        """Whether no format holds files, so that no packaged file need be made."""
        wanted = [name for name, value in self if value is not None]
        return wanted == ["hdf5"] and self.hdf5 is not None and self.hdf5.store == "raw"


class Config(Section):
    """What is packaged, and how."""

    formats: Formats
    transforms: list[Step]
    """Made of every image before it is packaged, in this order."""
    augment: Choice
    """A choice of ``conf/augment``; null for none."""
    labels: list[str] | None
    """The labels in the order of their numbers, all of them; null: sorted."""
    seed: int
    """Of the order of samples in HDF5 and in shards."""
    max_pixels: Annotated[int, Field(ge=1)]
    max_bytes: Annotated[int, Field(ge=1)]
    about: About

    @property
    def limits(self) -> Limits:
        """What ``images`` is to refuse."""
        return Limits(max_pixels=self.max_pixels, max_bytes=self.max_bytes)


Write = Callable[[Lot, Shelf, Any, Path, Engine], tuple[pl.DataFrame, set[str]]]
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
    return Recipe(config.limits, Transforms(transforms), said, config.augment)


@dataclass(frozen=True)
class Input:
    """What a package is made of."""

    manifest: pl.DataFrame
    """``tables.MANIFEST``."""
    source: Source
    annotations: Annotations


def write(
    given: Input, config: Config, making: Recipe, out: Path, memo: Path, engine: Engine
) -> pl.DataFrame:
    """Write every configured format below ``out``, which may hold an earlier package.

    Where something fails, ``out`` keeps the earlier package whole. Returns what is packaged, as
    ``contents`` has it.
    """
    kept = contents(given.manifest, config.augment, config.labels)
    wanted = {name: value for name, value in config.formats if value is not None}
    with disk.explained(out), engine.kept() as workers:
        if making.plain and config.formats.of_pixels:
            rows, shelf = renditions.located(kept, given.source, making)
        else:
            rows, shelf = renditions.render(kept, given.source, making, memo, workers)
        lot = numbered(shards.ordered(rows, config.seed), config.labels)
        for name, settings in wanted.items():
            (out / name).mkdir(exist_ok=True)
            _write_format(name, settings, lot, shelf, given, config, making, out / name, workers)
    for path in out.iterdir():
        if path.name not in wanted and path.is_dir():
            shutil.rmtree(path)
    return kept


def _write_format(
    name: str,
    settings: Any,
    lot: Lot,
    shelf: Shelf,
    given: Input,
    config: Config,
    making: Recipe,
    out: Path,
    engine: Engine,
) -> None:
    warn_of_changes(out, lot)
    disk.check(out, lot.rows, settings)
    if name == "coco":
        followed = given.annotations.of(lot.rows, given.source, making)
        done, files = coco.write(followed, shelf, settings, out, engine)
    else:
        done, files = WRITE[name](lot, shelf, settings, out, engine)
    shards.commit(out, files)
    CONTENTS.write(out, done)
    labels.write(out, lot)
    if name == "imagefolder":
        imagefolder.finish(out, done, settings)
    croissant.write(out, name, config.about, done)
    checksums.write(out)


def summary(kept: pl.DataFrame, config: Config) -> str:
    """Return what was packaged in one line."""
    wanted = [name for name, value in config.formats if value is not None]
    derived = int((kept["copy"] > 0).sum())
    more = f" and {derived:,} derived from them" if derived else ""
    return (
        f"package: {len(kept) - derived:,} images{more}, {kept['label'].n_unique():,} labels, "
        f"as {', '.join(wanted)}; read back and verified"
    )


__all__ = [
    "FACTS",
    "Config",
    "Formats",
    "Input",
    "Source",
    "card",
    "contents",
    "recipe",
    "summary",
    "write",
]
