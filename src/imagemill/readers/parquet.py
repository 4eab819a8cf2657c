"""Parquet as ``datasets`` has it, through pyarrow; a row group is read at once and remembered."""

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagemill.readers import manifest
from imagemill.readers.contents import Contents, Files, Provenance, Rows, in_order, ranges
from imagemill.readers.errors import PackageError
from imagemill.readers.extents import Stamp, check, stamp

HELD = 8  # row groups that a thread remembers, and files that it has open


def opened(folder: Path) -> Contents:
    """Open ``<split>-<shard>.parquet``."""
    pq = manifest.arrow("pyarrow.parquet", folder)
    shards = sorted(folder.glob("*-*.parquet"))  # neither the manifest nor seals
    split_of = {path: path.stem.rpartition("-")[0] for path in shards}
    splits = in_order(set(split_of.values()))
    paths = [path for split in splits for path in shards if split_of[path] == split]
    labels, groups = [], []
    counts = dict.fromkeys(splits, 0)
    for number, path in enumerate(paths):
        with _told(path), pq.ParquetFile(path) as file:
            labels.append(manifest.integers(file.read(["label"]).column("label")))
            said = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])
            sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        groups += [(number, group, size) for group, size in enumerate(sizes)]
        counts[split_of[path]] += len(labels[-1])
    names = dict(enumerate(said["info"]["features"]["label"]["names"]))
    files = Groups(paths, np.array(groups, np.int64).reshape(-1, 3))
    where = _Columns(tuple(paths), tuple(files.stamps))
    return Contents("parquet", files, np.concatenate(labels), names, ranges(counts), where)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say of a shard what Arrow finds wrong."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise PackageError(
            f"{path} cannot be read as a shard in Parquet ({error}); fetch it again, or build it "
            "again. `sha256sum -c checksums.txt` names every file that is damaged."
        ) from error


@dataclass(frozen=True)
class _Columns:
    """Reads where the rows are from."""

    paths: tuple[Path, ...]
    stamps: tuple[Stamp, ...]

    def __call__(self) -> Provenance:
        for path, said in zip(self.paths, self.stamps, strict=True):
            check(path, said)
        pq = manifest.arrow("pyarrow.parquet", self.paths[0])
        tables = [pq.ParquetFile(path).read(["sample", "copy"]) for path in self.paths]
        names = [name for table in tables for name in table.column("sample").to_pylist()]
        copies = [manifest.integers(table.column("copy")) for table in tables]
        return names, np.concatenate(copies).astype(np.int32)


class _Own(threading.local):
    """What a thread of a process has open and remembers."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.files: dict[int, Any] = {}
        self.held: OrderedDict[int, Any] = OrderedDict()


class Groups(Files):
    """Images in row groups; ``groups`` has file, number in the file, and rows of each."""

    def __init__(self, paths: list[Path], groups: NDArray[np.int64]) -> None:
        self._paths, self._groups = paths, groups
        self.stamps: list[Stamp] = [stamp(path) for path in paths]
        self._ends = np.cumsum(groups[:, 2])
        self._own = _Own()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_own"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= {**state, "_own": _Own()}

    def starts(self) -> Rows:
        """Return the first row of each row group."""
        return np.concatenate([[0], self._ends[:-1]]).astype(np.int64)

    def identity(self) -> bytes:
        """Return the names of the files, and how many rows lie where."""
        return repr(([path.name for path in self._paths], self._groups.tolist())).encode()

    def files(self, rows: Rows) -> list[bytes | memoryview]:
        """Return the bytes of each row."""
        group = np.searchsorted(self._ends, rows, side="right")
        inside = rows - self.starts()[group]
        found: list[bytes | memoryview] = [b""] * len(rows)
        for at in np.argsort(group, kind="stable").tolist():
            images = self._group(int(group[at]))
            found[at] = memoryview(images[int(inside[at])].as_buffer())
        return found

    def _group(self, number: int) -> Any:
        if self._own.pid != os.getpid():  # Arrow's files are the parent's
            self._own = _Own()
        held = self._own.held
        if number not in held:
            if len(held) >= HELD:
                held.popitem(last=False)
            shard, group, _ = self._groups[number].tolist()
            with _told(self._paths[shard]):
                table = self._file(shard).read_row_group(group, ["image.bytes"], use_threads=False)
            image = table.column("image").combine_chunks()
            held[number] = image.field("bytes")
        held.move_to_end(number)
        return held[number]

    def _file(self, shard: int) -> Any:
        files = self._own.files
        if shard not in files:
            path = self._paths[shard]
            check(path, self.stamps[shard])
            if len(files) >= HELD:
                files.clear()
            files[shard] = manifest.arrow("pyarrow.parquet", path).ParquetFile(path)
        return files[shard]
