"""What people see while a stage works: a bar on a terminal, a line a minute elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

QUIET_INTERVAL = 60.0  # seconds between lines when there is no terminal


def say(text: str) -> None:
    """Print one line for people, at once, to standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Advance(Protocol):
    """Tells that ``count`` more units of work are done."""

    def __call__(self, count: int) -> None:
        """Add ``count``."""


@contextmanager
def progress(title: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Show work on ``total`` units with counts, rate and time left where ``total`` is known."""
    # Asked first: with FORCE_COLOR, which Jupyter and CI services set, rich takes anything for one.
    with (_bar if sys.stderr.isatty() else _lines)(title, total, unit) as advance:
        yield advance


@contextmanager
def _bar(title: str, total: int | None, unit: str) -> Iterator[Advance]:
    # Here, because the import takes 20 ms, which all workers of all stages would wait for.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=total, rate="")
        started = time.monotonic()
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            bars.update(task, advance=count, rate=_rate(done, started))

        yield advance


@contextmanager
def _lines(title: str, total: int | None, unit: str) -> Iterator[Advance]:
    started = said = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        now = time.monotonic()
        if now - said >= QUIET_INTERVAL and done:
            said = now
            rate = _rate(done, started)
            if total is None:
                say(f"{title}: {done:,} {unit}, {rate}")
                return
            left = (total - done) * (now - started) / done
            say(f"{title}: {done:,} of {total:,} {unit}, {rate}, {left / 60:.0f} min left")

    yield advance


def _rate(done: int, started: float) -> str:
    return f"{done / max(time.monotonic() - started, 1e-3):,.0f}/s"
