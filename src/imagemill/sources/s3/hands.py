"""Many requests to a store at a time: plain threads, as many as it and the memory bear."""

from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from threading import Event, Thread
from typing import TypeVar

AHEAD = 256 << 20  # bytes in flight; one object may be larger

Task = TypeVar("Task")
Result = TypeVar("Result")
Done = SimpleQueue[tuple[Task, Result | Exception]]


def done(
    tasks: Iterable[Task],
    work: Callable[[Task], Result],
    weight: Callable[[Task], int],
    at_once: Callable[[], int],
    over: Event,
) -> Generator[tuple[Task, Result | Exception], None, None]:
    """Yield each of ``tasks`` with what ``work`` returned or raised, as it comes.

    No more than ``at_once()`` are in flight, nor more than ``AHEAD`` bytes by ``weight``. ``over``
    is set at the end, also where the caller stops early, so that ``work`` need not wait on.
    """
    # Plain threads: an executor's futures cost as much as all else done here in Python.
    crew: list[Thread] = []
    todo: SimpleQueue[Task | None] = SimpleQueue()
    ready: Done[Task, Result] = SimpleQueue()
    flying = heavy = 0
    try:
        for task in tasks:
            while flying and (flying >= at_once() or heavy + weight(task) > AHEAD):
                got = ready.get()
                flying, heavy = flying - 1, heavy - weight(got[0])
                yield got
            if flying == len(crew):
                crew.append(Thread(target=_hand, args=(work, todo, ready), daemon=True))
                crew[-1].start()
            todo.put(task)
            flying, heavy = flying + 1, heavy + weight(task)
        for _ in range(flying):
            yield ready.get()
    finally:
        over.set()
        for _ in crew:
            todo.put(None)
        for hand in crew:
            hand.join()


def _hand(
    work: Callable[[Task], Result], todo: "SimpleQueue[Task | None]", ready: Done[Task, Result]
) -> None:
    while (task := todo.get()) is not None:
        try:
            ready.put((task, work(task)))
        except Exception as error:  # noqa: BLE001 (judged by the thread that waits)
            ready.put((task, error))
