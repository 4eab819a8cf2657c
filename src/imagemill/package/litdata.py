"""LitData: ``<split>/<shard>.bin`` and ``<split>/index.json``, read by ``StreamingDataset``.

Written here and not by ``litdata.optimize``, which needs torch, numbers chunks by worker, and
notes the time of writing. The layout is its own, without compression: number of items, offsets,
and for each item the lengths of its values and the values.
"""

import json
import struct
from collections.abc import Iterator
from hashlib import sha256
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
KEYS = ("image", "label", "sample", "copy")
_LENGTHS = struct.Struct("<IIII")
_INT = struct.Struct("<q")
_FIXED = _LENGTHS.size + 2 * _INT.size  # bytes of an item besides its image and its name


class Config(Section):
    """How samples are divided into chunks, which are our shards."""

    shard_images: Annotated[int, Field(ge=1)]
    """Samples of a chunk on average."""


class Shards:
    """Writes and reads chunks."""

    suffix = "bin"
    columns: tuple[str, ...] = ("class", "sample", "copy")

    def write(self, path: Path, shard: Shard, images: Iterator[bytes]) -> None:
        """Write a chunk, which must be under 4 GiB."""
        said = [(number, name.encode(), copy) for number, name, copy in shard.said]
        lengths = [
            _FIXED + n + len(name) for n, (_, name, _) in zip(shard.lengths, said, strict=True)
        ]
        ends = np.cumsum([0, *lengths]) + 4 * (len(said) + 2)
        if int(ends[-1]) >= 1 << 32:
            raise ValueError(
                f"{path.name}: 4 GiB or more; lower package.formats.litdata.shard_images"
            )
        with path.open("wb", buffering=BUFFER) as file:
            file.write(struct.pack("<I", len(said)))
            file.write(ends.astype("<u4").tobytes())
            for (number, name, copy), data in zip(said, images, strict=True):
                file.write(_LENGTHS.pack(len(data), _INT.size, len(name), _INT.size))
                file.write(data)
                file.write(_INT.pack(number) + name + _INT.pack(copy))

    def read(self, path: Path) -> Iterator[Read]:
        """Yield every sample. Raises ``ValueError`` where lengths do not fit."""
        with path.open("rb", buffering=BUFFER) as file:
            (count,) = struct.unpack("<I", file.read(4))
            ends = np.frombuffer(file.read(4 * (count + 1)), "<u4").tolist()
            if ends[0] != file.tell() or ends[-1] != path.stat().st_size:
                raise ValueError("another length")
            for start, end in pairwise(ends):
                yield _decoded(file.read(end - start))


def _decoded(data: bytes) -> Read:
    image, label, text, _ = _LENGTHS.unpack_from(data)
    at = _LENGTHS.size + image
    (number,) = _INT.unpack_from(data, at)
    name = data[at + label : at + label + text].decode()
    (copy,) = _INT.unpack_from(data, at + label + text)
    return None, (number, name, copy), data[_LENGTHS.size : at]


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[Pieces, Files]:
    """Write the chunks of ``lot``; return its rows as ``tables.CONTENTS``, and the files."""
    plan = shards.planned(lot, config.shard_images, Shards())
    written = shards.write(plan, Shards(), shelf, out, engine)
    return shards.contents(lot), written.files() | _write_index(written, out)


def _write_index(written: Written, out: Path) -> Files:
    """Write what ``StreamingDataset`` looks for in each split's folder."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for name, count, length in zip(written.names, written.counts, written.lengths, strict=True):
        part, file = name.split("/")
        entry = {"chunk_bytes": length, "chunk_size": count, "dim": None, "filename": file}
        parts.setdefault(part, []).append(entry)
    for part, entries in parts.items():
        (out / NEXT / part).mkdir(parents=True, exist_ok=True)
        said = {"chunks": entries, "config": _config()}
        # It names the copy of a remote dataset that a machine keeps: by content, not by time.
        version = int(sha256(json.dumps(said).encode()).hexdigest()[:12], 16)
        text = json.dumps({**said, "updated_at": str(version)}, sort_keys=True)
        (out / NEXT / part / INDEX).write_text(text)
    return {f"{part}/{INDEX}": None for part in parts}


def _config() -> dict[str, Any]:
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    leaves = [leaf] * len(KEYS)
    tree = {"type": "builtins.dict", "context": json.dumps(KEYS), "children_spec": leaves}
    return {
        "chunk_bytes": None,
        "chunk_size": None,
        "compression": None,
        "data_format": ["bytes", "int", "str", "int"],
        "data_spec": json.dumps([1, tree]),
        "encryption": None,
        "item_loader": "PyTreeLoader",
    }
