"""Kill workers of a loader at random, for as long as you like, and look what it does.

    python -m bench.loading.soak [--minutes 10] [--workers 4] [--images 2000] [--side 112]

After each kill either the epoch ends as it should, or an error comes within ``LIMIT`` seconds; a
fresh loader then goes on from the state that was stored. Every batch is compared with what it must
be, and every epoch must have had each row once. Needs torch.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import imagemill
from imagemill.readers import Package, WorkerError
from imagemill.torch import Loader
from imagemill.torch.datasets import starts

LIMIT = 10.0  # seconds from a kill to an error
BATCH = 16
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGBUS)


@dataclass
class Seen:
    """What came of a soak."""

    kills: int = 0
    errors: int = 0
    epochs: int = 0
    batches: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds from each kill to its error."""

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.kills:,} kills, {self.errors:,} errors, the slowest after "
            f"{max(self.waits, default=0):.2f} s; {self.epochs:,} epochs and {self.batches:,} "
            "batches, all right"
        )


class Killer(threading.Thread):
    """Kills one worker of a loader after a while."""

    def __init__(self, loader: Loader, after: float, by: int, which: int) -> None:
        super().__init__(daemon=True)
        self._loader, self._after, self._by, self._which = loader, after, by, which
        self.at: float | None = None
        """When it did."""

    def run(self) -> None:
        """Wait, then kill; nothing where there is no worker then."""
        time.sleep(self._after)
        pids = self._loader.pids
        if pids:
            self.at = time.monotonic()
            os.kill(pids[self._which % len(pids)], self._by)


class Soak:
    """One package, read again and again."""

    def __init__(self, package: Package, workers: int, pause: float, seed: int) -> None:
        self._package, self._workers, self._pause = package, workers, pause
        self._chance = random.Random(seed)
        loader = Loader(package, len(package), dtype=torch.uint8)
        ((self._images, self._labels),) = list(loader)
        self.seen = Seen()

    def run(self, seconds: float) -> Seen:
        """Soak for so long, and until an epoch is whole then."""
        end = time.monotonic() + seconds
        state: dict[str, Any] | None = None
        while time.monotonic() < end or state is not None:
            state = self._killed(state, kill=time.monotonic() < end)
        return self.seen

    def _killed(self, state: dict[str, Any] | None, kill: bool) -> dict[str, Any] | None:
        """Have one loader until it fails or its epoch ends; return the state to go on from."""
        method = self._chance.choice(("fork", "fork", "fork", "forkserver"))
        loader = Loader(
            self._package,
            BATCH,
            shuffle=True,
            workers=self._workers,
            dtype=torch.uint8,
            method=method,
        )
        if state is None:
            loader.set_epoch(self.seen.epochs)
        else:
            loader.load_state_dict(state)
        after = self._chance.uniform(0, 1.0) ** 2
        killer = Killer(loader, after, self._chance.choice(SIGNALS), self._chance.randrange(99))
        if kill:
            killer.start()
        try:
            self._epoch(loader, loader.state_dict()["given"])
        except WorkerError:
            self.seen.kills += 1
            self.seen.errors += 1
            self.seen.waits.append(time.monotonic() - (killer.at or 0))
            if killer.at is None or self.seen.waits[-1] > LIMIT:
                raise
            return loader.state_dict()
        finally:
            loader.close()
            if kill:
                killer.join()
        self.seen.kills += killer.at is not None
        self.seen.epochs += 1
        return None

    def _epoch(self, loader: Loader, given: int) -> None:
        rows = loader.order.positions(loader.epoch, len(self._package), starts(self._package))
        alarm = threading.Timer(60, _hang)
        alarm.start()
        try:
            count = given
            for images, labels in loader:
                expected = rows[count * BATCH : (count + 1) * BATCH]
                at = torch.from_numpy(np.ascontiguousarray(expected))
                if not (
                    torch.equal(images, self._images[at]) and torch.equal(labels, self._labels[at])
                ):
                    raise AssertionError(f"batch {count} is wrong")
                count += 1
                self.seen.batches += 1
                time.sleep(self._pause)
        finally:
            alarm.cancel()
        if count != len(loader):
            raise AssertionError(f"{count} batches of {len(loader)}")


def _hang() -> None:
    import faulthandler

    faulthandler.dump_traceback(file=sys.stderr)
    print("an epoch takes more than a minute: a hang", file=sys.stderr, flush=True)
    os._exit(3)


def main() -> None:
    from bench.loading import data

    parser = argparse.ArgumentParser(description="Kill workers; see bench/README.md.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--pause", type=float, default=0.01, help="seconds of training a batch")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = data.made(Path(folder), given.images, given.side)
        for part in ("all/webdataset", "raw/hdf5"):
            soak = Soak(imagemill.open(made / part), given.workers, given.pause, seed=1)
            print(f"{part}: {soak.run(given.minutes * 30)}", flush=True)


if __name__ == "__main__":
    main()
