"""The one way to work in parallel: map a function over batches with an executor.

Results come in the order of the batches, whatever the executor, its size and its timing.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from imagemill.errors import BuildError

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class Engine:
    """Runs batches on the executor that ``start`` makes, which is not made for a single batch."""

    def __init__(self, start: Callable[[], Executor], ahead: int) -> None:
        """Take ``start`` and how many batches may wait for a worker or for their turn."""
        self._start = start
        self._ahead = ahead

    def map(self, work: Callable[[Batch], Result], batches: Iterable[Batch]) -> Iterator[Result]:
        """Yield ``work(batch)`` for every batch, in order.

        ``work`` and batches must be picklable. Raises ``BuildError`` when a worker dies.
        """
        if isinstance(batches, Sized) and len(batches) <= 1:
            yield from map(work, batches)
            return
        with self._start() as executor:
            try:
                yield from self._ordered(executor, work, batches)
            except BrokenProcessPool as error:
                raise BuildError(
                    "A worker process died, most likely for lack of memory. Run again with fewer: "
                    "IMAGEMILL_ENGINE='engine.workers=1'. What was done is remembered."
                ) from error

    def _ordered(
        self, executor: Executor, work: Callable[[Batch], Result], batches: Iterable[Batch]
    ) -> Iterator[Result]:
        waiting: deque[Future[Result]] = deque()
        try:
            for batch in batches:
                waiting.append(executor.submit(work, batch))
                if len(waiting) >= self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # of a build that ends early, by an error here or outside
                future.cancel()


def threads(workers: int) -> Engine:
    """Return an engine of so many threads of this process: one works while others wait for disks.

    They start at once, but all that Python itself does they do one at a time.
    """
    return Engine(partial(ThreadPoolExecutor, workers), ahead=2 * workers)


def processes(workers: int | None) -> Executor:
    """Return a pool of ``workers`` processes (as many as cores when None).

    Fresh interpreters, not forks: a fork copies the locks of Polars' threads as they stand.
    """
    return ProcessPoolExecutor(
        max_workers=workers, mp_context=get_context("spawn"), initializer=die_with_parent
    )


class Inline(Executor):
    """Works in this process, at once: for debuggers and for profiles."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn`` now and return its finished future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def die_with_parent() -> None:
    """End this worker when the process that started it is gone, also by ``kill -9``."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
