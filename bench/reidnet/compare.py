"""Our stages beside the plain script, on the same files in the same run; then rebuilds by DVC."""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from bench.reidnet import plain
from bench.reidnet.cost import Cost, cost
from bench.reidnet.draw import photos
from bench.reidnet.generate import FACES, PHOTOS, Plan, file, identity
from tests.conftest import ROOT, Project, make_project

DATASET = "reidnet_v3_local"
STAGES = ("scan", "download", "merge")


def project(root: Path, sources: Path, plan: Plan) -> Project:
    """Return a project with the shipped config, in which nothing is built yet."""
    made = make_project(root)
    config = f"dataset/{DATASET}.yaml"
    made.conf(config, (ROOT / "conf" / config).read_text())
    (root / "reidnet_v3").symlink_to(sources.resolve())
    made.datasets(**{DATASET: expected(plan)})
    made.run(sys.executable, "-m", "stages.config", DATASET)
    return made


def expected(plan: Plan) -> list[str]:
    """Return overrides that let a dataset of any scale pass, and no smaller one."""
    least = {
        "sources.faces_only.identities": plan.faces,
        "sources.reidnet_v2.identities": plan.identities,
        "sources.reidnet_v2.images": plan.photos,
        "result.identities": plan.identities,
        "result.images": plan.photos,
    }
    return [f"expect.{key}.least={count}" for key, count in least.items()]


def pairs(sources: Path, root: Path, rounds: int, plan: Plan) -> None:
    """Print the seconds of both, and the median of the ratio within each pair.

    Every round writes to folders of its own, and nothing is deleted before the end: ext4 makes new
    files at half its speed after that. Both find the photos in the page cache and what was written
    before on the disk, or whoever comes first would wait for the disk alone.
    """
    found = []
    for number in range(rounds):
        make = [_ours, _plain]
        costs: dict[str, Cost] = {}
        for work in make if number % 2 == 0 else reversed(make):
            warm(sources / PHOTOS)
            subprocess.run(["sync"], check=True)
            costs |= work(sources, root / f"round{number}", plan)
        found.append(costs)
        said = ", ".join(f"{n} {each.seconds:.1f} ({each.work:.1f})" for n, each in costs.items())
        print(f"  {said}; load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    _print_pairs(found)


def warm(folder: Path) -> None:
    """Read every file below a folder, so that it is in the page cache if there is room."""
    for path in folder.rglob("*.jpg"):
        path.read_bytes()


def _print_pairs(found: list[dict[str, Cost]]) -> None:
    ours = [sum(each[name].seconds for name in STAGES) for each in found]
    theirs = [each["plain"].seconds for each in found]
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    print(f"| plain script | {_spread(theirs)} s | {_most(found, 'plain')} |")
    for name in STAGES:
        print(f"| {name} | {_spread([e[name].seconds for e in found])} s | {_most(found, name)} |")
    print(f"| scan, download and merge | {_spread(ours)} s | {_spread(ratios, 2)} of plain |")


def _spread(values: list[float], digits: int = 1) -> str:
    low, high = (f"{each:.{digits}f}" for each in (min(values), max(values)))
    return f"{statistics.median(values):.{digits}f} ({low} to {high})"


def _most(found: list[dict[str, Cost]], name: str) -> str:
    work = statistics.median(each[name].work for each in found)
    most = max(each[name].memory for each in found) / 1e6
    return f"{work:.1f} s of both cores' work, {most:,.0f} MB at most"


def _plain(sources: Path, root: Path, plan: Plan) -> dict[str, Cost]:
    done = cost([sys.executable, plain.__file__, sources, root / "plain"], root.parent, os.environ)
    assert f"Total identities: {plan.identities:,}" in done.said, done.said
    assert f"Total images: {plan.photos:,}" in done.said, done.said
    return {"plain": done}


def _ours(sources: Path, root: Path, plan: Plan) -> dict[str, Cost]:
    made = project(root / "project", sources, plan)
    control = sources / PHOTOS / identity(plan.seed, 0)
    unread(sources / FACES)
    unread(control)
    costs = {
        name: cost([sys.executable, "-m", f"stages.{name}", DATASET], made.root, made.env())
        for name in STAGES
    }
    check(made, plan)
    assert list(read(control)), f"{sources}: this file system notes no time of access"
    assert not list(read(sources / FACES)), "files were read that no one wants"
    return costs


def check(made: Project, plan: Plan) -> None:
    """Assert that the merge has the exact figures, and that nothing useless was fetched."""
    samples = pl.read_parquet(made.root / f"data/{DATASET}/merge/samples.parquet")
    kept = samples.filter(pl.col("reason").is_null())
    few = samples.filter(reason="identity_too_small")
    assert len(kept) == plan.photos
    assert kept["identity"].n_unique() == plan.identities
    assert few["identity"].n_unique() == len(few) == plan.faces
    assert few["digest"].null_count() == len(few)
    assert len(samples) == len(kept) + len(few)
    places = pl.read_parquet(made.root / f"data/{DATASET}/download/places.parquet")
    assert places["digest"].n_unique() == plan.photos


def unread(folder: Path) -> None:
    """Set back the time of access of files that were read, so that ``read`` sees the next time.

    File systems mounted with ``relatime`` note the first reading after a change, and no more.
    """
    for entry in read(folder):
        found = entry.stat()
        os.utime(entry, ns=(found.st_mtime_ns, found.st_mtime_ns))


def read(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files of a folder that were read since they were written."""
    for entry in os.scandir(folder):
        found = entry.stat()
        if found.st_atime_ns > found.st_mtime_ns:
            yield entry


def rebuilds(sources: Path, root: Path, plan: Plan, target: str) -> None:
    """Print what DVC takes from nothing, with nothing to do, and with one image more."""
    made = project(root / f"dvc-{target}", sources, plan)
    made.run("git", "init", "-q")
    made.run("dvc", "init", "-q")
    repro = ["dvc", "repro", f"{target}@{DATASET}"]
    _print_rebuild(f"dvc repro {target}, from nothing", cost(repro, made.root, made.env()))
    check(made, plan)
    _print_rebuild(f"dvc repro {target}, nothing changed", cost(repro, made.root, made.env()))
    more = sources / PHOTOS / identity(plan.seed, 0) / f"{file(plan.seed, 'more', 0)}.jpg"
    more.write_bytes(next(photos(np.random.default_rng([plan.seed, 3]), 1)))
    try:
        done = cost(repro, made.root, made.env())
    finally:
        more.unlink()
    assert "download: 1 objects fetched, 0 rejected" in done.said, done.said
    _print_rebuild(f"dvc repro {target}, one image more", done)


def _print_rebuild(what: str, done: Cost) -> None:
    said = f"{done.seconds:.1f} s | {done.memory / 1e6:,.0f} MB at most"
    print(f"| {what} | {said} |", flush=True)
