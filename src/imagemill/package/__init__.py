"""Write the final manifest's images in the formats that people train on, and test the result.

Every format shows the same pixels: a source's own bytes where they meet the image contract
(upright, 8 bit, grey or RGB, one frame), without private metadata; else upright PNG.
"""

import shutil
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill.about import About
from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.images import Limits
from imagemill.memo import Memo
from imagemill.package import card, contract, hdf5, imagefolder
from imagemill.package.hdf5 import Config as Hdf5
from imagemill.package.imagefolder import Config as ImageFolder
from imagemill.tables import CONTENTS


class Formats(Section):
    """The formats to write, each with its settings; null leaves one out."""

    imagefolder: ImageFolder | None = None
    hdf5: Hdf5 | None = None


class Config(Section):
    """What is packaged, and how."""

    formats: Formats
    max_pixels: Annotated[int, Field(ge=1)]
    max_bytes: Annotated[int, Field(ge=1)]
    about: About


def contents(manifest: pl.DataFrame) -> pl.DataFrame:
    """Return the kept samples with ``folder`` (split/label), ``class`` and a unique ``name``.

    Raises ``BuildError`` when nothing is kept, or two labels would share a folder.
    """
    kept = manifest.filter(verdict="keep").sort("sample")
    if kept.is_empty():
        raise BuildError(
            "package: no image is left to package. The report says why each was removed; "
            "loosen the checks in `clean`, or `merge.min_images`."
        )
    safe = pl.col("label").str.replace_all(r"[/\\\x00-\x1f]|^\.+$", "_")
    kept = kept.with_columns(safe.alias("_safe"), pl.col("label").rank("dense").alias("class"))
    _refuse_shared_folders(kept)
    shared = pl.len().over("split", "_safe", pl.col("name").str.to_lowercase()) > 1
    hashed = pl.format("{}_{}", "name", pl.col("digest").str.head(8))
    return kept.with_columns(
        pl.concat_str(pl.col("split").fill_null("all"), pl.lit("/"), "_safe").alias("folder"),
        pl.when(shared).then(hashed).otherwise("name").alias("name"),
        (pl.col("class") - 1).cast(pl.Int32),
    ).drop("_safe")


def _refuse_shared_folders(kept: pl.DataFrame) -> None:
    shared = kept.select("label", "_safe").unique().filter(pl.col("_safe").is_duplicated())
    if len(shared):
        names = ", ".join(shared["label"].sort().to_list())
        raise BuildError(f"package: the labels {names} would share one folder; rename one of them")


def write(
    kept: pl.DataFrame,
    places: pl.DataFrame,
    folder: Path,
    config: Config,
    out: Path,
    memo_root: Path,
    engine: Engine,
) -> pl.DataFrame:
    """Write every configured format below ``out``, which may hold an earlier package.

    ``kept`` is what ``contents`` gave. Returns the counts by split and label.
    """
    limits = Limits(max_pixels=config.max_pixels, max_bytes=config.max_bytes)
    source = contract.Source(places, folder, limits)
    _forget_old(out, config.formats)
    if config.formats.imagefolder is not None:
        remembered = Memo(memo_root, contract.fingerprinted(limits), contract.RESULT)
        done = imagefolder.write(
            kept, source, config.formats.imagefolder, out / "imagefolder", remembered, engine
        )
        CONTENTS.write(out / "imagefolder", done)
    if config.formats.hdf5 is not None:
        done = hdf5.write(kept, source, config.formats.hdf5, out / "hdf5", engine)
        CONTENTS.write(out / "hdf5", done)
    return kept.group_by("split", "label").len().sort("split", "label")


def _forget_old(out: Path, formats: Formats) -> None:
    wanted = {name for name in type(formats).model_fields if getattr(formats, name) is not None}
    for path in out.iterdir():
        if path.name not in wanted and path.is_dir():
            shutil.rmtree(path)
    for name in wanted:
        (out / name).mkdir(exist_ok=True)


def summary(kept: pl.DataFrame, config: Config) -> str:
    """Return what was packaged in one line."""
    wanted = [name for name, value in config.formats if value is not None]
    return (
        f"package: {len(kept):,} images, {kept['label'].n_unique():,} labels, "
        f"as {' and '.join(wanted)}; read back and verified"
    )


__all__ = ["Config", "Formats", "card", "contents", "summary", "write"]
