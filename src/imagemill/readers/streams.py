"""MDS, LitData and RecordIO: files of records, which are found by the offsets that they hold."""

import json
import mmap
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagemill.readers import manifest
from imagemill.readers.contents import Contents, Provenance, in_order, ranges
from imagemill.readers.errors import PackageError
from imagemill.readers.extents import Extents, Stamp, check, stamp

INDEX = "index.json"
RECORD, OFFSETS = "train.rec", "train.idx"

Found = tuple[int, int, int, str, int]
"""Offset and length of an image, its label, its sample's name, the number of the copy."""
Scan = Callable[[Path, mmap.mmap], Iterator[Found]]


def _mds(_: Path, data: mmap.mmap) -> Iterator[Found]:
    for at in _offsets(data):
        image, text = struct.unpack_from("<II", data, at)
        (copy,) = struct.unpack_from("<q", data, at + 8)
        (label,) = struct.unpack_from("<q", data, at + 16 + image)
        name = data[at + 24 + image : at + 24 + image + text].decode()
        yield at + 16, image, label, name, copy


def _litdata(_: Path, data: mmap.mmap) -> Iterator[Found]:
    for at in _offsets(data):
        image, size, text, _copy = struct.unpack_from("<IIII", data, at)
        behind = at + 16 + image
        (label,) = struct.unpack_from("<q", data, behind)
        name = data[behind + size : behind + size + text].decode()
        (copy,) = struct.unpack_from("<q", data, behind + size + text)
        yield at + 16, image, label, name, copy


def _offsets(data: mmap.mmap) -> list[int]:
    (count,) = struct.unpack_from("<I", data)
    ends: list[int] = np.frombuffer(data[4 : 8 + 4 * count], "<u4").tolist()
    if ends[-1] != len(data):
        raise ValueError("another length")
    return ends[:-1]


def _recordio(path: Path, data: mmap.mmap) -> Iterator[Found]:
    """Yield the images; records with a flag say where classes begin. Names are not in the file."""
    lines = path.with_name(OFFSETS).read_text().splitlines()
    for line in lines:
        number, at = map(int, line.split("\t"))
        magic, length, flag, label = struct.unpack_from("<IIIf", data, at)
        if magic != 0xCED7230A:
            raise ValueError(f"no record at byte {at:,}")
        if not flag:
            yield at + 32, length - 24, int(label), f"{path.parent.name}/{RECORD}/{number}", 0


SCANS: dict[str, Scan] = {"litdata": _litdata, "mds": _mds, "recordio": _recordio}


@dataclass(frozen=True)
class _Names:
    """Reads where the rows are from, out of the records."""

    form: str
    paths: tuple[Path, ...]
    stamps: tuple[Stamp, ...]

    def __call__(self) -> Provenance:
        for path, stamped in zip(self.paths, self.stamps, strict=True):
            check(path, stamped)
        found = [row for path in self.paths for row in scanned(path, self.form)]
        return [row[3] for row in found], np.array([row[4] for row in found], np.int32)

    def members(self) -> list[str]:
        """Return the names alone."""
        return list(self()[0])


def scanned(path: Path, form: str) -> Iterator[Found]:
    """Yield every image of a file. Raises ``PackageError`` where it is none of this format."""
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            yield from SCANS[form](path, data)
    except (ValueError, struct.error, OSError) as error:
        raise PackageError(
            f"{path} is no file of {form} ({error}); fetch it again, or build it again."
        ) from error


def opened(folder: Path, form: str) -> Contents:
    """Open the splits' folders."""
    paths: list[Path] = []
    counts: dict[str, int] = {}
    rows: list[tuple[int, int, int, int]] = []
    for split in in_order(path.parent.name for path in folder.glob(f"*/{_mark(form)}")):
        before = len(rows)
        for path in _shards(folder / split, form):
            paths.append(path)
            rows += [(len(paths) - 1, *found[:3]) for found in scanned(path, form)]
        counts[split] = len(rows) - before
    file, offset, length, labels = np.array(rows, np.int64).reshape(-1, 4).T
    stamps = [stamp(path) for path in paths]
    files = Extents(paths, file, offset, length, stamps)
    names = manifest.names(folder) or {n: str(n) for n in np.unique(labels).tolist()}
    said = _Names(form, tuple(paths), tuple(stamps))
    where = (
        manifest.ByMember(folder, said.members, manifest.seen(folder))
        if form == "recordio"
        else said
    )
    return Contents(form, files, labels, names, ranges(counts), where)


def _mark(form: str) -> str:
    return RECORD if form == "recordio" else INDEX


def _shards(folder: Path, form: str) -> list[Path]:
    if form == "recordio":
        return [folder / RECORD]
    said = json.loads((folder / INDEX).read_text())
    if form == "litdata":
        return [folder / chunk["filename"] for chunk in said["chunks"]]
    return [folder / shard["raw_data"]["basename"] for shard in said["shards"]]
