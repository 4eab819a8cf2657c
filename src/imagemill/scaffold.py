"""Write a first config for a dataset by looking at where its images lie."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from imagemill.errors import BuildError
from imagemill.files import expanded, replacing
from imagemill.sources import Source

SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}
"""Names of folders that say which split an image belongs to."""

IMAGES = {"jpg", "jpeg", "jpe", "png", "gif", "webp", "bmp", "tif", "tiff", "pgm", "ppm", "avif"}
"""Suffixes by which files are taken for images."""

FACES = 25
"""Images that a label has at most, in the middle, when it is taken for a person or thing."""


@dataclass
class Guess:
    """What a source's keys look like."""

    layout: str
    settings: dict[str, Any] = field(default_factory=dict)
    choices: list[str] = field(default_factory=list)
    """Groups that this layout asks for, such as ``leaks: given``."""
    found: list[str] = field(default_factory=list)
    """What was seen, for the comments."""


def init(name: str, address: str, root: Path) -> str:
    """Write ``conf/dataset/<name>.yaml`` for the images at ``address``; return its text.

    ``address``: a folder, an archive, Parquet files, a COCO instances file, ``s3://bucket/prefix``
    or ``hf://repo@revision``. Raises ``BuildError`` where nothing can be made of it.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise BuildError(f"init: {name}: a name has letters, digits and _ only")
    target = root / "conf" / "dataset" / f"{name}.yaml"
    if target.exists():
        raise BuildError(f"init: conf/dataset/{name}.yaml is there already; choose another name")
    kind, where = _kind(address, root)
    listed, tables = _look(name, kind, where, root)
    guess = _guess(name, kind, listed, tables)
    text = _render(name, kind, where, guess)
    with replacing(target) as part:
        part.write_text(text, encoding="utf-8")
    _enter(name, root / "params.yaml")
    return text


def _kind(address: str, root: Path) -> tuple[str, dict[str, Any]]:
    """Return the kind of source at an address, and the settings that name the place."""
    if address.startswith("s3://"):
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        return "s3", {"bucket": bucket, "prefix": prefix}
    if address.startswith("hf://"):
        return "parquet", {"path": address}
    path = root / expanded(address)
    if not path.exists():
        raise BuildError(f"init: {address}: there is no such file or folder")
    shown = _shown(path, root)
    suffixes = "".join(path.suffixes[-2:]).lower()
    if path.is_dir():
        return _folder(path, shown)
    if suffixes.endswith((".tar", ".zip", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")):
        return "archive", {"path": shown}
    if suffixes.endswith(".parquet"):
        return "parquet", {"path": shown}
    if suffixes.endswith(".json"):
        return "coco", {"path": _images_beside(path, root), "annotations": shown}
    raise BuildError(f"init: {address}: neither a folder, an archive, Parquet nor a COCO JSON file")


def _folder(path: Path, shown: str) -> tuple[str, dict[str, Any]]:
    if any(path.rglob("*.parquet")):
        return "parquet", {"path": shown}
    instances = sorted(path.glob("**/instances*.json"))
    if len(instances) == 1:
        found = instances[0]
        beside = [each for each in (path / "images", found.with_suffix("")) if each.is_dir()]
        return "coco", {
            "path": f"{shown}/{beside[0].relative_to(path)}" if beside else shown,
            "annotations": f"{shown}/{found.relative_to(path)}",
        }
    suffixes = Counter(
        each.suffix[1:] for each in path.rglob("*") if each.suffix[1:].lower() in IMAGES
    )
    if not suffixes:
        raise BuildError(f"init: {path}: no file in it looks like an image")
    return "folder", {"path": shown, "include": [f"*.{suffix}" for suffix in sorted(suffixes)]}


def _images_beside(instances: Path, root: Path) -> str:
    """Return the folder that most likely holds the images of a COCO file."""
    for folder in (instances.parent, instances.parent.parent):
        for name in ("images", re.sub(r"^instances_", "", instances.stem)):
            if (folder / name).is_dir():
                return _shown(folder / name, root)
    return _shown(instances.parent, root)


def _shown(path: Path, root: Path) -> str:
    full = path.resolve()
    return str(full.relative_to(root)) if full.is_relative_to(root) else str(full)


def _look(
    name: str, kind: str, where: dict[str, Any], root: Path
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    defaults = yaml.safe_load((root / "conf" / "source" / f"{kind}.yaml").read_text())
    source: Any = TypeAdapter(Source).validate_python({**defaults, **where})
    objects = source.open(name, root)
    listed = objects.listed()
    if listed.is_empty():
        raise BuildError(f"init: nothing is listed at {where}")
    return listed, objects.tables()


def _guess(name: str, kind: str, listed: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> Guess:
    keys = listed.filter(pl.col("reason").is_null())["key"].to_list()
    for table, frame in tables.items():
        if {"key", "label"} <= set(frame.columns):
            return _by_table(kind, f"{name}.{table}" if table else name, frame)
    levels = [key.split("/")[:-1] for key in keys]
    depth = Counter(map(len, levels)).most_common(1)[0][0]
    usual = [level for level in levels if len(level) == depth]
    return _by_folders(usual, depth) if depth else _by_name(name, keys)


def _by_table(kind: str, table: str, frame: pl.DataFrame) -> Guess:
    labels = frame["label"].n_unique()
    join = {"table": table, "key": "key", "columns": {"label": "label"}}
    found = [f"{frame.height:,} rows with {labels:,} labels, from the {kind} source itself"]
    return Guess("table", {"join": join}, found=found)


def _by_folders(levels: Sequence[list[str]], depth: int) -> Guess:
    folders = [f"level{n}" for n in range(depth)]
    choices, found = [], []
    for place in range(depth):
        names = {level[place] for level in levels}
        if {each.lower() for each in names} <= SPLITS:
            folders[place] = "split"
            choices.append("/leaks: given")
            found.append(f"splits {', '.join(sorted(names))}")
            break
    inner = depth - 1
    if folders[inner] != "split":
        folders[inner] = _what(Counter(level[inner] for level in levels), choices, found)
    return _told(folders, choices, found)


def _what(images: Counter[str], choices: list[str], found: list[str]) -> str:
    middle = sorted(images.values())[len(images) // 2]
    if len(images) >= 20 and middle <= FACES:
        choices.append("/merge: identities")
        found.append(f"{len(images):,} identities, {middle:,} images in the middle")
        return "identity"
    found.append(f"{len(images):,} labels, {middle:,} images in the middle")
    return "label"


def _told(folders: list[str], choices: list[str], found: list[str]) -> Guess:
    """Use named folders where every level tells something, else a pattern that skips some."""
    if all(not name.startswith("level") for name in folders) and folders != ["split"]:
        return Guess("imagefolder", {"folders": folders}, choices, found)
    groups = ["[^/]+" if name.startswith("level") else f"(?P<{name}>[^/]+)" for name in folders]
    settings: dict[str, Any] = {"pattern": f"{'/'.join(groups)}/[^/]+"}
    if folders == ["split"]:
        settings["constants"] = {"label": "unlabelled"}
    return Guess("flat", settings, choices, found)


def _by_name(name: str, keys: Sequence[str]) -> Guess:
    """Look for names such as ``<id>_face.png`` or ``<id>_3.jpg``; else give one label to all."""
    endings = Counter(re.sub(r"^.*?(_[A-Za-z]+)?(\.\w+)$", r"\1\2", key) for key in keys)
    ending, count = endings.most_common(1)[0]
    if ending.startswith("_") and count > 0.9 * len(keys):
        pattern = f"(?P<identity>.+){re.escape(ending)}"
        found = [f"{count:,} names that end in {ending}, one identity each"]
        return Guess("flat", {"pattern": pattern}, found=found)
    numbered = [match for key in keys if (match := re.match(r"(.+)_\d+\.\w+$", key))]
    if len(numbered) > 0.9 * len(keys):
        images = Counter(each[1] for each in numbered)
        choices: list[str] = []
        seen: list[str] = []
        says = _what(images, choices, seen)
        return Guess("flat", {"pattern": rf"(?P<{says}>.+)_\d+\.\w+"}, choices, seen)
    settings = {"pattern": "[^/]+", "constants": {"label": name}}
    return Guess("flat", settings, found=["names that tell nothing: one label for all"])


def _render(name: str, kind: str, where: dict[str, Any], guess: Guess) -> str:
    source = yaml.safe_dump({**where, "layout": guess.settings}, sort_keys=False, width=200)
    defaults = [
        f"  - /source@sources.{name}: {kind}",
        f"  - /layout@sources.{name}.layout: {guess.layout}",
        *(f"  - override {choice}" for choice in guess.choices),
    ]
    lines = [
        "# @package _global_",
        f"# {name.capitalize()}: {'; '.join(guess.found)}.",
        f"# A guess of `imagemill init`; conf/source/{kind}.yaml and conf/layout/ explain it.",
        "defaults:",
        *defaults,
        "",
        "about:",
        f"  title: {name}",
        "  licence: unknown  # of the images, with what it asks of users",
        "  credit: unknown   # whom to name, and where the images come from",
        "",
        "sources:",
        f"  {name}:",
        *(f"    {line}" for line in source.splitlines()),
    ]
    return "\n".join(lines) + "\n"


def _enter(name: str, params: Path) -> None:
    """Add the dataset to ``params.yaml``; its comments stay."""
    editor = YAML()
    content = editor.load(params.read_text()) if params.exists() else {}
    content.setdefault("datasets", {})
    content["datasets"] = content["datasets"] or {}
    content["datasets"].setdefault(name, [])
    with replacing(params) as part, part.open("w") as file:
        editor.dump(content, file)
