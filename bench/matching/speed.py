"""Images a second of ours and of every other tool, whole processes in turn on the same photos.

Each round runs all of them once, in an order that turns from round to round, so that all meet the
same machine. Ours starts without memory of earlier runs: once ``measure`` alone, which reads the
packs that ``download`` wrote, once with the default embedder, and once every stage from the folder
of files to verified pairs, which is what the other tools do.

    python -m bench.matching.speed [--images 10000] [--rounds 2] [--peers VENV] [--without NAME ...]
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from bench.matching import ours, venv
from bench.matching.__main__ import PEERS
from bench.photos import photos
from tests.conftest import Project

ROOT = Path(__file__).parents[2]
MEASURE = "measure"
AUDITS = {"CleanVision, whole audit": "cleanvision_audit"}
"""What looks at more than copies, as ``measure`` does."""


def forget(made: Project) -> None:
    """Remove what was measured and matched, and every memory of it."""
    for name in (".imagemill", "data/photos/measure", "data/photos/match"):
        shutil.rmtree(made.root / name, ignore_errors=True)


def stages(made: Project, names: tuple[str, ...]) -> None:
    for name in names:
        made.run("python", "-m", f"stages.{name}", "photos")


def systems(given: argparse.Namespace, work: Path) -> dict[str, tuple[Callable[[], object], ...]]:
    """Return for each system what is done before and what is timed."""
    images = work / "images"
    runs: dict[str, tuple[Callable[[], object], ...]] = {}
    for what, overrides in (
        (MEASURE, []),
        ("measure with an embedding", ["embedder@measure.embedder=opennsfw"]),
    ):
        made = ours.project(work / what.replace(" ", "-"), images, overrides)
        stages(made, ours.STAGES[:-2])
        fetched = pl.read_parquet(made.root / "data/photos/download/places.parquet")
        assert len(fetched) == given.images
        runs[what] = (partial(forget, made), partial(stages, made, ("measure",)))
    whole = ours.project(work / "whole", images, [])
    runs["scan to match"] = (
        partial(shutil.rmtree, whole.root / ".imagemill", ignore_errors=True),
        partial(stages, whole, ours.STAGES),
    )
    python = venv.python(given.peers)
    scripts = {name: peer.script for name, peer in PEERS.items()} | AUDITS
    for name, script in scripts.items():
        module = f"bench.matching.peers.{script}"
        if name not in given.without:
            runs[name] = (lambda: None, partial(checked, python, module, images, work / "out.csv"))
    return runs


def checked(*arguments: object) -> None:
    done = venv.run(*arguments)  # type: ignore[arg-type]
    if done.returncode:
        raise SystemExit(done.stderr)


def once(before: Callable[[], object], work: Callable[[], object]) -> float:
    before()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Time ours and other tools on the same photos.")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", type=Path, default=ROOT / "bench/.peers")
    parser.add_argument("--without", nargs="*", default=[], help="tools not to run")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        photos(work / "images", given.images)
        runs = systems(given, work)
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        names = list(runs)
        for number in range(given.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                seconds[name].append(once(*runs[name]))
    loads = f"load {load:.1f} before and {os.getloadavg()[0]:.1f} after"
    print(f"{given.images:,} photos of 400x500, {given.rounds} rounds, {loads}\n")
    print("| what | images/s | its seconds to measure's |\n|---|---|---|")
    for name, each in seconds.items():
        ratios = [a / b for a, b in zip(each, seconds[MEASURE], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {given.images / statistics.median(each):,.0f} | {spread} |")


if __name__ == "__main__":
    main()
