"""Parallel work gives the same results in the same order, whatever does it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import pytest

from imagemill.engine import Engine, Rescue
from imagemill.errors import BuildError
from tests import make


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def squares(engine: Engine, batches: list[int]) -> list[int]:
    return [result for result, _ in engine.map(square, batches)]


@pytest.mark.parametrize(
    "engine", [make.INLINE, *map(make.workers, (1, 2, 4))], ids=["inline", "1", "2", "4"]
)
def test_results_are_equal_and_in_order_on_every_engine(engine):
    assert squares(engine, list(range(40))) == [n * n for n in range(40)]


def test_results_keep_their_order_when_the_first_batch_ends_last():
    done = Event()

    def work(number: int) -> int:
        if number == 0:
            assert done.wait(30)
        if number == 2:
            done.set()
        return number

    assert list(Engine(lambda: ThreadPoolExecutor(3), 3).map(work, range(5))) == [0, 1, 2, 3, 4]


def test_work_is_done_in_other_processes():
    pids = {pid for _, pid in make.workers(2).map(square, range(8))}
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


@pytest.mark.parametrize("batches", [[], [3]])
def test_no_worker_is_started_for_less_than_two_batches(batches):
    def never() -> Executor:
        raise AssertionError("started")

    assert squares(Engine(never, 4), batches) == [n * n for n in batches]


@pytest.mark.parametrize("ahead", [1, 3])
def test_batches_are_taken_no_further_ahead_than_asked(ahead):
    taken = 0

    def batches() -> Iterator[int]:
        nonlocal taken
        for n in range(20):
            taken += 1
            yield n

    for got, _ in enumerate(Engine(lambda: ThreadPoolExecutor(2), ahead).map(str, batches()), 1):
        assert taken <= got - 1 + ahead


def end_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_dies_twice_with_a_batch_ends_the_build_with_advice():
    with pytest.raises(BuildError, match=r"IMAGEMILL_ENGINE='engine\.workers=1'"):
        list(make.workers(2).map(end_at_two, range(8)))


def once(numbers: list[Path]) -> int:
    """Give a number after having killed this worker the first time it is asked for it."""
    (mark,) = numbers
    if mark.name in ("3", "8") and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return int(mark.name)


@pytest.mark.parametrize("count", [1, 4])
def test_a_killed_worker_costs_another_try_and_changes_nothing(tmp_path, count):
    batches = [[tmp_path / str(n)] for n in range(20)]
    assert list(make.workers(count).map(once, batches)) == list(range(20))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "8"]


def test_workers_killed_from_outside_at_any_moment_change_nothing(tmp_path):
    results, due = [], [1, 50, 200]
    for number, (result, pid) in enumerate(make.workers(2, ahead=8).map(square, range(400))):
        results.append(result)
        # The worker of a result that waited for its turn may be gone by now: then the next one's.
        if due and number >= due[0] and pid != os.getpid() and alive(pid):
            os.kill(pid, signal.SIGKILL)
            due.pop(0)
    assert results == [n * n for n in range(400)]
    assert not due


class Trouble(NamedTuple):
    """Numbers, of which some end their worker."""

    numbers: tuple[int, ...]
    how: str = "SIGKILL"


KILLERS = {13, 14}


def tenfold(batch: Trouble) -> list[int]:
    for number in batch.numbers:
        if number in KILLERS and batch.how == "MemoryError":
            raise MemoryError
        if number in KILLERS:
            os.kill(os.getpid(), signal.Signals[batch.how])
    return [10 * number for number in batch.numbers]


def joined(parts: Sequence[list[int]]) -> list[int]:
    return [each for part in parts for each in part]


RESCUE = Rescue(
    split=lambda batch: [Trouble((number,), batch.how) for number in batch.numbers],
    lost=lambda batch: [-number for number in batch.numbers],
    join=joined,
)
EXPECTED = [-n if n in KILLERS else 10 * n for n in range(40)]


def troubles(width: int, how: str) -> list[Trouble]:
    return [Trouble(tuple(range(n, n + width)), how) for n in range(0, 40, width)]


@pytest.mark.parametrize(
    ("width", "how"), [(1, "SIGKILL"), (8, "SIGSEGV"), (20, "SIGKILL"), (8, "MemoryError")]
)
def test_only_the_items_that_end_their_worker_are_lost(width, how, capfd):
    found = make.workers(2).map(tenfold, troubles(width, how), RESCUE)
    assert joined(list(found)) == EXPECTED
    assert how in capfd.readouterr().err


def test_a_single_batch_has_a_worker_when_it_may_end_it():
    (batch,) = troubles(40, "SIGKILL")
    assert list(make.workers(2).map(tenfold, [batch], RESCUE)) == [EXPECTED]


def test_lack_of_memory_in_this_process_costs_the_item_too():
    assert joined(list(make.INLINE.map(tenfold, troubles(8, "MemoryError"), RESCUE))) == EXPECTED


def dying() -> Executor:
    return ProcessPoolExecutor(1, get_context("spawn"), os._exit, (1,))


def test_workers_that_cannot_start_lose_nothing_and_end_the_build():
    with pytest.raises(BuildError, match="before it did anything"):
        list(Engine(dying, 4).map(tenfold, troubles(8, "SIGKILL"), RESCUE))


def test_a_machine_that_kills_every_worker_ends_the_build(monkeypatch):
    monkeypatch.setattr("imagemill.engine.MOST_LOST", 1)
    with pytest.raises(BuildError, match="died on more than 1 items"):
        list(make.workers(2).map(tenfold, troubles(8, "SIGKILL"), RESCUE))


def refuse_two(number: int) -> int:
    if number == 2:
        raise BuildError("two is not welcome")
    return number


@pytest.mark.parametrize("engine", [make.INLINE, make.workers(2)], ids=["inline", "processes"])
def test_an_error_in_a_worker_arrives_as_it_was_raised(engine):
    with pytest.raises(BuildError, match="two is not welcome"):
        list(engine.map(refuse_two, range(8)))


class Recording(ThreadPoolExecutor):
    """One thread, and a list of what was submitted."""

    def __init__(self) -> None:
        super().__init__(1)
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(super().submit(fn, *args, **kwargs))
        return self.futures[-1]


def test_after_an_error_no_waiting_batch_is_begun():
    begun: list[int] = []
    pool = Recording()

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise BuildError("no")
        while not (len(pool.futures) == 16 and pool.futures[-1].cancelled()):
            pass

    with pytest.raises(BuildError, match="no"):
        list(Engine(lambda: pool, 16).map(work, range(16)))
    assert begun in ([0], [0, 1])


HANGING = """
import sys
from functools import partial
import polars as pl
from imagemill.dask import connect
from imagemill.engine import Engine, processes
from imagemill.stage import reported
from tests.test_engine import hang
if __name__ == "__main__":
    pl.LazyFrame({"a": [1]}).collect()  # which takes Ctrl-C over
    start = partial(processes, 2) if sys.argv[1] == "processes" else partial(connect, None, 2, 60)
    sys.exit(reported(lambda: list(Engine(start, 4).map(hang, range(4)))))
"""


def hang(number: int) -> None:
    os.write(1, f"{os.getpid()}\n".encode())  # in one piece: others write there too
    Event().wait()


def hang_or_fail(number: int) -> None:
    if number == 0:
        raise BuildError("no")
    Event().wait()


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@contextmanager
def started(
    script: Path, engine: str = "processes"
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Yield a process with two workers that hang, and the workers' ids; none outlives the test."""
    script.write_text(HANGING)
    process = subprocess.Popen(
        [sys.executable, str(script), engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        cwd=script.parent,
        start_new_session=True,
    )
    try:
        pids = [int(process.stdout.readline()) for _ in range(2)]
        assert all(alive(pid) for pid in pids)
        yield process, pids
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def ended(pids: list[int]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path):
    with started(tmp_path / "hanging.py") as (process, pids):
        process.kill()
        process.communicate()
        assert ended(pids)


@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_ctrl_c_ends_hanging_workers_and_says_one_line(tmp_path, engine):
    with started(tmp_path / "hanging.py", engine) as (process, pids):
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
        told = "error: interrupted; what was done is remembered\n"
        assert (process.returncode, said) == (130, told)
        assert ended(pids)


def test_an_error_does_not_wait_for_what_others_work_on():
    with pytest.raises(BuildError, match="no"):
        list(make.workers(2).map(hang_or_fail, range(2)))


def test_workers_that_were_started_early_are_those_that_work():
    from multiprocessing import active_children

    with make.workers(2).kept() as engine:
        before = {each.pid for each in active_children()}
        engine.warm(2, "json")
        started = {each.pid for each in active_children()} - before
        assert len(started) == 2
        assert {pid for _, pid in engine.map(square, range(40))} <= started
        engine.warm(0, "json")
        assert {each.pid for each in active_children()} - before == started


def test_workers_that_rest_are_gone_and_others_do_the_next_work():
    from multiprocessing import active_children

    with make.workers(2).kept() as engine:
        before = {each.pid for each in active_children()}
        first = {pid for _, pid in engine.map(square, range(40))}
        engine.rest()
        assert {each.pid for each in active_children()} <= before
        found = list(engine.map(square, range(40)))
        assert [number for number, _ in found] == [number**2 for number in range(40)]
        assert first.isdisjoint(pid for _, pid in found)
