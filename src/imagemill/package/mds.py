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
import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.package import shards, webdataset
from imagemill.package.labels import Lot
from imagemill.package.renditions import Shelf
from imagemill.package.shards import NEXT, Read, Sample, Written

INDEX = "index.json"
VERSION = 2
_INT = struct.Struct("<q")


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

    def write(self, path: Path, samples: Iterator[Sample]) -> None:
        """Write a shard, which must be under 4 GiB."""
        encoded = [_encoded(sample) for sample in samples]
        start = 4 + 4 * (len(encoded) + 1) + len(self._said)
        ends = np.cumsum([0, *map(len, encoded)]) + start
        if int(ends[-1]) >= 1 << 32:
            raise ValueError(f"{path.name}: 4 GiB or more; lower package.formats.mds.shard_images")
        with path.open("wb") as file:
            file.write(struct.pack("<I", len(encoded)))
            file.write(ends.astype("<u4").tobytes())
            file.write(self._said)
            file.writelines(encoded)

    def read(self, path: Path) -> Iterator[Read]:
        """Yield every sample. Raises ``ValueError`` where the header is another."""
        data = path.read_bytes()
        (count,) = struct.unpack_from("<I", data)
        ends = np.frombuffer(data, "<u4", count + 1, 4).tolist()
        if data[4 + 4 * (count + 1) : ends[0]] != self._said or ends[-1] != len(data):
            raise ValueError("the header is another")
        for start, end in pairwise(ends):
            yield _decoded(data[start:end])


def _encoded(sample: Sample) -> bytes:
    number, name, copy = sample.said
    data, text = sample.data, str(name).encode()
    lengths = struct.pack("<II", len(data), len(text))
    return b"".join((lengths, _INT.pack(copy), data, _INT.pack(number), text))


def _decoded(data: bytes) -> Read:
    image, text = struct.unpack_from("<II", data)
    (copy,), at = _INT.unpack_from(data, 8), 16 + image
    (number,) = _INT.unpack_from(data, at)
    name = data[at + 8 : at + 8 + text].decode()
    return Read(None, (number, name, copy), data[16:at])


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[pl.DataFrame, set[str]]:
    """Write the shards of ``lot``; return its rows as ``tables.CONTENTS``, and the files."""
    listed = lot.rows.with_columns(webdataset.member())
    writer = Shards("jpeg" if (listed["suffix"] == "jpg").all() else "png")
    plan = shards.planned(listed, config.shard_images, writer)
    written = shards.write(plan, writer, shelf, out, engine)
    return listed, set(written.names) | _write_index(written, writer, out)


def _write_index(written: Written, writer: Shards, out: Path) -> set[str]:
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
    return {f"{part}/{INDEX}" for part in parts}
