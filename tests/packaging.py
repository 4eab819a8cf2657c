"""A package of some files, made as the stage makes one."""

from pathlib import Path
from typing import Any

import polars as pl

from imagemill import certificates, package, packs
from imagemill.config import instantiate
from imagemill.engine import Engine
from imagemill.measure.functions import header
from imagemill.package.annotations import Annotations
from imagemill.packs import Member
from imagemill.tables import FACTS, MANIFEST, PLACES
from tests import draw, make

FOLDER = {"pack_bytes": 20_000, "unpacked": False}
SHARDS = {"shard_images": 8}
HDF5 = {
    "store": "raw",
    "width": 16,
    "height": 12,
    "mode": "RGB",
    "filter": "lanczos",
    "compression": "none",
    "chunk_images": 4,
}
ABOUT = {"title": "Pets", "licence": "CC0", "credit": "Nobody", "licences": {}}
USUAL = {"labels": None, "metadata": "strip", "seed": 0, "transforms": [], "augment": None}
USUAL |= {"max_pixels": 10_000_000, "max_bytes": 10_000_000, "about": ABOUT}

ALL: dict[str, Any] = {
    "coco": {"pack_bytes": 20_000},
    "hdf5": HDF5,
    "imagefolder": FOLDER,
    "litdata": SHARDS,
    "mds": SHARDS,
    "parquet": SHARDS,
    "recordio": {},
    "webdataset": SHARDS,
}
"""Every format."""

TRANSFORMS = "imagemill.package.transforms."

Sample = dict[str, Any]


def photos(count: int, first: int = 0) -> dict[str, bytes]:
    """Small drawn photos by key, each another."""
    return {f"{n:03}.png": make.file(draw.photo(n, 30, 30)) for n in range(first, first + count)}


def pets(count: int = 20) -> list[Sample]:
    """Photos of two labels in two splits, and some in none."""
    rows = [{"key": key, "data": data} for key, data in photos(count).items()]
    for n, row in enumerate(rows):
        row.update(label=("cat", "dog,big")[n % 2], split=("train", "test", None)[n % 3])
    return rows


def config(formats: dict[str, Any], **more: Any) -> package.Config:
    """A config in which only what a test is about is unusual."""
    return package.Config.model_validate({**USUAL, "formats": formats, **more})


def facts(files: list[bytes]) -> pl.DataFrame:
    """What measure says of files, of those that can be read."""
    distinct = {make.sha(data): data for data in files}
    rows = [{"digest": key, **header(make.opened(data))} for key, data in distinct.items()]
    return FACTS.frame(rows).select(*package.FACTS)


def stored(folder: Path, files: list[bytes]) -> pl.DataFrame:
    """Pack the files below ``folder``; return their places."""
    folder.mkdir(exist_ok=True)
    contents = {make.sha(data): data for data in files}
    members = [Member(f"{key}.img", key, len(contents[key])) for key in sorted(contents)]
    rows = []
    for pack in packs.plan(members, 20_000):
        packs.write(pack, folder, lambda member: contents[member.digest])
        rows += [(m.digest, pack.name, at, m.length) for m, at in pack.offsets()]
    return pl.DataFrame(rows, PLACES.columns, orient="row").sort("digest")


STANDARD: dict[str, Any] = {
    "splits": ["train"],
    "multiplier": 5,
    "seed": 0,
    "background": 0,
    "flip": 0.5,
    "rotate": 0.5,
    "translate": 0.5,
    "blur": 0.5,
    "noise": 0.5,
    "max_degrees": 20.0,
    "max_pixels": 10,
    "max_kernel": 5,
    "deviation": 0.1,
}
"""Augmentation as `conf/augment/standard.yaml` has it, mostly."""


class Build:
    """Downloaded packs of some files, and a package made of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "package"
        self.out.mkdir(parents=True)
        self.annotations = Annotations()
        self.measured = False
        """Whether the facts of ``measure`` are at hand, which spare reading headers."""

    def given(self, samples: dict[str, bytes] | list[Sample]) -> package.Input:
        """Pack the files of ``samples``; return what a package is made of."""
        rows = (
            samples
            if isinstance(samples, list)
            else [{"key": k, "data": d} for k, d in samples.items()]
        )
        rows = [{"split": "train", **row, "digest": make.sha(row["data"])} for row in rows]
        files = [row["data"] for row in rows]
        places = stored(self.root / "packs", files)
        known = facts(files if self.measured else [])
        source = package.Source(places, known, self.root / "packs")
        return package.Input(make.frame(MANIFEST, *rows), source, self.annotations)

    def write(
        self,
        samples: dict[str, bytes] | list[Sample] | package.Input,
        engine: Engine = make.INLINE,
        more: dict[str, Any] | None = None,
        **formats: Any,
    ) -> pl.DataFrame:
        """Package samples, as the stage does; ``more`` is of the config, besides the formats."""
        given = samples if isinstance(samples, package.Input) else self.given(samples)
        chosen = config(formats or {"imagefolder": FOLDER}, **(more or {}))
        making = package.recipe(chosen, instantiate.each(chosen.transforms, "package.transforms"))
        told = package.write(given, chosen, making, self.out, self.root / "memo", engine)
        certificates.write(self.root / "issued.json", {"leaks": {}})
        package.seal(self.root / "issued.json", self.out)
        return told

    def files(self) -> dict[str, bytes]:
        """All that lies in the package."""
        return {
            p.relative_to(self.out).as_posix(): p.read_bytes()
            for p in self.out.rglob("*")
            if p.is_file()
        }
