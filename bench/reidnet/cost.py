"""What a command costs: time, work, and the most memory of it and every process below it."""

import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY = 0.1  # seconds between looks at the memory


@dataclass(frozen=True)
class Cost:
    """What one run of a command took, and what it said."""

    seconds: float
    work: float
    """Seconds of all cores that it and every process below it were at work, kernel included."""
    memory: int
    """Bytes resident in all its processes together; pages that they share count for each."""
    said: str


def cost(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> Cost:
    """Run a command that must succeed."""
    with tempfile.TemporaryFile("w+") as output:
        begin, before = time.perf_counter(), _worked()
        process = subprocess.Popen(
            command, cwd=cwd, env=dict(env), stdout=output, stderr=subprocess.STDOUT
        )
        most = 0
        while process.poll() is None:
            most = max(most, _resident(process.pid))
            time.sleep(EVERY if time.perf_counter() - begin > 1 else EVERY / 10)
        seconds = time.perf_counter() - begin
        output.seek(0)
        said = output.read()
    assert process.returncode == 0, said
    return Cost(seconds, _worked() - before, most, said)


def _worked() -> float:
    """Return what all processes that have ended below this one were at work, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(pid: int) -> int:
    total = 0
    try:
        whole = psutil.Process(pid)
        for each in [whole, *whole.children(recursive=True)]:
            total += int(each.memory_info().rss)
    except psutil.Error:  # ended meanwhile
        pass
    return total
