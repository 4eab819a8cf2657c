"""Work on a Dask cluster is the same work: the same tables, and errors that say what to do."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from distributed import Client

from imagemill.dask import connect, worker
from imagemill.engine import Engine
from imagemill.errors import BuildError
from tests import draw, hostile, make
from tests.conftest import ROOT, Project, make_project
from tests.test_engine import EXPECTED, RESCUE, joined, square, tenfold, troubles

NOISE = ("distributed", "tornado", "dashboard", "Traceback", "asyncio")
PATIENCE = 3


class Scheduler:
    """A real scheduler, with worker processes that come and go."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self._opened = opened
        self._folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self.process = self._start("scheduler", "--port", "0", "--scheduler-file", str(file))
        until(file.exists)
        self.address = str(json.loads(file.read_text())["address"])

    def add(self, path: Path = ROOT / "src") -> None:
        """Start a worker that imports from ``path``, and wait until it is there."""
        paths = f"{path}{os.pathsep}{ROOT}"
        options = ("--nthreads", "1", "--no-nanny", "--death-timeout", "60")
        self.workers.append(self._start("worker", self.address, *options, path=paths))
        alive = sum(each.poll() is None for each in self.workers)
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(alive, timeout=60)

    def _start(self, what: str, *options: str, path: str = "") -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "dask", what, "--host", "127.0.0.1", "--no-dashboard"]
        process = subprocess.Popen(
            [*command, *options],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )
        self._opened.callback(process.wait)
        self._opened.callback(process.kill)
        return process

    def engine(self) -> Engine:
        return Engine(partial(connect, self.address, None, PATIENCE), 8)


@contextmanager
def scheduler(folder: Path) -> Iterator[Scheduler]:
    with ExitStack() as opened:
        yield Scheduler(folder, opened)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    monkeypatch.chdir(tmp_path)
    with scheduler(tmp_path) as started:
        yield started


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


# The stages: one folder, measured and matched by every engine

PHOTOS = """\
# @package _global_
# Drawn photos, copies of one of them, and files that mean harm.
defaults:
  - /source@sources.photos: folder
  - /layout@sources.photos.layout: imagefolder
about: {title: Photos}
sources:
  photos:
    path: photos
"""
TABLES = ("measure/facts", "measure/thumbs", "measure/embeddings", "match/pairs")
ENGINES = {
    "inline": "engine=inline",
    **{str(count): f"engine.workers={count}" for count in (1, 2, 4)},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("dask") / "project")
    project.conf("dataset/photos.yaml", PHOTOS)
    project.datasets(photos=[])
    drawn = {f"drawn/{n}.png": make.file(draw.photo(n, 32, 24)) for n in range(2_500)}
    copied = draw.photo(7, 160, 120)
    copies = {
        f"copies/{n}.jpg": make.file(copied.resize((160 - n, 120)), "JPEG", quality=20 + n)
        for n in range(65)
    }
    harm = dict(hostile.flipped(5, seed=9))
    make.fill(project.root / "photos", {**drawn, **copies, **harm})
    for stage in ("config", "scan", "download"):
        project.run("python", "-m", f"stages.{stage}", "photos")
    return project


def started(project: Project, stage: str, engine: str) -> "subprocess.Popen[str]":
    """Start a stage on an engine, with a memo of this engine's own."""
    memo = project.root / f"memo.{engine.rpartition('=')[2].replace('/', '')}"
    return subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}", "photos"],
        cwd=project.root,
        env={**project.env(), "IMAGEMILL_ENGINE": engine, "IMAGEMILL_MEMO": str(memo)},
        stderr=subprocess.PIPE,
        text=True,
    )


def tables(project: Project) -> dict[str, bytes]:
    data = project.root / "data/photos"
    return {name: (data / f"{name}.parquet").read_bytes() for name in TABLES}


def killing(process: "subprocess.Popen[str]", victim: int, after: float) -> None:
    """Kill a worker once it has worked for ``after`` seconds of its processor's time."""
    worker = psutil.Process(victim)
    spent = sum(worker.cpu_times()[:2])
    until(lambda: process.poll() is not None or sum(worker.cpu_times()[:2]) - spent > after)
    assert process.poll() is None, "the stage ended before its worker could be killed"
    worker.kill()


@pytest.fixture(scope="module")
def built(photos: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The tables that each engine makes."""
    found = {}
    for name, engine in ENGINES.items():
        for stage in ("measure", "match"):
            done = started(photos, stage, engine)
            assert done.wait() == 0, done.communicate()[1]
        found[name] = tables(photos)
    with scheduler(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add(photos.root / "src")
        for stage in ("measure", "match"):
            cluster.add(photos.root / "src")
            address = f"engine=dask engine.address={cluster.address}"
            running = started(photos, stage, address)
            killing(running, cluster.workers[-1].pid, after=0.3)
            said = running.communicate()[1]
            assert running.returncode == 0, said
            assert not any(word in said for word in NOISE), said
    found["dask"] = tables(photos)
    return found


@pytest.mark.parametrize("name", ["1", "2", "4", "dask"])
def test_tables_are_the_same_bytes_on_every_engine_and_after_a_killed_worker(built, name):
    assert built[name] == built["inline"]


def test_the_tables_that_are_compared_say_something(built, photos):
    from imagemill.tables import FACTS, PAIRS

    data = photos.root / "data/photos"
    assert FACTS.read(data / "measure")["reason"].drop_nulls().n_unique() >= 3
    assert len(PAIRS.read(data / "match")) >= 1_000


# The executor


def test_a_cluster_on_this_machine_works_loses_only_what_kills_and_leaves_nothing(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    engine = Engine(partial(connect, None, 2, 30), 4)
    assert joined(list(engine.map(tenfold, troubles(20, "SIGKILL"), RESCUE))) == EXPECTED
    assert not any(word in capfd.readouterr().err for word in NOISE)
    assert list((tmp_path / ".imagemill").iterdir()) == []
    until(lambda: not [p for p in psutil.Process().children() if "nanny" in " ".join(p.cmdline())])


def test_an_error_in_a_worker_arrives_as_it_was_raised(cluster):
    cluster.add()
    with pytest.raises(BuildError, match="two is not welcome"):
        list(cluster.engine().map(refuse_two, range(8)))


def refuse_two(number: int) -> int:
    if number == 2:
        raise BuildError("two is not welcome")
    return number


def test_without_the_extra_the_command_that_installs_it_is_told(monkeypatch):
    for name in ("distributed", "imagemill.dask.cluster"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr("imagemill.dask.cluster", raising=False)
    with pytest.raises(BuildError, match=r"pip install 'imagemill\[dask\]'"):
        connect(None, None, 1)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://me:hush@127.0.0.1:9", "what"])
def test_a_scheduler_that_does_not_answer_is_named_without_its_password(
    address, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BuildError, match=r"engine\.address: no Dask scheduler answers") as found:
        connect(address, None, 1)
    assert "hush" not in str(found.value)


def test_a_server_of_another_kind_is_no_scheduler(tmp_path, monkeypatch):
    """Such as the port of the dashboard, which is the next one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("imagemill.dask.cluster.ANSWER", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        for scheme in ("tcp", "tls"):
            with pytest.raises(BuildError, match=r"engine\.address: no Dask scheduler answers"):
                connect(f"{scheme}://{address}", None, 1)


def test_a_worker_is_no_scheduler(cluster):
    cluster.add()
    with Client(cluster.address, set_as_default=False) as client:
        workers = list(client.scheduler_info()["workers"])
    with pytest.raises(BuildError, match="is a Dask worker, no scheduler"):
        connect(workers[0], None, 1)


def test_a_cluster_without_workers_ends_the_build(cluster):
    with pytest.raises(BuildError, match="no Dask worker for 3 seconds"):
        list(cluster.engine().map(square, range(8)))


def test_a_scheduler_that_is_killed_ends_the_build(cluster):
    cluster.add()
    results = cluster.engine().map(square, range(1_000))
    next(results)
    os.kill(cluster.process.pid, signal.SIGKILL)
    with pytest.raises(BuildError, match="lost the Dask scheduler"):
        list(results)


def test_a_worker_with_other_code_is_refused(cluster, tmp_path):
    subprocess.run(["cp", "-r", str(ROOT / "src"), str(tmp_path / "old")], check=True)
    with (tmp_path / "old/imagemill/files.py").open("a") as file:
        file.write("# older\n")
    cluster.add(tmp_path / "old")
    with pytest.raises(BuildError, match=r"has other versions than this machine: imagemill="):
        list(cluster.engine().map(square, range(8)))


def test_a_worker_that_sees_another_disk_is_refused(tmp_path):
    with pytest.raises(BuildError, match=f"does not see {tmp_path}. Put the project on a disk"):
        worker.do(b"", worker.versions(), str(tmp_path / ".imagemill/dask-1"))


def test_a_worker_that_misses_a_file_of_the_work_is_refused(cluster, tmp_path):
    cluster.add()
    missing = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(BuildError, match=f"does not see {tmp_path}/a"):
        list(cluster.engine().map(Path.read_bytes, missing))
