"""MDS of MosaicML's ``streaming``: ``<split>/<shard>.mds`` and ``<split>/index.json``.

Written here and not by ``streaming.MDSWriter``, which needs torch, one process, and shards that
are cut by a running size, so that one image more would change all that follow. The layout is its
own: number of samples, offsets, the columns' description, then a sample's lengths and values.
"""

import json
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.package import shards
from imagemill.package.checksums import Files
from imagemill.package.lots import Lot
from imagemill.package.shards import NEXT, Read, Shard, Written
from imagemill.package.shelf import Shelf
from imagemill.packs import BUFFER
from imagemill.tables import Pieces

INDEX = "index.json"
VERSION = 2
_INT = struct.Struct("<q")
_HEAD = struct.Struct("<IIq")  # bytes of the image and of the sample's name; copy
_FIXED = _HEAD.size + _INT.size  # bytes of a sample besides those two


class Config(Section):
    """How samples are divided into shards."""

    shard_images: Annotated[int, Field(ge=1)]
    """Samples of a shard on average."""


class Shards:
    """Writes and reads shards; ``encoding`` of the images is jpeg or png."""

    suffix = "mds"
    columns: tuple[str, ...] = ("class", "sample", "copy")

    def __init__(self, encoding: str) -> None:
        self.layout: dict[str, Any] = {
            "version": VERSION,
            "format": "mds",
            "compression": None,
            "hashes": [],
            "size_limit": None,
            "column_names": ["copy", "image", "label", "sample"],
            "column_encodings": ["int", encoding, "int", "str"],
            "column_sizes": [8, None, 8, None],
        }
        self._said = json.dumps(self.layout, sort_keys=True).encode()

    def write(self, path: Path, shard: Shard, images: Iterator[bytes]) -> None:
        """Write a shard, which must be under 4 GiB."""
        said = [(number, name.encode(), copy) for number, name, copy in shard.said]
        lengths = [
            _FIXED + n + len(name) for n, (_, name, _) in zip(shard.lengths, said, strict=True)
        ]
        start = 4 + 4 * (len(said) + 1) + len(self._said)
        ends = np.cumsum([0, *lengths]) + start
        if int(ends[-1]) >= 1 << 32:
            raise ValueError(f"{path.name}: 4 GiB or more; lower package.formats.mds.shard_images")
        with path.open("wb", buffering=BUFFER) as file:
            file.write(struct.pack("<I", len(said)))
            file.write(ends.astype("<u4").tobytes())
            file.write(self._said)
            for (number, name, copy), data in zip(said, images, strict=True):
                file.write(_HEAD.pack(len(data), len(name), copy))
                file.write(data)
                file.write(_INT.pack(number) + name)

    def read(self, path: Path) -> Iterator[Read]:
        """Yield every sample. Raises ``ValueError`` where the header is another."""
        with path.open("rb", buffering=BUFFER) as file:
            (count,) = struct.unpack("<I", file.read(4))
            ends = np.frombuffer(file.read(4 * (count + 1)), "<u4").tolist()
            said = file.read(ends[0] - file.tell())
            if said != self._said or ends[-1] != path.stat().st_size:
                raise ValueError("the header is another")
            for start, end in pairwise(ends):
                yield _decoded(file.read(end - start))


def _decoded(data: bytes) -> Read:
    image, text, copy = _HEAD.unpack_from(data)
    at = _HEAD.size + image
    (number,) = _INT.unpack_from(data, at)
    name = data[at + _INT.size : at + _INT.size + text].decode()
    return None, (number, name, copy), data[_HEAD.size : at]


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[Pieces, Files]:
    """Write the shards of ``lot``; return its rows as ``tables.CONTENTS``, and the files."""
    suffixes = lot.words["suffix"].gather(lot.rows["suffix"].unique())
    writer = Shards("jpeg" if (suffixes == "jpg").all() else "png")
    plan = shards.planned(lot, config.shard_images, writer)
    written = shards.write(plan, writer, shelf, out, engine)
    return shards.contents(lot), written.files() | _write_index(written, writer, out)


def _write_index(written: Written, writer: Shards, out: Path) -> Files:
    """Write what ``streaming`` looks for in each split's folder."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for name, count, length in zip(written.names, written.counts, written.lengths, strict=True):
        part, file = name.split("/")
        data = {"basename": file, "bytes": length, "hashes": {}}
        entry = {**writer.layout, "raw_data": data, "samples": count, "zip_data": None}
        parts.setdefault(part, []).append(entry)
    for part, entries in parts.items():
        (out / NEXT / part).mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": VERSION, "shards": entries}, sort_keys=True)
        (out / NEXT / part / INDEX).write_text(text)
    return {f"{part}/{INDEX}": None for part in parts}
