"""Parquet as Hugging Face's ``datasets`` has it: ``<split>-<shard>.parquet``, and ``README.md``.

``image`` is a struct of the file's bytes and path, ``label`` an integer; the features, with the
names of the classes, stand in the schema's metadata. ``sample`` and ``copy`` say where a row is
from. ``README.md`` says which files are of which split: ``load_dataset`` would guess by names.
"""

import json
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.package import shards
from imagemill.package.checksums import Files
from imagemill.package.lots import Lot
from imagemill.package.shards import NEXT, Read, Shard
from imagemill.package.shelf import Shelf
from imagemill.tables import Pieces

README = "README.md"
UNDIVIDED = "all"  # the part of images without a split; ``datasets`` has it for all splits together

ROWS = 100  # of a row group: what has to be read to see one image, as ``datasets`` writes it

NAMES = ("label", "sample", "copy")
"""Columns besides the image."""


class Config(Section):
    """How samples are divided into shards."""

    shard_images: Annotated[int, Field(ge=1)]
    """Samples of a shard on average."""


class Shards:
    """Writes and reads shards; ``labels`` in the order of their numbers."""

    suffix = "parquet"
    columns: tuple[str, ...] = ("class", "sample", "copy")

    def __init__(self, labels: Sequence[str]) -> None:
        features = {
            "image": {"_type": "Image"},
            "label": {"names": list(labels), "_type": "ClassLabel"},
            "sample": {"dtype": "string", "_type": "Value"},
            "copy": {"dtype": "int32", "_type": "Value"},
        }
        self._said = json.dumps({"info": {"features": features}}).encode()

    def write(self, path: Path, shard: Shard, images: Iterator[bytes]) -> None:
        """Write a Parquet file. Images are compressed already, and pages of them are not again."""
        # Not by Polars, which puts metadata where ``datasets`` does not look.
        arrow = _module("pyarrow")
        image = arrow.struct({"bytes": arrow.binary(), "path": arrow.string()})
        types = (image, arrow.int64(), arrow.string(), arrow.int32())
        schema = arrow.schema(
            zip(("image", *NAMES), types, strict=True), metadata={"huggingface": self._said}
        )
        with _module("pyarrow.parquet").ParquetWriter(
            path, schema, compression="none", use_dictionary=False
        ) as file:
            for start in range(0, len(shard.members), ROWS):
                paths = shard.members[start : start + ROWS]
                parts = [
                    arrow.array(list(islice(images, ROWS)), arrow.binary()),
                    arrow.array(paths),
                ]
                said = zip(*shard.said[start : start + ROWS], strict=True)
                columns = [arrow.StructArray.from_arrays(parts, fields=list(image))]
                columns += [arrow.array(each, of) for each, of in zip(said, types[1:], strict=True)]
                file.write_table(arrow.Table.from_arrays(columns, schema=schema))

    def read(self, path: Path) -> Iterator[Read]:
        """Yield every sample. Raises ``ValueError`` where it is no Parquet file, or another."""
        with _module("pyarrow.parquet").ParquetFile(path) as file:
            if (file.schema_arrow.metadata or {}).get(b"huggingface") != self._said:
                raise ValueError("other features")
            for batch in file.iter_batches(ROWS):
                columns = [batch.column(name).to_pylist() for name in ("image", *NAMES)]
                for image, *said in zip(*columns, strict=True):
                    yield image["path"], tuple(said), image["bytes"]


def _module(name: str) -> Any:
    """Return ``pyarrow`` or a part of it; raises ``BuildError`` where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise BuildError(
            "package.formats.parquet: needs pyarrow, which is not installed: "
            "pip install 'imagemill[hf]'"
        ) from error


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[Pieces, Files]:
    """Write the shards of ``lot``; return its rows as ``tables.CONTENTS``, and the files."""
    writer = Shards(lot.labels)
    plan = shards.planned(lot, config.shard_images, writer)
    written = shards.write(map(_flat, plan), writer, shelf, out, engine)
    card = out / NEXT / README
    card.parent.mkdir(exist_ok=True)
    card.write_text(_card(sorted(part for part, _ in lot.parts())), "utf-8")
    return shards.contents(lot), written.files() | {README: None}


def _card(parts: Sequence[str]) -> str:
    """Return the head of a card on the hub, which says where each split is."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for part, split in zip(parts, _splits(parts), strict=True):
        shards_of_it = re.sub(r"[^\w. -]", "?", part) + "-" + "?" * shards.NAME + ".parquet"
        lines += [f"  - split: {json.dumps(split)}", f"    path: {json.dumps(shards_of_it)}"]
    return "\n".join([*lines, "---", ""])


def _splits(parts: Sequence[str]) -> list[str]:
    """Return names of splits that ``datasets`` takes: letters, digits, ``_``, and not ``all``."""
    undivided = "unsplit" if len(parts) > 1 else "train"  # as ``datasets`` calls what has no splits
    found: list[str] = []
    for part in parts:
        name = undivided if part == UNDIVIDED else re.sub(r"\W", "_", part)
        while name in found:
            name += "_"
        found.append(name)
    return found


def _flat(shard: tuple[str, pl.DataFrame]) -> tuple[str, pl.DataFrame]:
    """Name it ``<split>-<shard>.parquet``, by which ``datasets`` knows the split."""
    name, rows = shard
    return name.replace("/", "-"), rows
