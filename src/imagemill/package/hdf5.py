"""HDF5: one array of images and one of labels a split, and a label map.

``<split>_images`` uint8 (N, height, width, channels); ``<split>_labels`` int64 (N,);
``<split>_samples`` text (N,), the provenance of each row; ``label_map`` rows ``number,label``.
Rows are shuffled once, by a hash, so that reading in order mixes the labels.
"""

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.package import contract
from imagemill.progress import progress
from imagemill.tables import CONTENTS

BATCH = 128  # images held in memory a worker
FILE = "dataset.h5"


class Config(Section):
    """What an image is in the file."""

    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    mode: Literal["L", "RGB"]
    """L: one channel; RGB: three."""
    compression: Literal["none", "gzip", "lzf"]
    chunk_images: Annotated[int, Field(ge=1)]
    """Images in one chunk, which is read and unpacked as a whole."""


def write(
    kept: pl.DataFrame, source: contract.Source, config: Config, out: Path, engine: Engine
) -> pl.DataFrame:
    """Write ``out/dataset.h5``, read it back, and return ``tables.CONTENTS``."""
    order = [sha256(sample.encode()).hexdigest() for sample in kept["sample"]]
    listed = (
        kept.with_columns(pl.Series("_order", order))
        .sort("part", "_order")
        .with_columns(pl.int_range(pl.len()).over("part").alias("_row"))
        .with_columns(pl.format("{}_images/{}", "part", "_row").alias("member"))
    )
    hashes: list[str] = []
    with replacing(out / FILE) as part:
        with h5py.File(part, "w", libver="v112") as file:
            for (split,), rows in listed.group_by("part", maintain_order=True):
                hashes += _write_split(file, str(split), rows, source, config, engine)
            _write_label_map(file, kept)
        listed = listed.with_columns(
            pl.Series("packaged", hashes),
            pl.lit(_image_bytes(config), pl.Int64).alias("bytes"),
        )
        verify(part, listed)
    for path in out.iterdir():
        if path.name != FILE:
            path.unlink()
    return listed


def _write_split(
    file: h5py.File,
    split: str,
    rows: pl.DataFrame,
    source: contract.Source,
    config: Config,
    engine: Engine,
) -> list[str]:
    """Write one split and return the sha256 of each image's raw pixels."""
    channels = {"L": 1, "RGB": 3}[config.mode]
    shape = (len(rows), config.height, config.width, channels)
    chunk = (min(config.chunk_images, len(rows)), *shape[1:])
    options: dict[str, Any] = (
        {} if config.compression == "none" else {"compression": config.compression}
    )
    target = file.create_dataset(
        f"{split}_images", shape, np.uint8, chunks=chunk, track_times=False, **options
    )
    work = partial(contract.pixels, side=(config.width, config.height), mode=config.mode)
    hashes: list[str] = []
    with progress("package", len(rows), "images") as advance:
        for images in engine.map(work, source.batches(rows["digest"], BATCH)):
            target[len(hashes) : len(hashes) + len(images)] = images
            hashes += [sha256(image.tobytes()).hexdigest() for image in images]
            advance(len(images))
    _write_column(file, f"{split}_labels", rows["class"].to_numpy().astype(np.int64))
    _write_column(file, f"{split}_samples", [s.encode() for s in rows["sample"]])
    return hashes


def _write_label_map(file: h5py.File, kept: pl.DataFrame) -> None:
    labels = kept.select("class", "label").unique().sort("class").iter_rows()
    _write_column(file, "label_map", [f"{number},{label}".encode() for number, label in labels])


def _write_column(file: h5py.File, name: str, values: Any) -> None:
    file.create_dataset(name, data=values, track_times=False)


def _image_bytes(config: Config) -> int:
    return config.width * config.height * {"L": 1, "RGB": 3}[config.mode]


def reread(folder: Path) -> int:
    """Read back what ``write`` wrote to ``folder``, as ``verify`` does; return how many images."""
    row = pl.col("member").str.extract(r"(\d+)$").cast(pl.Int64)
    part = pl.col("member").str.extract(r"^(.*)_images/\d+$").alias("part")
    listed = CONTENTS.read(folder).with_columns(part).sort("part", row)
    verify(folder / FILE, listed)
    return len(listed)


def verify(path: Path, listed: pl.DataFrame) -> None:
    """Read the file back; raise ``BuildError`` unless every row is as ``listed`` says."""
    with h5py.File(path, "r") as file:
        for (split,), rows in listed.group_by("part", maintain_order=True):
            images, labels = file[f"{split}_images"], file[f"{split}_labels"][:]
            hashes = [sha256(images[i].tobytes()).hexdigest() for i in range(len(images))]
            if hashes != rows["packaged"].to_list() or labels.tolist() != rows["class"].to_list():
                raise BuildError(
                    f"package: {FILE}: rows of {split} read back differ from what was written; "
                    "the disk or memory is at fault. Build again."
                )
