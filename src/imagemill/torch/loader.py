"""Batches of a package, prepared by workers of our own; as fast as they can be decoded.

Faster than ``DataLoader``, since pixels go as they are, uint8, through memory that lasts, and a
batch becomes a tensor of floats once. Resumable to the batch, and safe when workers are killed.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import data

from imagemill import label_maps
from imagemill.readers import numbering
from imagemill.readers.errors import PackageError
from imagemill.readers.order import Order, Shuffle, Uneven
from imagemill.readers.package import Package
from imagemill.readers.pixels import Mode
from imagemill.readers.pool import Job, Made, Pool
from imagemill.readers.work import Batches, Transform
from imagemill.torch import tensors
from imagemill.torch.datasets import Batched, counted, ranked, shuffled

State = dict[str, Any]


class Loader(Batched):
    """Batches of images and labels: float32 (rows, channels, height, width) 0..1, and long.

    An epoch's order follows from ``seed`` and the epoch, and what a transform draws from the batch
    too: both are the same for any number of workers. After a whole epoch the next one begins, also
    without ``set_epoch``. ``method`` is how workers start: ``fork``, ``spawn`` or ``forkserver``.
    """

    def __init__(
        self,
        package: Package | str | Path,
        batch_size: int,
        *,
        shuffle: bool | Shuffle = False,
        seed: int = 0,
        workers: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        world: int | None = None,
        uneven: Uneven = "repeat",
        mode: Mode | None = None,
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        dtype: Any = torch.float32,
        method: str | None = None,
    ) -> None:
        order = Order(shuffled(shuffle), seed, *ranked(rank, world), uneven)
        super().__init__(package, batch_size, order, drop_last, mode, size, transform, dtype)
        self.workers, self._method = counted("workers", workers, 0), method
        self._turn = 0
        self._pool: Pool | None = None
        self._room = np.empty(0, np.uint8)

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration is of, or the present one."""
        return self._epoch

    def __iter__(self) -> Iterator[tuple[Any, tensors.Tensor]]:
        self._given, self._start = self._start, 0
        self._turn += 1
        turn = self._turn
        jobs = self._jobs()
        for made, job in zip(self._made(jobs), jobs, strict=True):
            if turn != self._turn:
                raise PackageError("a loader gives one iteration at a time; make two of them")
            self._given = job.number + 1
            yield made, tensors.numbers(self.package.contents.labels[job.rows])
        self._epoch, self._given = self._epoch + 1, 0

    def _jobs(self) -> list[Job]:
        """Return the batches that are still to be given in this epoch."""
        plan = [self.package.rows[positions] for positions in self._plan()]
        mixed = [self.order.seed, self._epoch, self.order.rank]
        seeds = np.random.SeedSequence(mixed).generate_state(len(plan)).tolist()
        jobs = [Job(n, seeds[n], rows) for n, rows in enumerate(plan)]
        return jobs[self._given :]

    def _made(self, jobs: list[Job]) -> Iterator[Any]:
        if not jobs:
            return
        if self.workers:
            if self._pool is None or not self._pool.pids:
                self._pool = self._started()
            yield from self._pool.run(jobs, self._tensor)
            return
        work = self._work()
        for job in jobs:
            yield self._tensor(work(job, self._own))

    def _work(self) -> Batches:
        shape = (0, 0, 0) if self.transform else self.shape
        return Batches(self.reader, shape, self.transform)

    def _started(self) -> Pool:
        work = self._work()
        each = self.batch_size * max(8, work.largest(self.package.rows[:1]))
        return Pool(work, self.workers, each, self._method)

    def _own(self, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return memory for a batch that this process makes; it is used again for the next."""
        if len(self._room) < count:
            self._room = np.empty(count, np.uint8)
        return self._room[:count]

    def _tensor(self, made: Made) -> Any:
        if made.array is None:
            return data.default_collate(made.other)
        if made.pixels:
            return tensors.images(made.array, self.dtype)
        return torch.from_numpy(made.array.copy())

    @property
    def pids(self) -> list[int]:
        """Processes of the workers that there are now."""
        return [] if self._pool is None else self._pool.pids

    def close(self) -> None:
        """End the workers; the next iteration starts others."""
        if self._pool is not None:
            self._pool.close()

    def state_dict(self) -> State:
        """Return where the loader is: to be stored with the model."""
        return {**self._said(), "epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state: State) -> None:
        """Let the next iteration give exactly the batches of that epoch that were not given.

        Raises ``PackageError`` where the package or a setting is another: then rows would be missed
        or given twice.
        """
        for name, now in self._said().items():
            if name != "labels" and state.get(name) != now:
                raise PackageError(self._differs(name, state, now))
        self._epoch, self._start = state["epoch"], state["given"]
        self._given = self._start

    def _differs(self, name: str, state: State, now: Any) -> str:
        if "rows" not in state:
            return "the state is of no Loader: give what its state_dict() returned"
        if name != "rows":
            return (
                f"the state is of {name}={state.get(name)!r}, and this loader has {now!r}; rows "
                f"would be missed or given twice. Make the loader with {name}={state.get(name)!r}."
            )
        lines = label_maps.difference(numbering.numbered(state["labels"]), self.package.label_map)
        more = "\nIts labels have changed too:\n" + "\n".join(lines) if lines else ""
        return (
            f"{self.package.path} holds other rows than when the state was stored; go on with the "
            f"package of then, or begin an epoch: set_epoch({state['epoch'] + 1}).{more}"
        )

    def _said(self) -> State:
        order = self.order
        return {
            "rows": self._hash(),
            "labels": self.package.label_map,
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
            "shuffle": order.shuffle,
            "seed": order.seed,
            "rank": order.rank,
            "world": order.world,
            "uneven": order.uneven,
        }

    def _hash(self) -> str:
        """Return what tells these rows from others: labels, and where they lie."""
        contents = self.package.contents
        seen = sha256(contents.format.encode())
        for part in (self.package.rows.tobytes(), contents.labels.tobytes()):
            seen.update(part)
        seen.update(contents.source.identity())
        return seen.hexdigest()[:20]
