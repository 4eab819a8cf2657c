"""The one way to work in parallel: map a function over batches with an executor.

Results come in the order of the batches, whatever the executor, its size and its timing.

A batch fails for the machine's fault when its worker dies (the kernel kills it for lack of
memory, a decoder crashes) or raises ``MemoryError``. Nobody can tell which of the batches under
way was to blame, so all that did not end are done again, one at a time in an executor of their
own. One that fails there too is taken apart by its ``Rescue`` into items, and an item that fails
alone, twice, is lost. What is lost thus depends on the item, not on what ran beside it.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.resource_tracker import ensure_running
from multiprocessing.util import Finalize
from signal import SIG_BLOCK, SIG_SETMASK, SIGINT, SIGTERM, Signals, pthread_sigmask
from typing import Any, Generic, TypeVar

from imagemill.errors import BuildError
from imagemill.progress import say

Batch = TypeVar("Batch")
Result = TypeVar("Result")
Given = TypeVar("Given")

FAILED = (BrokenExecutor, MemoryError)
"""What a batch ends with when the machine failed it. ``BrokenExecutor`` is a worker's death."""

TRIES = 2
"""Times that an item is done alone before it is lost: something else may kill a worker."""

MOST_LOST = 100
"""Items lost in one ``map`` before the machine is at fault, and not they."""


PAUSE = 0.5  # seconds after which Ctrl-C is looked for, at most


@dataclass(frozen=True)
class Rescue(Generic[Batch, Result]):
    """What becomes of a batch whose worker dies when it does nothing else."""

    split: Callable[[Batch], Sequence[Batch]]
    """The batch's items, in order, each as a batch."""
    lost: Callable[[Batch], Result]
    """What stands for an item whose worker dies when it does nothing else."""
    join: Callable[[Sequence[Result]], Result]
    """The result of a batch from those of its items."""


class Engine:
    """Runs batches on the executor that ``start`` makes, which is not made for a single batch."""

    def __init__(self, start: Callable[[], Executor], ahead: int) -> None:
        """Take ``start`` and how many batches may wait for a worker or for their turn."""
        self._start = start
        self._ahead = ahead

    @contextmanager
    def kept(self) -> Iterator["Engine"]:
        """Yield an engine whose workers stay from one ``map`` to the next: they start once."""
        kept = _Kept(_Keeper(self._start), self._ahead)
        try:
            yield kept
        finally:
            kept.rest()

    def rest(self) -> None:
        """End workers that stay, where others need their memory; the next work starts them again.

        Only those of an engine that is kept do.
        """

    def warm(self, most: int, module: str) -> None:
        """Start up to ``most`` workers of an engine that is kept, while others have work to do.

        They import the module in which their work is.
        """
        executor = self._start()
        for _ in range(min(most, self._ahead)):
            executor.submit(_imported, module)

    def map(
        self,
        work: Callable[[Batch], Result],
        batches: Iterable[Batch],
        rescue: Rescue[Batch, Result] | None = None,
    ) -> Iterator[Result]:
        """Yield ``work(batch)`` for every batch, in order.

        ``work`` and batches must be picklable, and a batch may be worked on more than once. With
        a ``rescue`` even a single batch has a worker. Raises ``BuildError`` when a worker dies
        again with the same batch and there is no ``rescue``, and when it is of no avail.
        """
        most_here = 1 if rescue is None else 0
        if isinstance(batches, Sized) and len(batches) <= most_here:
            yield from map(work, batches)
            return
        with _Crew(self._start, work, rescue) as crew:
            yield from self._ordered(crew, batches)

    def _ordered(self, crew: "_Crew[Batch, Result]", batches: Iterable[Batch]) -> Iterator[Result]:
        waiting: deque[_Task[Batch, Result]] = deque()
        for batch in batches:
            waiting.append(crew.submit(batch))
            if len(waiting) >= self._ahead:
                yield from crew.next(waiting)
        while waiting:
            yield from crew.next(waiting)


class _Keeper(Executor):
    """Hands work to an executor that ``shutdown`` ends only where it has broken."""

    def __init__(self, start: Callable[[], Executor]) -> None:
        self._start = start
        self._executor: Executor | None = None
        self._broken = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand ``fn`` to the executor, which starts with the first."""
        if self._executor is None:
            self._executor = self._start()
        future = self._executor.submit(fn, *args, **kwargs)
        future.add_done_callback(self._look)
        return future

    def _look(self, future: Future[Any]) -> None:
        self._broken |= not future.cancelled() and isinstance(future.exception(), BrokenExecutor)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the executor if its work is given up or a worker of it has died.

        The next work then starts another.
        """
        if cancel_futures or self._broken:
            self.close(wait, cancel_futures=cancel_futures)

    def close(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the executor."""
        if self._executor is not None:
            self._executor.shutdown(wait, cancel_futures=cancel_futures)
        self._executor, self._broken = None, False


class _Kept(Engine):
    """Runs batches on workers that stay."""

    def __init__(self, keeper: _Keeper, ahead: int) -> None:
        super().__init__(lambda: keeper, ahead)
        self._keeper = keeper

    def rest(self) -> None:
        self._keeper.close()


@dataclass(frozen=True)
class _Task(Generic[Batch, Result]):
    batch: Batch
    future: Future[Result]

    def failed(self) -> bool:
        """Wait for the end, and tell whether the machine failed it."""
        while not self.future.done():
            # Polars sets SA_RESTART for SIGINT, so that Ctrl-C ends no wait that is under way.
            wait([self.future], PAUSE)
        return isinstance(self.future.exception(), FAILED)


class _Crew(Generic[Batch, Result]):
    """Does one kind of work with an executor, and with a new one when that has broken."""

    def __init__(
        self,
        start: Callable[[], Executor],
        work: Callable[[Batch], Result],
        rescue: Rescue[Batch, Result] | None,
    ) -> None:
        self._start = start
        self._work = work
        self._rescue = rescue
        self._executor = start()
        self._lost = 0

    def __enter__(self) -> "_Crew[Batch, Result]":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        # Of a build that ends early, by an error here or outside, nothing is waited for.
        self._executor.shutdown(cancel_futures=error is not None)

    def submit(self, batch: Batch) -> _Task[Batch, Result]:
        """Hand a batch to the executor."""
        return _Task(batch, _submitted(self._executor, self._work, batch))

    def next(self, waiting: deque[_Task[Batch, Result]]) -> Iterator[Result]:
        """Yield the result of the first task, or of all of them when the machine failed it."""
        if not waiting[0].failed():
            yield waiting.popleft().future.result()
            return
        wait([task.future for task in waiting])
        self._renew()
        again = sum(task.failed() for task in waiting)
        say(f"warning: a worker process died; batches that are done again, one by one: {again:,}")
        while waiting:
            yield self._settled(waiting.popleft())

    def _settled(self, task: _Task[Batch, Result]) -> Result:
        if not task.failed():
            return task.future.result()
        try:
            return self._alone(self._work, task.batch, TRIES if self._rescue is None else 1)
        except FAILED as error:
            if self._rescue is None:
                raise BuildError(_advice("A worker process died")) from error
        items = self._rescue.split(task.batch)
        return self._rescue.join([self._item(item, self._rescue) for item in items])

    def _item(self, item: Batch, rescue: Rescue[Batch, Result]) -> Result:
        """Return what comes of an item, or what stands for it unless workers die of anything."""
        try:
            return self._alone(self._work, item, TRIES)
        except FAILED:
            self._lost += 1
        if self._lost > MOST_LOST:
            raise BuildError(_advice(f"Worker processes died on more than {MOST_LOST} items"))
        try:
            self._alone(_nothing, item, TRIES)
        except FAILED as error:
            raise BuildError(_advice("A worker process died before it did anything")) from error
        return rescue.lost(item)

    def _alone(self, work: Callable[[Batch], Given], batch: Batch, tries: int) -> Given:
        """Return ``work(batch)``, done while nothing else is; raises one of ``FAILED``."""
        for _ in range(tries):
            future = _submitted(self._executor, work, batch)
            workers = active_children()
            error = future.exception()
            if not isinstance(error, FAILED):
                break
            self._renew()
            signals = {_signal(each.exitcode or 0) for each in workers} - {""}
            ended = ", ".join(sorted(signals)) or type(error).__name__
            say(f"warning: a worker process died of what it did alone: {ended}")
        return future.result()

    def _renew(self) -> None:
        self._executor.shutdown()
        self._executor = self._start()


def _submitted(executor: Executor, work: Callable[[Batch], Given], batch: Batch) -> Future[Given]:
    """Return the batch's future, a failed one where the executor fails at once."""
    try:
        return executor.submit(work, batch)
    except FAILED as error:
        future: Future[Given] = Future()
        future.set_exception(error)
        return future


def _nothing(_: object) -> None:
    """Show that a worker starts, and takes its batches."""


def _imported(module: str) -> None:
    import_module(module)


def _signal(code: int) -> str:
    """Return the name of the signal that an exit code tells of, unless the executor sent it."""
    return Signals(-code).name if code < 0 and -code != SIGTERM else ""


def _advice(what: str) -> str:
    return (
        f"{what}, most likely for lack of memory. Run again with fewer: "
        "IMAGEMILL_ENGINE='engine.workers=1'. What was done is remembered."
    )


def threads(workers: int) -> Engine:
    """Return an engine of so many threads of this process: one works while others wait for disks.

    They start at once, but all that Python itself does they do one at a time.
    """
    return Engine(partial(ThreadPoolExecutor, workers), ahead=2 * workers)


def processes(workers: int | None) -> Executor:
    """Return a pool of ``workers`` processes (as many as cores when None).

    Fresh interpreters, not forks: a fork copies the locks of Polars' threads as they stand.
    """
    # Read by NumPy when it loads. There is a process a core: threads would wait for one another,
    # and OpenBLAS's do that spinning.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return _Pool(max_workers=workers, mp_context=get_context("spawn"), initializer=_begin)


@contextmanager
def deaf() -> Iterator[None]:
    """Have what starts here never hear of Ctrl-C, which a terminal sends to every process."""
    ensure_running()  # or it starts with the first process, and unblocks the signal
    before = pthread_sigmask(SIG_BLOCK, {SIGINT})
    try:
        yield
    finally:
        pthread_sigmask(SIG_SETMASK, before)


class _Pool(ProcessPoolExecutor):
    """Processes that leave Ctrl-C to this one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand ``fn`` to a worker, which may start for it."""
        with deaf():
            return super().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers; with ``cancel_futures`` at once, whatever they do."""
        for each in list((self._processes or {}).values()) if cancel_futures else ():
            each.kill()
        super().shutdown(wait, cancel_futures=cancel_futures)


class Inline(Executor):
    """Works in this process, at once: for debuggers and for profiles."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn`` now and return its finished future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _begin() -> None:
    die_with_parent()
    # Not without the finalizers of ``multiprocessing``, after which this one comes.
    Finalize(None, _end, exitpriority=-1000)


def _end() -> None:
    """End this worker at once: Python takes a tenth of a second to tidy up what it has loaded."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def die_with_parent() -> None:
    """End this worker when the process that started it is gone, also by ``kill -9``."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
