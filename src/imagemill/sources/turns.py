"""Work on many hosts at a time, and on each of them only so much."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_turns(
    items: Sequence[T],
    host: Callable[[T], str],
    work: Callable[[T], R],
    *,
    threads: int,
    per_host: int,
) -> Iterator[R]:
    """Yield what ``work`` returns of each item, as it comes, the hosts taking turns.

    No item is begun while ``threads`` results are in the making or wait to be taken.
    """
    with ThreadPoolExecutor(threads) as pool:
        turns = _Turns(items, host, per_host)
        running: dict[Future[R], str] = {}
        while turns or running:
            while turns and len(running) < threads:
                name, each = turns.next()
                running[pool.submit(work, each)] = name
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                turns.ended(running.pop(future))
                yield future.result()


class _Turns(Generic[T]):
    """Items to work on, the hosts taking turns, each with so many at a time."""

    def __init__(self, items: Sequence[T], host: Callable[[T], str], per_host: int) -> None:
        self._waiting: dict[str, deque[T]] = {}
        for each in items:
            self._waiting.setdefault(host(each), deque()).append(each)
        self._free = dict.fromkeys(self._waiting, per_host)
        self._ready = deque(self._waiting)  # once for each host with a free place and work

    def __bool__(self) -> bool:
        return bool(self._ready)

    def next(self) -> tuple[str, T]:
        """Return a host and its next item."""
        host = self._ready.popleft()
        each = self._waiting[host].popleft()
        self._free[host] -= 1
        if self._free[host] and self._waiting[host]:
            self._ready.append(host)
        return host, each

    def ended(self, host: str) -> None:
        """Tell that a host is done with one item."""
        self._free[host] += 1
        if self._free[host] == 1 and self._waiting[host]:
            self._ready.append(host)
