"""Time our torch reader beside what people load images with; see bench/README.md.

    python -m bench.loading [--images 5000] [--side 112] [--rounds 7] [--workers 0 2]
                            [--peers VENV] [--work FOLDER]

Every loader has a process of its own, with workers that stay from one epoch to the next. One epoch
comes first, in which all must give the same images with the same labels; then, in each round, each
loader has an epoch, one after the other, in an order that turns. A row's ratio is that of our rate
to the rate of the best peer in the same round; the best peer is the one with the largest median.
"""

import argparse
import json
import statistics
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.loading import data, venv

ROOT = Path(__file__).parents[2]
OURS = ("HDF5 raw", "HDF5 encoded", "webdataset", "packs", "HDF5 encoded, in DataLoader")
FILES = ("ImageFolder", "webdataset's", "LitData", "MDS", "datasets")
PIXELS = ("LitData, pixels", "MDS, pixels", "h5py, pixels")
WISH = 0.95


class Runner:
    """One loader, waiting to be asked."""

    def __init__(self, python: Path, folder: Path, name: str, workers: int, log: Path) -> None:
        self.name = name
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [str(python), "-m", "bench.loading.runner", str(folder), name, str(workers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=venv.environment(),
        )

    def ask(self, what: str) -> dict[str, Any]:
        """Have an epoch, and return what is said of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} failed; see {self._log.name}")
        return dict(json.loads(line))

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._log.close()


Rates = dict[str, list[float]]
"""Images a second of each loader, a round each."""


def measured(given: argparse.Namespace, folder: Path, workers: int) -> tuple[Rates, Rates]:
    """Return rates by the clock, and by the processor time of a loader and its workers."""
    python = venv.python(given.peers)
    names = [*OURS, *FILES, *PIXELS]
    clock: Rates = {name: [] for name in names}
    busy: Rates = {name: [] for name in names}
    with ExitStack() as stack:
        runners = [
            stack.enter_context(
                Runner(python, folder, name, workers, given.work / f"{name}-{workers}.log")
            )
            for name in names
        ]
        _check({runner.name: runner.ask("contents") for runner in runners})
        for number in range(given.rounds):
            at = number * 3 % len(runners)
            for runner in [*runners[at:], *runners[:at]]:
                said = runner.ask("time")
                clock[runner.name].append(said["images"] / said["seconds"])
                busy[runner.name].append(said["images"] / max(said["busy"], 0.01))
    return clock, busy


def _check(said: dict[str, dict[str, Any]]) -> None:
    """Stop where loaders do not give the same."""
    first = said[OURS[0]]
    for name, each in said.items():
        if each != first:
            raise SystemExit(f"{name} gives {each}, and {OURS[0]} {first}")
    print(f"all give the same: {first['images']:,} images, {first['kinds'][0]}\n", flush=True)


def compared(name: str, rates: Rates) -> tuple[str, float]:
    """Return the best peer, the ratio to it with its interval, and the ratio as a number."""
    rivals = [*FILES, *(PIXELS if name == "HDF5 raw" else ())]
    best = max(rivals, key=lambda each: statistics.median(rates[each]))
    ratios = [mine / theirs for mine, theirs in zip(rates[name], rates[best], strict=True)]
    ratio, rate = statistics.median(ratios), statistics.median(rates[best])
    said = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"{best}: {rate:,.0f} | {said}", ratio


def table(workers: int, clock: Rates, busy: Rates) -> list[str]:
    """Print a table, and return the rows in which we lose."""
    print("| ours | workers | images/s | best peer | ratio | of processor time |")
    print("|---|---|---|---|---|---|")
    lost = []
    for name in OURS:
        said, ratio = compared(name, clock)
        rate, (by_time, _) = statistics.median(clock[name]), compared(name, busy)
        print(f"| {name} | {workers} | {rate:,.0f} | {said} | {by_time.replace(' |', ',')} |")
        lost += [f"{name} with {workers} workers ({ratio:.2f})"] if ratio < WISH else []
    shown = ", ".join(f"{n} {statistics.median(clock[n]):,.0f}" for n in (*FILES, *PIXELS))
    print(f"\npeers, images/s: {shown}\n", flush=True)
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(description="Time loading; see bench/README.md.")
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--side", type=int, default=112, help="pixels of a photo")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--peers", type=Path, default=ROOT / "bench/.loaders")
    parser.add_argument("--work", type=Path, default=ROOT / "bench/.loading")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    (given.work / ".gitignore").write_text("*\n")
    folder = data.made(given.work, given.images, given.side)
    python = str(venv.python(given.peers))
    subprocess.run(
        [python, "-m", "bench.loading.pixels", str(folder)],
        check=True,
        cwd=ROOT,
        env=venv.environment(),
    )
    lost: list[str] = []
    for workers in given.workers:
        lost += table(workers, *measured(given, folder, workers))
    print(f"below {WISH}: {'; '.join(lost) or 'none'}")


if __name__ == "__main__":
    main()
