"""COCO: packs of ``images/<split>/<label>/<file>`` and ``annotations/instances_<split>.json``.

``file_name`` is the path below ``images/``. Boxes and outlines are those of a source of kind
``coco``, moved as its images were; an image of any other source has one annotation, its label, as
wide as itself. Unpack with ``for t in *.tar; do tar -xf $t; done``.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.package import imagefolder, shards
from imagemill.package.annotations import Annotation, Followed
from imagemill.package.checksums import Files
from imagemill.package.lots import AT_ONCE
from imagemill.package.shards import NEXT
from imagemill.package.shelf import Shelf


class Config(Section):
    """How images are stored."""

    pack_bytes: Annotated[int, Field(ge=1024)]
    """Content of a pack on average, in bytes."""


def write(
    followed: Followed,
    labels: Sequence[str],
    shelf: Shelf,
    config: Config,
    out: Path,
    engine: Engine,
) -> tuple[pl.DataFrame, Files]:
    """Write packs and annotations; return the rows as ``tables.CONTENTS``, and the files.

    A category's id is the number of the label plus 1; those that are no label come behind.
    """
    member = pl.format("images/{}/{}.{}", "folder", "name", "suffix").alias("member")
    listed = followed.rows.with_columns(member).sort("member")
    plan = imagefolder.planned(listed.iter_slices(AT_ONCE), config.pack_bytes)
    written = shards.write(plan, imagefolder.Packs(), shelf, out, engine)
    moved = Followed(listed, followed.given, followed.making)
    names = [*labels, *sorted(_categories(moved) - set(labels))]
    numbers = {name: number for number, name in enumerate(names, 1)}
    files: Files = {}
    (out / NEXT / "annotations").mkdir(parents=True, exist_ok=True)
    for (part,), rows in listed.group_by("part", maintain_order=True):
        file = f"annotations/instances_{part}.json"
        those = Followed(rows, followed.given, followed.making)
        with (out / NEXT / file).open("w", encoding="utf-8") as target:
            _write(target, those, numbers)
        _verify(out / NEXT / file, rows)
        files[file] = None
    return listed, written.files() | files


def _categories(followed: Followed) -> set[str]:
    """Return the names of all categories."""
    given = followed.given.said
    names: set[str] = set()
    for rows in given.values():
        names |= set(rows["category"].drop_nulls().unique())
    plain = followed.rows.filter(~pl.col("source").is_in(list(given)))
    return names | set(plain["label"].unique())


def _write(target: TextIO, followed: Followed, numbers: dict[str, int]) -> None:
    """Write one JSON, an entry a line, without holding it in memory."""
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    target.write('{"info":{},"licenses":[],\n"categories":' + _text(categories))
    _list(target, "images", _images(followed.rows))
    _list(target, "annotations", _annotations(followed, numbers))
    target.write("}\n")


def _list(target: TextIO, name: str, entries: Iterator[Any]) -> None:
    target.write(f',\n"{name}":[')
    for number, entry in enumerate(entries):
        target.write((",\n" if number else "\n") + _text(entry))
    target.write("]")


def _images(rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    named = rows.select("member", "width", "height", "sample", "copy").iter_rows(named=True)
    for number, row in enumerate(named, 1):
        name = row.pop("member").removeprefix("images/")
        yield {"id": number, "file_name": name, **row}


def _annotations(followed: Followed, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    count = 0
    for image, found in enumerate(followed.each(), 1):
        for each in found:
            count += 1
            yield {"id": count, "image_id": image, **_said(each, numbers)}


def _said(each: Annotation, numbers: dict[str, int]) -> dict[str, Any]:
    return {
        "category_id": numbers[each.category],
        "bbox": [round(edge, 3) for edge in each.box],
        "area": round(each.area, 3),
        "iscrowd": int(each.iscrowd),
        "segmentation": _rounded(each.segmentation),
    }


def _rounded(outline: Any) -> Any:
    if isinstance(outline, dict):
        return outline
    return [[round(edge, 3) for edge in polygon] for polygon in outline]


def _text(entry: Any) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def _verify(path: Path, rows: pl.DataFrame) -> None:
    said = json.loads(path.read_text(encoding="utf-8"))
    names = [f"images/{image['file_name']}" for image in said["images"]]
    known = {image["id"] for image in said["images"]}
    if names != rows["member"].to_list() or not all(
        each["image_id"] in known for each in said["annotations"]
    ):
        raise BuildError(
            f"package: {path.name} read back differs from what was written; the disk or memory is "
            "at fault. Build again."
        )
