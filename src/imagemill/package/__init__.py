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

LONGEST = 255  # bytes of a folder's name


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
    """Return the kept samples with what a package says of them, safe as file names.

    ``part`` is the split ("all" where there is none), ``folder`` is part/label, or label alone
    where no sample has a split, ``class`` the position of the label, ``name`` unique in its
    folder. Raises ``BuildError`` when nothing is kept, or two things would share a folder or file.
    """
    kept = manifest.filter(verdict="keep").sort("sample")
    if kept.is_empty():
        raise BuildError(
            "package: no image is left to package. The report says why each was removed; "
            "loosen the checks in `clean`, or `merge.min_images`."
        )
    kept = kept.with_columns(
        _safe(pl.col("split").fill_null("all")).alias("part"),
        _safe(pl.col("label")).alias("_safe"),
        (pl.col("label").rank("dense") - 1).cast(pl.Int32).alias("class"),
    )
    _refuse_shared_folders(kept.select(pl.col("split").fill_null("all"), folder="part"))
    _refuse_shared_folders(kept.select("label", folder="_safe"))
    undivided = kept["split"].null_count() == len(kept)
    folder = pl.col("_safe") if undivided else pl.concat_str("part", pl.lit("/"), "_safe")
    named = kept.with_columns(folder.alias("folder"), _safe(pl.col("name")).alias("name"))
    hashed = pl.format("{}_{}", "name", pl.col("digest").str.head(16))
    name = pl.when(_shared()).then(hashed).otherwise("name").alias("name")
    return _checked(named.with_columns(name).drop("_safe"))


def _safe(name: pl.Expr) -> pl.Expr:
    """Return a name that leads nowhere: no separators, no control characters, not ``..``."""
    return name.str.replace_all(r"[/\\\x00-\x1f\x7f]|^\.*$", "_")


def _shared() -> pl.Expr:
    name = pl.col("name").str.normalize("NFKC").str.to_lowercase()
    return pl.len().over("folder", name) > 1


def _refuse_shared_folders(named: pl.DataFrame) -> None:
    """Take the names of a label or split a row, and the ``folder`` that they lead to."""
    kind = named.columns[0]
    wrong = named.unique().filter(
        pl.col("folder").is_duplicated() | (pl.col("folder").str.len_bytes() > LONGEST)
    )
    if len(wrong):
        names = ", ".join(wrong[kind].sort().head(3).to_list())
        raise BuildError(
            f"package: the {kind}s {names} cannot each have a folder: two share one, or a name is "
            f"longer than {LONGEST} bytes. Rename them at the source, or with a join's `rename`."
        )


def _checked(named: pl.DataFrame) -> pl.DataFrame:
    twice = named.filter(_shared())["sample"]
    if len(twice):
        raise BuildError(
            f"package: {' and '.join(twice.head(2))} have equal bytes and would be one file. "
            "Keep one of them, with `clean.keep_copy`."
        )
    return named


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
