"""Time publishing to S3, count what kills and small changes cost, and time the way back.

A package of images of 6.5 KB, four an identity, goes to a SeaweedFS on this machine; then the same
set is brought to a training machine twice: by ``dvc pull`` and ``imagemill export`` from packs on
that server, and by ``s5cmd`` from the published objects.

    python -m bench.publish [--images 100000] [--kills 5] [--rounds 3] [--data FOLDER]
"""

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from imagemill.published import MANIFEST
from tests.conftest import Project, make_project
from tests.publishing import package
from tests.servers import KEY, SECRET, Proxy, S3Server, proxying, serving_s3

BYTES = 6_500  # of an image, as 112x112 JPEGs of faces have
PACK = 64 << 20  # bytes of a pack, as conf/package/imagefolder.yaml has it

DATASET = """\
# @package _global_
# Photos of faces, published.
defaults:
  - /source@sources.faces: folder
  - /layout@sources.faces.layout: imagefolder
  - override /publish: s3
about: {{title: Faces}}
sources: {{faces: {{path: faces}}}}
publish: {{to: {{bucket: faces, prefix: {prefix}, endpoint: "{endpoint}"}}}}
"""


class Drawn(Mapping[str, bytes]):
    """Images by member, each made when it is asked for."""

    def __init__(self, count: int, more: Mapping[str, int] | None = None) -> None:
        usual = {f"id{n // 4:06}/{n:07}.jpg": n for n in range(count)}
        self._seeds = {**usual, **(more or {})}

    def __getitem__(self, member: str) -> bytes:
        return random.Random(self._seeds[member]).randbytes(BYTES)

    def __iter__(self) -> Iterator[str]:
        return iter(self._seeds)

    def __len__(self) -> int:
        return len(self._seeds)


def dataset(root: Path, prefix: str, endpoint: str, packed: Path) -> Project:
    """Return a project with a packaged dataset that is to be published to ``prefix``."""
    project = make_project(root)
    project.conf("dataset/faces.yaml", DATASET.format(prefix=prefix, endpoint=endpoint))
    project.datasets(faces=[])
    project.run(sys.executable, "-m", "stages.config", "faces")
    place = root / "data/faces/package/imagefolder"
    place.mkdir(parents=True)
    for path in packed.iterdir():
        os.link(path, place / path.name)
    return project


def publish(project: Project) -> "subprocess.Popen[bytes]":
    """Start the stage."""
    command = [sys.executable, "-m", "stages.publish", "faces"]
    return subprocess.Popen(
        command, cwd=project.root, env=project.env(), stderr=subprocess.PIPE, start_new_session=True
    )


def finished(process: "subprocess.Popen[bytes]") -> None:
    said = process.communicate()[1].decode()
    assert process.returncode == 0, said
    assert "verified by listing" in said


def timed(work: Callable[[], object]) -> float:
    subprocess.run(["sync"], check=True)
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def sending(server: S3Server, packed: Path, images: int, root: Path) -> None:
    """Publish to an empty prefix, without the proxy in between."""
    project = dataset(root / "first", "first", server.endpoint, packed)
    seconds = timed(lambda: finished(publish(project)))
    print(f"| published from nothing | {seconds:.1f} s | {images / seconds:,.0f} images/s |")
    seconds = timed(lambda: finished(publish(project)))
    print(f"| published again | {seconds:.1f} s | |", flush=True)


def killing(server: S3Server, packed: Path, images: int, kills: int, root: Path) -> None:
    """Kill publishes at random points; count what is sent twice, then what a small change sends."""
    chance = random.Random(3)
    with proxying(server.endpoint) as proxy:
        project = dataset(root / "killed", "killed", proxy.endpoint, packed)
        done = 0
        for number in range(kills):
            process = publish(project)
            left = images - len(proxy.puts)
            most = max(2, 2 * left // (kills - number + 1))
            stop = len(proxy.requests) + chance.randrange(1, most)
            while process.poll() is None and len(proxy.requests) < stop:
                time.sleep(0.001)
            with suppress(ProcessLookupError):  # it was quicker
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            done += process.returncode != 0
        before = sum(proxy.puts.values())
        finished(publish(project))
        again = sum(proxy.puts.values()) - len(proxy.puts)
        said = f"{done} kills after {before:,} of {images:,} puts, then a run to the end"
        print(f"| {said} | {again} sent twice, {again / max(1, done):.1f} a kill | verified |")
        second(proxy, project)
        added(proxy, project, images)


def second(proxy: Proxy, project: Project) -> None:
    proxy.forget()
    seconds = timed(lambda: finished(publish(project)))
    print(f"| a second publish | {sum(proxy.puts.values())} objects sent | {seconds:.1f} s |")


def added(proxy: Proxy, project: Project, images: int) -> None:
    folder = project.root / "data/faces/package/imagefolder"
    shutil.rmtree(folder)
    package(folder, Drawn(images, {"id000001/new.jpg": images}), PACK)
    proxy.forget()
    seconds = timed(lambda: finished(publish(project)))
    names = sorted(path.rpartition("/")[2] for path in proxy.puts.elements())
    assert names == sorted(["new.jpg", MANIFEST])
    print(f"| one image added | {' and '.join(names)} sent | {seconds:.1f} s |", flush=True)


def shared(server: S3Server, packed: Path, root: Path) -> Project:
    """Return a folder whose package lies in a DVC remote on the server."""
    server.client().create_bucket(Bucket="remote")
    place = root / "shared/data/faces/package/imagefolder"
    place.mkdir(parents=True)
    for path in packed.iterdir():
        shutil.copy(path, place)
    project = Project(root / "shared")
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    project.run("dvc", "remote", "add", "-q", "-d", "s3", "s3://remote/dvc")
    project.run("dvc", "remote", "modify", "s3", "endpointurl", server.endpoint)
    project.run("dvc", "add", "-q", "data/faces/package")
    project.run("dvc", "push", "-q")
    return project


def clone(project: Project, root: Path) -> Project:
    """Return a copy of a project without data and cache."""
    left_out = shutil.ignore_patterns("package", "cache", "tmp")
    shutil.copytree(project.root, root, ignore=left_out)
    return Project(root)


def ours(project: Project, to: Path) -> None:
    project.run("dvc", "pull", "-q")
    project.run("imagemill", "export", "faces", "--to", str(to))


def s5cmd(server: S3Server, to: Path) -> None:
    program = Path(sys.executable).with_name("s5cmd")
    given = ["--log", "error", "--endpoint-url", server.endpoint, "cp"]
    subprocess.run([program, *given, "s3://faces/first/*", f"{to}/"], check=True)


def published(server: S3Server, to: Path, cwd: Path) -> None:
    program = Path(sys.executable).with_name("imagemill")
    given = ["s3://faces/first", "--endpoint", server.endpoint, "--to", str(to)]
    subprocess.run([program, "export", *given], cwd=cwd, check=True, stderr=subprocess.DEVNULL)


def handing_over(server: S3Server, packed: Path, images: int, rounds: int, root: Path) -> None:
    """Print images a second of each way to a training machine, and the median of the ratios.

    Nothing is deleted before the end: ext4 makes new files at half its speed after that.
    """
    project = shared(server, packed, root)
    found: dict[str, list[float]] = {"s5cmd": [], "dvc pull, export": [], "export s3://": []}
    for number in range(rounds):
        machine = clone(project, root / f"machine{number}")
        to = root / f"files{number}"
        works = {
            "s5cmd": lambda to=to: s5cmd(server, to / "s5cmd"),
            "dvc pull, export": lambda to=to, machine=machine: ours(machine, to / "ours"),
            "export s3://": lambda to=to: published(server, to / "s3", root),
        }
        for name in sorted(works, reverse=bool(number % 2)):
            found[name].append(timed(works[name]))
        assert sum(path.is_file() for path in (to / "ours").rglob("*.jpg")) == images
    for name, seconds in found.items():
        ratio = statistics.median(s / o for s, o in zip(found["s5cmd"], seconds, strict=True))
        middle = statistics.median(seconds)
        print(f"| {name} | {middle:.1f} s, {images / middle:,.0f} images/s | {ratio:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time publishing to S3; see bench/README.md.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="where to put the data; default: a new folder")
    given = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    os.environ |= {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    with (
        tempfile.TemporaryDirectory(dir=given.data) as folder,
        serving_s3(Path(folder) / "server") as server,
    ):
        root = Path(folder)
        server.client().create_bucket(Bucket="faces")
        packed = package(root / "packed", Drawn(given.images), PACK)
        print(f"{given.images:,} images of {BYTES:,} B\n\n| what | figure | |\n|---|---|---|")
        sending(server, packed, given.images, root)
        if given.kills:
            killing(server, packed, given.images, given.kills, root)
        if given.rounds:
            handing_over(server, packed, given.images, given.rounds, root)


if __name__ == "__main__":
    main()
