"""The most memory that a process and those below it had."""

import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil

PAUSE = 0.1  # seconds from sample to sample


class Peak(NamedTuple):
    """The most bytes that were seen, of each by itself."""

    all: int = 0
    """Proportional set size of every process together: a page that several share counts once."""
    first: int = 0
    """Resident set size of the process that was started."""
    worker: int = 0
    """The same of the largest of those below it."""


def peak(started: "subprocess.Popen[Any]") -> Peak:
    """Wait until a process ends; return the most that it and those below it had."""
    first, most = psutil.Process(started.pid), Peak()
    while started.poll() is None:
        held = dict(_held([first, *first.children(recursive=True)]))
        if first in held:
            workers = (rss for each, (rss, _) in held.items() if each != first)
            now = (sum(pss for _, pss in held.values()), held[first][0], max(workers, default=0))
            most = Peak(*map(max, zip(most, now, strict=True)))
        time.sleep(PAUSE)
    return most


def _held(processes: list[psutil.Process]) -> Iterator[tuple[psutil.Process, tuple[int, int]]]:
    """Yield the resident and the proportional set size of each process that is still there."""
    for each in processes:
        try:
            found = each.memory_full_info()
        except psutil.Error:
            continue
        yield each, (found.rss, found.pss)
