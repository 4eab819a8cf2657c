"""WebDataset's shards, and the packs of ImageFolder and COCO: images as members of tar files."""

import mmap
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from imagemill import label_maps, packs
from imagemill.packs import BLOCK, Member
from imagemill.readers import manifest
from imagemill.readers.contents import Contents, in_order, ranges
from imagemill.readers.errors import PackageError
from imagemill.readers.extents import Extents, Stamp, check, stamp

CLASS = ".cls"
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]|^\.*$")
"""What no folder's name has; ``package.contents`` writes ``_`` for it."""


def members(path: Path) -> Iterator[tuple[str, int, int, bytes]]:
    """Yield name, offset and length of every file of a tar; and its bytes, where it is a class."""
    with path.open("rb") as file:
        try:
            tar = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise _damaged(path) from error
        with tar:
            yield from _members(path, tar)


def _members(path: Path, tar: mmap.mmap) -> Iterator[tuple[str, int, int, bytes]]:
    at, end = 0, len(tar)
    while at + BLOCK <= end:
        block = tar[at : at + BLOCK]
        if not block.strip(b"\0"):
            return
        if block[156:157] not in b"0\0" or block[345:346] != b"\0":
            yield from _slowly(path, at)
            return
        try:
            name, length = block[:100].rstrip(b"\0").decode(), int(block[124:135], 8)
        except ValueError as error:
            raise _damaged(path) from error
        at += BLOCK
        if at + length > end:
            break
        yield name, at, length, tar[at : at + length] if name.endswith(CLASS) else b""
        at += -(-length // BLOCK) * BLOCK
    raise _damaged(path)


def _slowly(path: Path, skip: int) -> Iterator[tuple[str, int, int, bytes]]:
    """Yield the members from the byte ``skip`` on: names too long for a plain header."""
    try:
        with path.open("rb") as file:
            file.seek(skip)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for each in tar:
                    found = tar.extractfile(each) if each.name.endswith(CLASS) else None
                    yield each.name, each.offset_data, each.size, found.read() if found else b""
    except tarfile.TarError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> PackageError:
    return PackageError(
        f"{path} is no whole tar file; fetch it again, or build it again. "
        "`sha256sum -c checksums.txt` names every file that is damaged."
    )


def webdataset(folder: Path) -> Contents:
    """Open ``<split>/<shard>.tar``: pairs of an image and its ``.cls``."""
    splits = in_order({path.parent.name for path in folder.glob("*/*.tar")})
    paths = [path for split in splits for path in sorted((folder / split).glob("*.tar"))]
    stamps = [stamp(path) for path in paths]
    rows: list[tuple[int, int, int, int]] = []
    first: dict[int, str] = {}
    counts = dict.fromkeys(splits, 0)
    for number, path in enumerate(paths):
        before = len(rows)
        for key, offset, length, label in _pairs(path):
            rows.append((number, offset, length, label))
            first.setdefault(label, key)
        counts[path.parent.name] += len(rows) - before
    file, start, size, numbers = np.array(rows, np.int64).reshape(-1, 4).T
    # Without a list of labels the folder in a sample's key, which is the label made safe.
    names = manifest.names(folder) or {n: key.split("/")[-2] for n, key in sorted(first.items())}
    files = Extents(paths, file, start, size, stamps)
    where = manifest.ByMember(folder, _Keys(tuple(paths), tuple(stamps)), manifest.seen(folder))
    return Contents("webdataset", files, numbers, names, ranges(counts), where)


def _pairs(path: Path) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, offset, length and label of every image."""
    found = members(path)
    for name, offset, length, _ in found:
        beside, _, _, number = next(found, ("", 0, 0, b""))
        if beside != f"{name.rpartition('.')[0]}{CLASS}" or not number.strip().isdigit():
            raise PackageError(f"{path}: {name} is not followed by its class")
        yield name, offset, length, int(number)


@dataclass(frozen=True)
class _Keys:
    """Names of the images in shards."""

    paths: tuple[Path, ...]
    stamps: tuple[Stamp, ...]

    def __call__(self) -> list[str]:
        for path, said in zip(self.paths, self.stamps, strict=True):
            check(path, said)
        return [name for path in self.paths for name, *_ in _pairs(path)]


def packed(folder: Path, form: str) -> Contents:
    """Open packs of images whose labels are in ``manifest.parquet``; or the same unpacked."""
    packed = sorted(folder.glob("*.tar"))
    if packed and find_spec("pyarrow") is None and (folder / label_maps.FILE).exists():
        return _told_by_names(folder, form, packed)
    table = manifest.read(folder)
    if packed:
        return manifest.contents(form, folder, table, _in_packs(folder, table))
    paths = [folder / member for member in table.members]
    zeros = np.zeros(len(paths), np.int64)
    files = Extents(paths, np.arange(len(paths)), zeros, table.bytes)
    return manifest.contents(form, folder, table, files)


def _told_by_names(folder: Path, form: str, paths: list[Path]) -> Contents:
    """Open packs by their members' names, ``[<split>/]<label>/<file>``: slower, without pyarrow."""
    found = sorted(
        (name.removeprefix("images/" if form == "coco" else ""), number, offset, length)
        for number, path in enumerate(paths)
        for name, offset, length, _ in members(path)
    )
    names = manifest.names(folder) or {}
    numbers = {_UNSAFE.sub("_", label): number for number, label in names.items()}
    parts = [("all", *name.split("/"))[-3:-1] for name, *_ in found]
    splits = in_order({split for split, _ in parts})
    rows = np.argsort([splits.index(split) for split, _ in parts], kind="stable")
    file, offset, length = np.array([row[1:] for row in found], np.int64).reshape(-1, 3)[rows].T
    labels = np.array([numbers[label] for _, label in parts], np.int64)[rows]
    counts = {split: sum(each == split for each, _ in parts) for split in splits}
    files = Extents(paths, file, offset, length, [stamp(path) for path in paths])
    said = manifest.ByMember(
        folder, _Named(tuple(found[row][0] for row in rows)), manifest.seen(folder)
    )
    return Contents(form, files, labels, names, ranges(counts), said)


@dataclass(frozen=True)
class _Named:
    """Names of images that are known."""

    names: tuple[str, ...]

    def __call__(self) -> list[str]:
        return list(self.names)


def _in_packs(folder: Path, table: manifest.Table) -> Extents:
    given = zip(table.members, table.packaged, table.bytes.tolist(), strict=True)
    places = list(packs.places(folder, (Member(*each) for each in given)))
    paths = [folder / name for name in dict.fromkeys(name for name, _ in places)]
    numbers = {path.name: number for number, path in enumerate(paths)}
    file = np.array([numbers[name] for name, _ in places], np.int32)
    offset = np.array([offset for _, offset in places], np.int64)
    return Extents(paths, file, offset, table.bytes, [stamp(path) for path in paths])
