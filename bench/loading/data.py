"""The same photos in every format: our packages, folders, and what peers store pixels in."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from bench.photos import photos
from imagemill import package, packs
from imagemill.engine import Engine, processes
from imagemill.package.annotations import Annotations
from imagemill.packs import Member
from imagemill.tables import MANIFEST, PLACES
from tests import make
from tests.packaging import FOLDER, HDF5, USUAL, facts

LABELS = 100
SHARD = 1000  # samples
PACK = 64 << 20

PACKAGES: dict[str, dict[str, Any]] = {
    "raw": {"hdf5": {**HDF5, "chunk_images": 16}},
    "all": {
        "hdf5": {**HDF5, "store": "encoded"},
        "imagefolder": {**FOLDER, "pack_bytes": PACK},
        "litdata": {"shard_images": SHARD},
        "mds": {"shard_images": SHARD},
        "parquet": {"shard_images": SHARD},
        "webdataset": {"shard_images": SHARD},
    },
}
"""Folders of packages, below the one of the data."""


def made(root: Path, count: int, side: int) -> Path:
    """Return the folder with ``count`` photos of ``side`` pixels in every format; make it first."""
    folder = root / f"{count}-{side}"
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    paths = photos(root / f"photos-{side}", count, (side, side))[:count]
    given = _given(folder, paths)
    for name, formats in PACKAGES.items():
        for settings in formats.values():
            if "width" in settings:
                settings |= {"width": side, "height": side}
        config = package.Config.model_validate({**USUAL, "formats": formats})
        (folder / name).mkdir()
        making, engine = package.recipe(config, ()), Engine(partial(processes, 2), 16)
        package.write(given, config, making, folder / name, folder / "memo", engine)
    shutil.rmtree(folder / "packs")
    (folder / "ready").touch()
    return folder


def _given(folder: Path, paths: list[Path]) -> package.Input:
    """Return the photos as a package's input; and put them into folders named by their label."""
    (folder / "packs").mkdir(parents=True)
    data = {make.sha(path.read_bytes()): path for path in paths}
    rows = []
    for number, (digest, path) in enumerate(sorted(data.items())):
        label = f"{number * 7919 % LABELS:03}"
        target = folder / "folders" / label / f"{number:07}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        rows.append({"key": f"{number:07}", "digest": digest, "label": label})
    members = [Member(f"{d}.jpg", d, p.stat().st_size) for d, p in sorted(data.items())]
    places = []
    for pack in packs.plan(members, PACK):
        packs.write(pack, folder / "packs", lambda member: data[member.digest].read_bytes())
        places += [(m.digest, pack.name, at, m.length) for m, at in pack.offsets()]
    table = pl.DataFrame(places, PLACES.columns, orient="row").sort("digest")
    known = facts([path.read_bytes() for path in paths])
    manifest = make.frame(MANIFEST, *[{**row, "split": "train"} for row in rows])
    return package.Input(manifest, package.Source(table, known, folder / "packs"), Annotations())
