"""How long ``measure`` and ``match`` take for one image more than a million that they know.

``python -m bench.one_more [--images 1000000] [--work FOLDER]`` makes a project whose memo knows
what is measured of so many made-up images, lets ``match`` compare them, adds a photograph, and runs
both stages as DVC would, in processes of their own. It takes some 10 GB of disk and 7 of memory.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from bench.matching import ours
from bench.photos import photos
from imagemill import config, measure
from imagemill.measure.functions import Function, functions
from imagemill.tables import COLOURS_SIDE, PLACES, THUMB_SIDE
from tests import draw, make
from tests.conftest import Project

PART = 100_000  # images that are made up at a time
PLACE = "data/photos/download"
COARSE = 12  # fields a side of a made-up thumbnail, of random grey with some grain


def known(made: Project, digests: np.ndarray) -> None:
    """Let the memo know what is measured of images that are not there."""
    section = config.read(made.root / "data/photos/config.yaml", "measure")
    given = measure.Config.model_validate(section)
    memos = measure.memos(made.root / ".imagemill/memo", given)
    like = make.measured(draw.photo(1, 400, 500))
    for name, function in functions(given.models).items():
        numbers = np.random.default_rng(0)
        for start in range(0, len(digests), PART):
            part = digests[start : start + PART]
            columns = dict(invented(function, part, like, numbers))
            memos[name].add(pl.DataFrame(columns, function.schema))


def invented(
    function: Function, digests: np.ndarray, like: make.Row, numbers: np.random.Generator
) -> Iterator[tuple[str, object]]:
    """Yield the columns of a function: what tells images apart is random, the rest ``like``."""
    count = len(digests)

    def noise(length: int) -> list[bytes]:
        return [bytes(row) for row in numbers.integers(0, 256, (count, length), np.uint8)]

    yield "digest", digests
    for name in function.columns:
        if name == "thumb":
            fields = numbers.integers(0, 128, (count, COARSE, COARSE), np.uint8)
            whole = fields.repeat(THUMB_SIDE // COARSE, 1).repeat(THUMB_SIDE // COARSE, 2)
            whole += numbers.integers(32, 36, whole.shape, np.uint8)
            yield name, [row.tobytes() for row in whole]
        elif name in ("colours", "phash256", "prints"):
            yield name, noise({"colours": 3 * COLOURS_SIDE**2, "phash256": 32, "prints": 16}[name])
        elif name == "phash":
            yield name, list(numbers.integers(0, 2**64, (count, 8), np.uint64))
        elif name == "pixels":
            yield name, [digest[:32] for digest in digests]
        else:
            yield name, [like.get(name)] * count


def prepared(work: Path, count: int) -> tuple[Project, pl.DataFrame, pl.DataFrame]:
    """Make the project; return where its images lie without and with the new one."""
    photos(work / "images", 1)
    made = ours.project(work / "project", work / "images", [])
    for stage in ("config", "scan", "download"):
        made.run("python", "-m", f"stages.{stage}", "photos")
    one = PLACES.read(made.root / PLACE)
    order = np.random.default_rng(1).permutation(count)
    digests = np.array([f"{number:016x}" * 4 for number in order])
    known(made, digests)
    many = one.clear(count).with_columns(digest=pl.Series(digests))
    return made, many, pl.concat([many, one])


def timed(made: Project, stage: str, what: str) -> None:
    """Run a stage and print a row: its wall time, its processor time, its peak memory."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", f"stages.{stage}", "photos"]
    child = subprocess.Popen(command, cwd=made.root, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    if status:
        raise SystemExit(f"{stage} failed")
    spent, peak = used.ru_utime + used.ru_stime, used.ru_maxrss >> 10
    print(f"| `{stage}`, {what} | {wall:,.1f} | {spent:,.1f} | {peak:,} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="folder with the space; default: a temporary one")
    given = parser.parse_args()
    with TemporaryDirectory(dir=given.work) as folder:
        # In a process of its own: one that is started counts the memory of this one for its own.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            made, before, after = pool.submit(prepared, Path(folder), given.images).result()
        print(f"load {os.getloadavg()[0]:.1f}\n\n| what | seconds | of processors | MB |")
        print("|---|---|---|---|")
        PLACES.write(made.root / PLACE, before)
        timed(made, "measure", "all remembered")
        timed(made, "match", "from nothing")
        PLACES.write(made.root / PLACE, after)
        timed(made, "measure", "one image more")
        timed(made, "match", "one image more")


if __name__ == "__main__":
    main()
