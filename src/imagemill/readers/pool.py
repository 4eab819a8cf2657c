"""Processes that prepare batches: in order, without a lock that a killed one could take along.

Each worker has a pipe of its own and writes to slots of memory that are its own until it has
answered. So a worker that dies, wherever it is, leaves nothing half done that anyone would read,
and its end is heard at once.
"""

import os
import pickle
import signal
import sys
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, context, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from imagemill.readers.contents import Rows
from imagemill.readers.errors import PackageError, WorkerError
from imagemill.readers.slab import Slab

AHEAD = 2  # batches that a worker prepares before they are asked for
ALONE = 2.0  # seconds after which a worker looks whether anyone still waits for it


class Job(NamedTuple):
    """A batch to prepare."""

    number: int
    seed: int
    rows: Rows


class Made(NamedTuple):
    """A batch: an array, or any object where a batch is none."""

    array: NDArray[Any] | None
    pixels: bool
    """The array has pixels as they are stored: uint8 (rows, height, width, channels)."""
    other: Any


class Work(Protocol):
    """Makes a batch. Goes to the workers."""

    def __call__(self, job: Job, room: Callable[[int], NDArray[np.uint8]]) -> Made:
        """Return the batch, as a view of ``room(bytes)`` where it is an array."""


class _Asked(NamedTuple):
    """A job whose rows lie in its slot: a message so short that sending it never waits."""

    slot: int
    number: int
    seed: int
    rows: int


class _Answer(NamedTuple):
    form: tuple[tuple[int, ...], str, bool] | None
    """Shape, type, and ``pixels`` of the array in the slot; null: ``rest`` is the pickled object.
    """
    rest: bytes


class _Failure(NamedTuple):
    error: Exception | None
    """One of ours, which says all that there is to say."""
    trace: str


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    waiting: deque[int]
    """Numbers of the batches that it has been given."""


class Pool:
    """Workers; they live until ``close``, or until this object is forgotten."""

    def __init__(self, work: Work, count: int, each: int, method: str | None) -> None:
        self._slots = count * AHEAD
        self._slab = Slab(self._slots, max(each, 8))
        start = get_context(method)
        self._workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end, self._workers, os.getpid())
        for _ in range(count):
            self._workers.append(_started(start, work, self._slab))

    def run(self, jobs: Sequence[Job], take: Callable[[Made], Any]) -> Iterator[Any]:
        """Yield what ``take`` makes of each batch, in order. A batch is gone after ``take``.

        Raises ``WorkerError`` as soon as a worker has ended, or what the work raised.
        """
        self._drain()
        given = 0
        for at, job in enumerate(jobs):
            while given < min(at + self._slots, len(jobs)):
                self._give(given, jobs[given], job)
                given += 1
            yield take(self._answer(at, job))

    def _of(self, at: int) -> _Worker:
        return self._workers[at % len(self._workers)]

    def _give(self, at: int, job: Job, due: Job) -> None:
        """Ask a worker for a batch, while ``due`` is the one that is waited for."""
        worker, slot = self._of(at), at % self._slots
        self._slab.slot(slot, job.rows.nbytes).view(np.int64)[:] = job.rows
        try:
            worker.pipe.send(_Asked(slot, job.number, job.seed, len(job.rows)))
        except OSError as error:
            raise self._ended(worker, due) from error
        worker.waiting.append(job.number)

    def _answer(self, at: int, job: Job) -> Made:
        worker = self._of(at)
        answer = self._heard(worker, job)
        worker.waiting.popleft()
        if isinstance(answer, _Failure):
            raise answer.error or WorkerError(
                f"a worker failed while it made batch {job.number:,}:\n{answer.trace}"
            )
        if answer.form is None:
            return Made(None, False, pickle.loads(answer.rest))  # noqa: S301 (of our own process)
        shape, kind, pixels = answer.form
        count = int(np.prod(shape)) * np.dtype(kind).itemsize
        flat = self._slab.slot(at % self._slots, count)
        return Made(flat.view(kind).reshape(shape), pixels, None)

    def _heard(self, worker: _Worker, job: Job) -> Any:
        """Return a worker's next answer; its end is heard too, wherever it was in an answer."""
        # Any other that has ended would be missed only when its turn comes.
        ends = [each.process.sentinel for each in self._workers]
        while True:
            ready = connection.wait([worker.pipe, *ends])
            if worker.pipe in ready:
                try:
                    return worker.pipe.recv()
                except (EOFError, OSError) as error:
                    raise self._ended(worker, job) from error
            for each in self._workers:
                if each.process.sentinel in ready:
                    raise self._ended(each, job)

    def _ended(self, worker: _Worker, job: Job) -> WorkerError:
        worker.process.join(1)
        said = _cause(worker.process.exitcode)
        pid = worker.process.pid
        self.close()
        return WorkerError(
            f"a worker (process {pid}) {said} before batch {job.number:,} was ready. No batch is "
            "lost or wrong: `load_state_dict(loader.state_dict())` goes on with the next one."
        )

    def _drain(self) -> None:
        """Wait for what an iteration that was left has still asked for."""
        for worker in self._workers:
            while worker.waiting:
                number = worker.waiting[0]
                self._heard(worker, Job(number, 0, np.empty(0, np.int64)))
                worker.waiting.popleft()

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        self._end()

    @property
    def pids(self) -> list[int]:
        """Processes of the workers."""
        return [worker.process.pid or 0 for worker in self._workers]


def _end(workers: list[_Worker], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the owner, whose workers these are not
        return
    for worker in workers:
        worker.pipe.close()
        worker.process.kill()
    for worker in workers:
        worker.process.join()
    workers.clear()


def _started(start: context.BaseContext, work: Work, slab: Slab) -> _Worker:
    ours, theirs = start.Pipe()
    process = start.Process(  # type: ignore[attr-defined]
        target=_serve, args=(theirs, work, slab, os.getpid()), daemon=True
    )
    process.start()
    theirs.close()  # so that its end is the end of the pipe, and no later fork has it
    return _Worker(process, ours, deque())


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        more = "; the machine may be out of memory" if -code == signal.SIGKILL else ""
        return f"was killed ({name}{more})"
    return f"ended with exit code {code}"


def _serve(pipe: Connection, work: Work, slab: Slab, parent: int) -> None:
    """Answer jobs until there is nobody left to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to whoever asks, too
    mother = os.getppid()  # who asks, or the fork server, which ends with it
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # there are other workers for the other cores
    while True:
        try:
            while not pipe.poll(ALONE):
                if os.getppid() != mother or not _lives(parent):
                    return
            asked = pipe.recv()
            pipe.send(_answered(work, slab, asked))
        except (EOFError, OSError):
            return


def _lives(parent: int) -> bool:
    """Tell whether there is such a process; one that has ended and is not yet buried is, too."""
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        return False
    return True


def _answered(work: Work, slab: Slab, asked: _Asked) -> "_Answer | _Failure":
    rows = slab.slot(asked.slot, 8 * asked.rows).view(np.int64).copy()
    job = Job(asked.number, asked.seed, rows)

    def room(count: int) -> NDArray[np.uint8]:
        if count > slab.each:
            raise PackageError(
                f"batch {job.number:,} takes {count:,} bytes, where the first image said at most "
                f"{slab.each:,}: images differ in size. Give size=(height, width), or a transform "
                "that makes them equal."
            )
        return slab.slot(asked.slot, count)

    try:
        made = work(job, room)
        if made.array is None:
            return _Answer(None, pickle.dumps(made.other))
        return _Answer((made.array.shape, made.array.dtype.str, made.pixels), b"")
    except PackageError as error:
        return _Failure(error, "")
    except Exception as error:  # noqa: BLE001 (a user's transform may raise anything)
        return _Failure(None, "".join(traceback.format_exception(error)))
