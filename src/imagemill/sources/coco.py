"""A folder of images with COCO's JSON of instances: boxes, categories and outlines.

The images are those of the folder. What the JSON says of them becomes two tables: ``annotations``,
one row each, and ``images``, with a label for the whole image: the category of its largest
annotation.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TextIO

import polars as pl

from imagemill.errors import SourceError
from imagemill.progress import say
from imagemill.sources.folder import Folder, FolderObjects
from imagemill.sources.local import LocalFile, Readings, local_files
from imagemill.sources.longjson import BrokenJsonError, members
from imagemill.sources.objects import Refreshed, all_read

ANNOTATIONS = {
    "id": pl.Int64,
    "key": pl.String,  # of the image; null where no image of the JSON has ``image_id``
    "image_id": pl.Int64,
    "category": pl.String,  # null where the JSON does not name ``category_id``
    "category_id": pl.Int64,
    "x": pl.Float64,  # left edge of the box, pixels
    "y": pl.Float64,  # upper edge
    "w": pl.Float64,
    "h": pl.Float64,
    "area": pl.Float64,  # square pixels; that of the box where the JSON has none
    "iscrowd": pl.Boolean,
    "segmentation": pl.String,  # as in the JSON: a list of polygons, or a run-length encoding
}
"""Columns of the table ``annotations``."""

IMAGES = {
    "id": pl.Int64,
    "key": pl.String,  # in the folder; ``file_name`` where the folder has no such file
    "file_name": pl.String,
    "width": pl.Int64,  # pixels, as the JSON says
    "height": pl.Int64,
    "label": pl.String,  # category of its largest annotation; null where it has none
    "annotations": pl.UInt32,  # how many it has
}
"""Columns of the table ``images``."""

CHUNK = 10_000
"""Annotations that are in memory as Python has them; the rest is a table by then."""


class Coco(Refreshed):
    """Images in a folder, described by one JSON file."""

    kind: Literal["coco"]
    path: str
    """The folder of images, as in ``folder``."""
    annotations: str
    """The JSON file, likewise."""
    include: list[str]
    """Patterns of keys to list; ``*`` crosses slashes."""
    exclude: list[str]
    """Patterns of keys to leave out of the listing."""

    def open(self, name: str, root: Path) -> "CocoObjects":
        """Return the objects of this source; raises ``SourceError`` when it is not there."""
        folder = Folder(
            kind="folder", path=self.path, include=self.include, exclude=self.exclude
        ).open(name, root)
        try:
            (file,) = local_files(self.annotations, [], [], root)
        except SourceError as error:
            raise SourceError(f"sources.{name}.annotations: {error}") from error
        return CocoObjects(name, folder, file, root)


class CocoObjects:
    """Lists and reads the files of the folder; brings the tables of the JSON."""

    def __init__(self, name: str, folder: FolderObjects, file: LocalFile, root: Path) -> None:
        self._name = name
        self._folder = folder
        self._file = file
        self._readings = Readings(root, "coco")
        self._keys = pl.DataFrame(schema={"key": pl.String})
        self.new: int | None = 0

    def listed(self) -> pl.DataFrame:
        """Return every file of the folder; see ``FolderObjects``."""
        return all_read(self)

    def walked(self) -> pl.DataFrame:
        """Return the same without reading a file; see ``FolderObjects``."""
        found = self._folder.walked()
        self._keys = found.select("key")
        return found

    def hashed(self, keys: pl.Series) -> pl.DataFrame:
        """Return what reading those files tells; see ``FolderObjects``."""
        read = self._folder.hashed(keys)
        self.new = self._folder.new
        return read

    def read(self, key: str) -> bytes:
        """Return the bytes of an object. Raises ``UnavailableError``."""
        return self._folder.read(key)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return ``annotations`` and ``images``; logs what lacks its counterpart."""
        named = self._readings.of(f"2 {self._file.digest} images", lambda: self._said[0])
        noted = self._readings.of(f"2 {self._file.digest} annotations", lambda: self._said[1])
        keyed = named.with_columns(_key(named["file_name"], self._keys["key"], self._folder.place))
        keys = keyed.select("key", image_id="id")
        annotations = noted.join(
            keys, on="image_id", how="left", maintain_order="left", validate="m:1"
        ).select(*ANNOTATIONS)
        images = keyed.join(_labels(annotations), on="key", how="left").with_columns(
            pl.col("annotations").fill_null(0)
        )
        self._tell(images, annotations)
        return {
            "annotations": annotations,
            "images": images.select(*IMAGES).sort("key", "id"),
        }

    @cached_property
    def _said(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        where = f"sources.{self._name}.annotations: {self._file.path}"
        return _parsed(self._file.path, where)

    def _tell(self, images: pl.DataFrame, annotations: pl.DataFrame) -> None:
        counts = {
            "files without an entry": len(self._keys.join(images, on="key", how="anti")),
            "entries without a file": len(images.join(self._keys, on="key", how="anti")),
            "annotations of no image": annotations["key"].null_count(),
            "annotations of no category": annotations["category"].null_count(),
        }
        odd = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        if odd:
            say(f"scan: {self._name}: {self._file.name} has {odd}; see its tables")


def _key(names: pl.Series, keys: pl.Series, folder: Path) -> pl.Series:
    """Return the key that each file name means: from the folder, or from one above it."""
    plain = names.str.replace_all("\\", "/", literal=True).str.replace(r"^(\./)+", "")
    known = plain.is_in(keys.implode())
    found = plain
    for depth in range(1, len(folder.parts) + 1):
        above = "/".join(folder.parts[-depth:]).replace("//", "/") + "/"
        below = plain.str.strip_prefix(above)
        fits = ~known & plain.str.starts_with(above) & below.is_in(keys.implode())
        found = below.zip_with(fits, found)
        known |= fits
    return found.alias("key")


def _labels(annotations: pl.DataFrame) -> pl.DataFrame:
    """Return ``label`` and number of ``annotations`` by ``key``."""
    largest = pl.col("category").sort_by("area", "id", descending=[True, False], nulls_last=True)
    return (
        annotations.drop_nulls("key")
        .group_by("key")
        .agg(largest.first().alias("label"), pl.len().alias("annotations"))
    )


def _parsed(path: Path, where: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the images and the annotations as tables, without keys. Raises ``SourceError``."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            said = _lists(file)
    except _OddError as error:
        raise SourceError(f"{where}: {error}. Mend the file.") from error
    except BrokenJsonError as error:
        raise SourceError(
            f"{where}: {error}. It is not whole, or not JSON: fetch it again."
        ) from error
    except (UnicodeDecodeError, RecursionError, OSError) as error:
        raise SourceError(f"{where}: cannot be read: {error}. Fetch it again.") from error
    for name in _LISTS:
        if name not in said:
            raise SourceError(
                f"{where}: no list {name}. Name the instances file of COCO in `annotations`."
            )
    names = dict(said["categories"].iter_rows())
    named = pl.col("category_id").replace_strict(names, default=None, return_dtype=pl.String)
    return said["images"], said["annotations"].with_columns(named.alias("category"))


def _lists(file: TextIO) -> dict[str, pl.DataFrame]:
    """Return the lists that the JSON has of ``_LISTS``, as tables. Raises ``_OddError``."""
    return {
        name: _LISTS[name](entries)
        for name, entries in members(file)
        if name in _LISTS and entries is not None
    }


class _OddError(Exception):
    """What is wrong with an entry, and where."""


def _images(entries: Iterator[Any]) -> pl.DataFrame:
    rows = []
    for n, entry in enumerate(entries):
        at = f"images[{n}]"
        edges = [_field(entry, at, edge, int, None) for edge in ("width", "height")]
        rows.append((_field(entry, at, "id", int), _field(entry, at, "file_name", str), *edges))
    columns = {name: IMAGES[name] for name in ("id", "file_name", "width", "height")}
    images = pl.DataFrame(rows, columns, orient="row")
    _refuse_twice(images["id"], "images")
    return images


def _categories(entries: Iterator[Any]) -> pl.DataFrame:
    pairs = [
        (
            _field(entry, f"categories[{n}]", "id", int),
            _field(entry, f"categories[{n}]", "name", str),
        )
        for n, entry in enumerate(entries)
    ]
    categories = pl.DataFrame(pairs, {"id": pl.Int64, "name": pl.String}, orient="row")
    _refuse_twice(categories["id"], "categories")
    return categories


def _annotations(entries: Iterator[Any]) -> pl.DataFrame:
    columns = {name: kind for name, kind in ANNOTATIONS.items() if name not in ("key", "category")}
    rows = (_annotation(entry, n) for n, entry in enumerate(entries))
    parts = [pl.DataFrame(schema=columns)]
    while part := list(islice(rows, CHUNK)):  # rows of Python take ten times the memory
        parts.append(pl.DataFrame(part, columns, orient="row"))
    return pl.concat(parts).sort("id", "image_id", maintain_order=True)


_LISTS = {"images": _images, "annotations": _annotations, "categories": _categories}
"""The lists of the JSON that are read, each with what makes a table of it."""


def _refuse_twice(ids: pl.Series, what: str) -> None:
    twice = ids.filter(ids.is_duplicated()).unique().sort()
    if len(twice):
        raise _OddError(f"{len(twice):,} ids of {what} occur more than once, first {twice[0]}")


def _annotation(entry: Any, number: int) -> tuple[Any, ...]:
    at = f"annotations[{number}]"
    box = _field(entry, at, "bbox", list, None) or [None] * 4
    if len(box) != 4 or not all(each is None or _number(each) for each in box):
        raise _OddError(f"{at}.bbox: must be four numbers, not {box!r}")
    x, y, w, h = (None if each is None else float(each) for each in box)
    area = _field(entry, at, "area", (int, float), None)
    if area is None and w is not None and h is not None:
        area = w * h
    return (
        _field(entry, at, "id", int),
        _field(entry, at, "image_id", int),
        _field(entry, at, "category_id", int),
        *(x, y, w, h),
        None if area is None else float(area),
        bool(entry.get("iscrowd")),
        _outline(entry.get("segmentation")),
    )


def _outline(said: Any) -> str | None:
    return None if said is None else json.dumps(said, separators=(",", ":"))


_NEEDED = object()


def _field(
    entry: Any, at: str, name: str, kind: type | tuple[type, ...], default: Any = _NEEDED
) -> Any:
    """Return a value of an entry, of the right kind. Raises ``_OddError``."""
    if not isinstance(entry, dict):
        raise _OddError(f"{at}: must be an object, not {entry!r}")
    value = entry.get(name)
    if value is None and default is not _NEEDED:
        return default
    if value is None:
        raise _OddError(f"{at}: has no {name}")
    if not isinstance(value, kind) or (isinstance(value, int) and not _number(value)):
        raise _OddError(f"{at}.{name}: {value!r} is of the wrong kind")
    return value


def _number(value: object) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 1 << 63)
