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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import imagemill
from imagemill.readers import Package, WorkerError
from imagemill.torch import Loader
from imagemill.torch.datasets import starts

LIMIT = 10.0  # seconds from a kill to an error
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)


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
    """Kills one worker of a loader, a moment after it is started."""

    def __init__(self, loader: Loader, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._loader, self._after = loader, chance.uniform(0, 0.03)
        self._by, self._which = chance.choice(SIGNALS), chance.randrange(99)
        self.at: float | None = None
        """When it did; null where there was no worker any more."""

    def run(self) -> None:
        """Wait, then kill."""
        time.sleep(self._after)
        pids = self._loader.pids
        if pids:
            with suppress(ProcessLookupError):
                os.kill(pids[self._which % len(pids)], self._by)
                self.at = time.monotonic()


class Soak:
    """One package, read again and again."""

    def __init__(self, package: Package, workers: int, pause: float, seed: int) -> None:
        self._package, self._workers, self._pause = package, workers, pause
        self._batch = max(1, len(package) // 100)
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
        loader = Loader(
            self._package,
            self._batch,
            shuffle=True,
            workers=self._workers,
            dtype=torch.uint8,
            method=self._chance.choice(("fork", "fork", "fork", "forkserver")),
        )
        loader.set_epoch(self.seen.epochs)
        if state is not None:
            loader.load_state_dict(state)
        given = loader.state_dict()["given"]
        killer = Killer(loader, self._chance)
        at = self._chance.randrange(given, len(loader)) if kill else len(loader)
        try:
            self._epoch(loader, given, at, killer)
        except WorkerError:
            killer.join()
            wait = time.monotonic() - (killer.at or 0)
            if wait > LIMIT:
                raise
            self.seen.kills, self.seen.errors = self.seen.kills + 1, self.seen.errors + 1
            self.seen.waits.append(wait)
            return loader.state_dict()
        finally:
            loader.close()
        self.seen.kills += killer.at is not None
        self.seen.epochs += 1
        return None

    def _epoch(self, loader: Loader, given: int, kill_at: int, killer: Killer) -> None:
        """Compare each batch with what it must be, and their number."""
        rows = loader.order.positions(loader.epoch, len(self._package), starts(self._package))
        alarm = threading.Timer(60, _hang)
        alarm.start()
        count = given
        try:
            for images, labels in loader:
                at = rows[count * self._batch : (count + 1) * self._batch]
                same = torch.equal(images, self._images[at])
                if not same or not torch.equal(labels, self._labels[at]):
                    raise AssertionError(f"batch {count} is wrong")
                if count == kill_at:
                    killer.start()
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
