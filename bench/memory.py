"""Memory of packaging: of the process that ``package`` is, and of its workers.

    python -m bench.memory [--images 10000 100000] [--rows ...] [--work DIR]

Photos of 112 x 112 pixels and 6 KB, four fifths of them in train, are packaged by two workers, in a
process of its own that reads its tables as the stage does. A sample a quarter of a second. ``all``
is the proportional set size of every process together, in which a page that several share counts
once; ``first`` and ``worker`` are resident, the most of one process each. 100,000 images of the
user's flow take 20 GB of disk and some ten minutes.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl
import psutil

from bench.package import GREY, WORKERS, Images
from imagemill import package
from imagemill.config import instantiate
from imagemill.engine import Engine, processes
from imagemill.package.annotations import Annotations
from tests.packaging import STANDARD, TRANSFORMS, USUAL

PAUSE = 0.25  # seconds

RESIZE = {"_target_": f"{TRANSFORMS}Resize", "width": 128, "height": 128, "how": "exact"}
CONVERT = {"_target_": f"{TRANSFORMS}Convert", "mode": "L"}

ROWS: dict[str, dict[str, Any]] = {
    "webdataset": {"formats": {"webdataset": {"shard_images": 1000}}},
    "hdf5": {"formats": {"hdf5": GREY}},
    "flow": {
        "formats": {"hdf5": GREY},
        "transforms": [RESIZE, CONVERT],
        "augment": STANDARD,
    },
}
"""Configs by name; ``flow`` is the seed's: 128 x 128, grey, four derived rows of each of train."""

TABLES = ("manifest", "places", "facts")


def prepare(root: Path, count: int) -> None:
    """Leave packs and tables as the stages before ``package`` do."""
    given = Images(root, count).given()
    tables = (given.manifest, given.source.places, given.source.facts)
    for name, table in zip(TABLES, tables, strict=True):
        table.lazy().sink_parquet(root / f"{name}.parquet")


def write(name: str, root: Path, out: Path) -> None:
    """Package what ``prepare`` left."""
    manifest, places, facts = (pl.scan_parquet(root / f"{each}.parquet") for each in TABLES)
    source = package.Source(places, facts, root / "packs")
    given = package.Input(manifest.select(*package.MANIFEST), source, Annotations())
    config = package.Config.model_validate({**USUAL, **ROWS[name]})
    making = package.recipe(config, instantiate.each(config.transforms, "package.transforms"))
    (out / "package").mkdir(parents=True)
    engine = Engine(partial(processes, WORKERS), 8 * WORKERS)
    kept = package.write(given, config, making, out / "package", out / "memo", engine)
    print(kept["rows"].sum())


class Peak(NamedTuple):
    """The most bytes that were seen."""

    all: int = 0
    first: int = 0
    worker: int = 0

    def seen(self, first: psutil.Process) -> "Peak":
        """Return the most of this and of what the processes have now."""
        found = [each for each in map(_held, [first, *first.children(recursive=True)]) if each]
        resident = [rss for rss, _ in found] or [0]
        now = (sum(pss for _, pss in found), resident[0], max(resident[1:], default=0))
        return Peak(*map(max, zip(self, now, strict=True)))


def _held(process: psutil.Process) -> tuple[int, int] | None:
    """Return resident and proportional set size, null of one that has ended."""
    try:
        found = process.memory_full_info()
    except psutil.Error:
        return None
    return found.rss, found.pss


def measured(name: str, root: Path, out: Path) -> str:
    """Package in a process of its own; return a row of the table."""
    command = [sys.executable, "-m", "bench.memory", "--write", name, str(root), str(out)]
    # As the stage has it: what Polars has freed goes back at once.
    allocator = {"_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"}
    begun, peak = time.perf_counter(), Peak()
    child = subprocess.Popen(command, env={**os.environ, **allocator}, stdout=subprocess.PIPE)
    while child.poll() is None:
        peak = peak.seen(psutil.Process(child.pid))
        time.sleep(PAUSE)
    if child.returncode or child.stdout is None:
        raise SystemExit(f"{name}: packaging failed")
    seconds = time.perf_counter() - begun
    cells = [f"{int(child.stdout.read()):,}", *(f"{each / 1e6:,.0f} MB" for each in peak)]
    return f"| {name} | {' | '.join(cells)} | {seconds:,.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the memory of packaging.")
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--work", type=Path, help="folder with the space; default: a temporary one")
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        name, root, out = given.write
        write(name, Path(root), Path(out))
        return
    print("| | rows | all | first | worker | |\n|---|---|---|---|---|---|", flush=True)
    for count in given.images:
        with TemporaryDirectory(dir=given.work) as folder:
            root = Path(folder)
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(prepare, root, count).result()
            for name in given.rows:
                with TemporaryDirectory(dir=given.work) as out:
                    print(measured(name, root, Path(out)), flush=True)


if __name__ == "__main__":
    main()
