"""Time a download from S3 beside ``s5cmd``, and count what kills and small changes cost.

Both copy the same 20,000 objects of 20 KB from a SeaweedFS on this machine: s5cmd to files, we to
packs with a content hash for each. Pairs of runs follow one another, so that both meet the same
machine.

    python -m bench.s3 [--objects 20000] [--rounds 5] [--kills 20] [--keys 200000]
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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import obstore
from obstore.store import S3Store

from bench.peak import peak
from tests.conftest import Project, make_project
from tests.servers import KEY, SECRET, S3Server, proxying, serving_s3

BYTES = 20_000  # of an object

DATASET = """\
# @package _global_
# Objects of one bucket, in folders named by their label.
defaults:
  - /source@sources.photos: s3
  - /layout@sources.photos.layout: imagefolder
about: {{title: Photos}}
sources: {{photos: {{bucket: {bucket}, endpoint: "{endpoint}"}}}}
download: {{pack_bytes: {pack_bytes}, max_rejected: 0.0}}
"""


class Bucket:
    """A bucket with objects of so many bytes each."""

    def __init__(self, server: S3Server, name: str) -> None:
        server.client().create_bucket(Bucket=name)
        self.name = name
        self._store = S3Store(
            name, endpoint=server.endpoint, region="us-east-1", access_key_id=KEY,
            secret_access_key=SECRET, client_options={"allow_http": True},
        )  # fmt: skip

    def fill(self, count: int, length: int) -> None:
        """Put objects 0 to ``count``."""
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: self.put(n, n, length), range(count)))

    def put(self, number: int, seed: int, length: int = BYTES) -> None:
        """Put one object with bytes drawn from ``seed``."""
        data = random.Random(seed).randbytes(length)
        obstore.put(self._store, key(number), data, use_multipart=False)

    def delete(self, number: int) -> None:
        """Delete one object."""
        obstore.delete(self._store, key(number))


def key(number: int) -> str:
    return f"label{number % 100:02}/{number:07}.jpg"


def dataset(root: Path, bucket: str, endpoint: str, pack_bytes: int = 64 << 20) -> Project:
    """Return a project whose config of one bucket is written."""
    project = make_project(root)
    text = DATASET.format(bucket=bucket, endpoint=endpoint, pack_bytes=pack_bytes)
    project.conf("dataset/photos.yaml", text)
    project.datasets(photos=[])
    stage(project, "config")
    return project


def stage(project: Project, name: str) -> str:
    return project.run(sys.executable, "-m", f"stages.{name}", "photos").stdout


def start(project: Project, name: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", f"stages.{name}", "photos"],
        cwd=project.root, env=project.env(), stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def build(project: Project) -> None:
    stage(project, "scan")
    stage(project, "download")


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def s5cmd(server: S3Server, bucket: str, folder: Path) -> None:
    program = Path(sys.executable).with_name("s5cmd")
    given = ["--log", "error", "--endpoint-url", server.endpoint, "cp"]
    subprocess.run([program, *given, f"s3://{bucket}/*", f"{folder}/"], check=True)


def compare(server: S3Server, bucket: Bucket, objects: int, rounds: int, root: Path) -> None:
    """Print objects a second of both, and the median of the ratio within each pair.

    Nothing is deleted before the end: ext4 makes new files at half its speed after that.
    """
    pairs = []
    for number in range(rounds):
        project = dataset(root / f"round{number}", bucket.name, server.endpoint)
        works = {
            "s5cmd": lambda n=number: s5cmd(server, bucket.name, root / f"files{n}"),
            "scan": lambda p=project: stage(p, "scan"),
            "download": lambda p=project: stage(p, "download"),
        }
        order = list(works) if number % 2 else ["scan", "download", "s5cmd"]
        seconds = {}
        for name in order:
            subprocess.run(["sync"], check=True)
            seconds[name] = timed(works[name])
        pairs.append(
            (objects / seconds["s5cmd"], objects / (seconds["scan"] + seconds["download"]))
        )
        print(f"  {pairs[-1][0]:,.0f} {pairs[-1][1]:,.0f} {seconds}", file=sys.stderr)
    theirs, ours = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(mine / other for other, mine in pairs)
    print(f"| s5cmd to files | {theirs:,.0f} objects/s | |")
    print(f"| scan and download to packs | {ours:,.0f} objects/s | {ratio:.2f} of s5cmd's |")


def list_many(server: S3Server, bucket: Bucket, keys: int, root: Path) -> None:
    project = dataset(root / "many", bucket.name, server.endpoint)
    begin = time.perf_counter()
    most = peak(start(project, "scan")).all
    seconds = time.perf_counter() - begin
    print(f"| {keys:,} keys listed | {seconds:.1f} s | {most / 1e6:,.0f} MB at most |")


def small_change(
    server: S3Server, bucket: Bucket, objects: int, root: Path, pack_bytes: int
) -> None:
    """Change one object, add one, delete one; count requests and packs."""
    with proxying(server.endpoint) as proxy:
        project = dataset(root / f"change{pack_bytes}", bucket.name, proxy.endpoint, pack_bytes)
        build(project)
        folder = project.root / "data/photos/download/packs"
        before = {path.name: path.stat().st_ino for path in folder.iterdir()}
        seed = random.Random(pack_bytes).randrange(1 << 30)
        bucket.put(1, seed)
        bucket.put(objects + 1, seed + 1)
        bucket.delete(2)
        proxy.forget()
        seconds = timed(lambda: build(project))
        after = {path.name: path.stat().st_ino for path in folder.iterdir()}
        written = [name for name, inode in after.items() if before.get(name) != inode]
        said = f"{sum(proxy.gets.values())} objects fetched, {seconds:.1f} s"
        share = f"{len(written)} of {len(after)} packs written"
        print(f"| 1 changed, 1 added, 1 deleted, packs of {pack_bytes:,} B | {said} | {share} |")
        for number in (1, 2):
            bucket.put(number, number)
        bucket.delete(objects + 1)
        shutil.rmtree(project.root)


def kill(server: S3Server, bucket: Bucket, objects: int, kills: int, root: Path) -> None:
    """Kill the download at random points; count what is asked for twice, compare the result."""
    chance = random.Random(3)
    whole = dataset(root / "whole", bucket.name, server.endpoint)
    build(whole)
    with proxying(server.endpoint) as proxy:
        killed = dataset(root / "killed", bucket.name, proxy.endpoint)
        stage(killed, "scan")
        done = 0
        for number in range(kills):
            process = start(killed, "download")
            left = objects - len(proxy.gets)
            # Mostly while objects come in; now and then while packs are written.
            most = len(proxy.requests) + chance.randrange(
                1, max(2, 2 * left // (kills - number + 1))
            )
            late = time.monotonic() + chance.uniform(0.5, 4)
            while process.poll() is None and len(proxy.requests) < most and time.monotonic() < late:
                time.sleep(0.001)
            with suppress(ProcessLookupError):  # it was quicker
                os.killpg(process.pid, signal.SIGKILL)
            done += process.wait() != 0
        fetched = sum(proxy.gets.values())
        stage(killed, "download")
        again = sum(proxy.gets.values()) - len(proxy.gets)
    config = "data/photos/config.yaml"
    one, other = ({k: v for k, v in p.files().items() if k != config} for p in (killed, whole))
    same = "byte-identical" if one == other else "DIFFERENT"
    said = f"{done} kills ({fetched:,} requests before the last run)"
    print(f"| {said} | {again} asked for twice, {again / max(1, done):.1f} a kill | {same} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time downloads from S3; see bench/README.md.")
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--keys", type=int, default=200_000)
    given = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    os.environ |= {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    with tempfile.TemporaryDirectory() as folder, serving_s3(Path(folder) / "server") as server:
        root = Path(folder)
        bucket = Bucket(server, "photos")
        bucket.fill(given.objects, BYTES)
        print(f"{given.objects:,} objects of {BYTES:,} B, median of {given.rounds} pairs of runs\n")
        print("| what | figure | |\n|---|---|---|", flush=True)
        if given.rounds:
            compare(server, bucket, given.objects, given.rounds, root)
        if given.kills:
            for pack_bytes in (64 << 20, 1 << 20):
                small_change(server, bucket, given.objects, root, pack_bytes)
            kill(server, bucket, given.objects, given.kills, root)
        if given.keys:
            many = Bucket(server, "many")
            many.fill(given.keys, 0)
            list_many(server, many, given.keys, root)


if __name__ == "__main__":
    main()
