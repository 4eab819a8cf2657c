"""Time a whole build: from nothing, with nothing to do, and with one image more.

Beside it, in the same run and on the same files, a plain script with as many processes that only
computes ``imagehash.phash`` of each file: what people run when they want to know about copies.

    python -m bench.pipeline [--images 2000] [--rounds 3]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import imagehash
from PIL import Image

from tests.conftest import PETS, Project, make_project
from tests.draw import photo

WIDTH, HEIGHT = 400, 500


def draw(folder: Path, seed: int) -> None:
    """Write one JPEG of about 60 KB."""
    path = folder / f"label{seed % 10}" / f"{seed}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    photo(seed, WIDTH, HEIGHT).save(path, quality=85)


def peer(path: Path) -> str:
    """Hash one file as the plain script does."""
    with Image.open(path) as image:
        return str(imagehash.phash(image))


def run_peer(folder: Path) -> None:
    with ProcessPoolExecutor() as pool:
        list(pool.map(peer, sorted(folder.rglob("*.jpg")), chunksize=32))


def forget(project: Project) -> None:
    """Bring a project back to where nothing was built, DVC's cache included."""
    for name in (".imagemill", ".dvc/cache", "dvc.lock", "data/pets"):
        path = project.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(project: Project, images: int, number: int) -> dict[str, float]:
    """Return the seconds of one round."""
    repro = partial(project.run, "dvc", "repro")
    seconds = {"imagehash.phash alone": timed(partial(run_peer, project.root / "pets"))}
    forget(project)
    seconds["dvc repro from nothing"] = timed(repro)
    seconds["dvc repro, nothing changed"] = timed(repro)
    draw(project.root / "pets", images + number)
    seconds["dvc repro, one image more"] = timed(repro)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Time whole builds; see bench/README.md.")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project")
        project.conf("dataset/pets.yaml", PETS)
        project.datasets(pets=[])
        project.run("git", "init", "-q")
        project.run("dvc", "init", "-q")
        for seed in range(given.images):
            draw(project.root / "pets", seed)
        rounds = [measure(project, given.images, n) for n in range(given.rounds)]
    print(f"{given.images:,} JPEGs of {WIDTH}x{HEIGHT}, median of {given.rounds} rounds\n")
    print("| what | seconds | of the peer's |\n|---|---|---|")
    for what in rounds[0]:
        ratio = statistics.median(r[what] / r["imagehash.phash alone"] for r in rounds)
        print(f"| {what} | {statistics.median(r[what] for r in rounds):.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
