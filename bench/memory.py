"""Memory of packaging: of the stage ``package``, as DVC starts it, and of its workers.

    python -m bench.memory [--images 10000 100000] [--rows ...] [--work DIR]

Photos of 112 x 112 pixels and 6 KB, four fifths of them in train, with the tables that the stages
before leave; two workers. ``all`` is of every process of the stage together, ``first`` and
``worker`` the most of one process each; see ``bench.peak``. DVC's own process comes on top. 100,000
images of the user's flow take 20 GB of disk and some five minutes.
"""

import argparse
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from bench.package import WORKERS, Images
from bench.peak import peak
from imagemill import certificates
from imagemill.packs import FOLDER
from imagemill.tables import CONTENTS, FACTS, MANIFEST, PLACES, write_side_tables
from tests.conftest import Project, make_project

NAME = "photos"
MADE = f"*/{CONTENTS.file}"

DATASET = """\
# @package _global_
defaults:
  - /source@sources.photos: folder
  - /layout@sources.photos.layout: imagefolder
about: {title: Photos}
sources:
  photos: {path: images}
"""

GREY = ["package=hdf5", "package.formats.hdf5.mode=L"]

ROWS = {
    "webdataset": ["package=webdataset"],
    "hdf5": GREY,
    "flow": [*GREY, "transforms@package=grey128", "augment@package.augment=standard"],
}
"""Overrides by name; ``flow`` is the seed's: 128 x 128, grey, four derived rows of each image of
train."""


def prepare(root: Path, count: int) -> None:
    """Make a project in which the stages before ``package`` have run."""
    make_project(root).conf(f"dataset/{NAME}.yaml", DATASET)
    data = root / "data" / NAME
    for stage in ("scan", "download", "measure", "leaks"):
        (data / stage).mkdir(parents=True)
    images = Images(root / "images", count)
    given = images.given()
    images.packs.rename(data / "download" / FOLDER)
    facts = given.source.facts.lazy().collect()
    unknown = {name: pl.lit(None, kind) for name, kind in FACTS.columns.items()}
    facts = facts.with_columns(**{k: v for k, v in unknown.items() if k not in facts.columns})
    PLACES.write(data / "download", given.source.places.lazy().collect())
    FACTS.write(data / "measure", facts)
    MANIFEST.write(data / "leaks", given.manifest.lazy().collect())
    write_side_tables(data / "scan", {})
    certificates.write(data / "leaks" / certificates.FILE, {"leaks": {}})


def measured(name: str, project: Project) -> str:
    """Run the stage; return a row of the table."""
    project.datasets(**{NAME: ROWS[name]})
    project.run(sys.executable, "-m", "stages.config", NAME)
    begun = time.perf_counter()
    stage = [sys.executable, "-m", "stages.package", NAME]
    workers = {"IMAGEMILL_ENGINE": f"engine.workers={WORKERS}"}
    with TemporaryDirectory(dir=project.root) as memo:
        env = {**project.env(), **workers, "IMAGEMILL_MEMO": memo}
        child = subprocess.Popen(stage, cwd=project.root, env=env)
        found = peak(child)
    if child.returncode:
        raise SystemExit(f"{name}: packaging failed")
    seconds = time.perf_counter() - begun
    out = project.root / "data" / NAME / "package"
    rows = sum(pl.scan_parquet(p).select(pl.len()).collect().item() for p in out.glob(MADE))
    shutil.rmtree(out)
    cells = [f"{rows:,}", *(f"{each / 1e6:,.0f} MB" for each in found)]
    return f"| {name} | {' | '.join(cells)} | {seconds:,.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the memory of packaging.")
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--work", type=Path, help="folder with the space; default: a temporary one")
    given = parser.parse_args()
    print("| | rows | all | first | worker | |\n|---|---|---|---|---|---|", flush=True)
    for count in given.images:
        with TemporaryDirectory(dir=given.work) as folder:
            project = Project(Path(folder))
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(prepare, project.root, count).result()
            for name in given.rows:
                print(measured(name, project), flush=True)


if __name__ == "__main__":
    main()
