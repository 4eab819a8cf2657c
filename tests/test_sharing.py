"""Two clones build from one bucket at the same time, with one memo and one DVC cache."""

import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Project, make_project
from tests.draw import photo_bytes
from tests.servers import KEY, SECRET, S3Server

CONFIG = """\
# @package _global_
# Drawn photos of a bucket, in folders named by their label.
defaults:
  - /source@sources.photos: s3
  - /layout@sources.photos.layout: imagefolder
about: {{title: "{name}"}}
sources:
  photos: {{bucket: {bucket}, prefix: {prefix}, endpoint: "{endpoint}"}}
download: {{pack_bytes: 65536}}
"""


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of 40 photos below all/, of which 20 lie below all/cat/."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    name = f"b{uuid4().hex[:12]}"
    client = s3_server.client()
    client.create_bucket(Bucket=name)
    for seed in range(40):
        label = "cat/tabby" if seed % 2 else "dog/beagle"
        client.put_object(Bucket=name, Key=f"all/{label}/{seed}.png", Body=photo_bytes(seed))
    return name


def clone(root: Path, name: str, prefix: str, bucket: str, endpoint: str) -> Project:
    """A project under Git and DVC with one dataset."""
    project = make_project(root)
    text = CONFIG.format(name=name, bucket=bucket, prefix=prefix, endpoint=endpoint)
    project.conf(f"dataset/{name}.yaml", text)
    project.datasets(**{name: []})
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    return project


def repro(project: Project, *, memo: Path) -> "subprocess.Popen[str]":
    """Start a build and return at once."""
    return subprocess.Popen(
        ["dvc", "repro"],
        cwd=project.root,
        env={**project.env(), "IMAGEMILL_MEMO": str(memo)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_clones_with_one_memo_and_one_cache_build_undisturbed(
    tmp_path: Path, s3_server: S3Server, bucket: str
) -> None:
    names = {"every": "all", "cats": "all/cat"}
    clones = {
        name: clone(tmp_path / name, name, prefix, bucket, s3_server.endpoint)
        for name, prefix in names.items()
    }
    for each in clones.values():
        each.run("dvc", "cache", "dir", "--local", str(tmp_path / "cache"))
    for photo in (100, 101):
        client = s3_server.client()
        key = f"all/cat/tabby/{photo}.png"
        client.put_object(Bucket=bucket, Key=key, Body=photo_bytes(photo))
        builds = [repro(each, memo=tmp_path / "memo") for each in clones.values()]
        for build in builds:
            said, _ = build.communicate()
            assert build.returncode == 0, said
    for name, prefix in names.items():
        alone = clone(tmp_path / f"{name}-alone", name, prefix, bucket, s3_server.endpoint)
        alone.run("dvc", "repro")
        assert clones[name].files("data") == alone.files("data")
