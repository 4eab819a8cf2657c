"""A folder of files that mean harm ends as facts or reasons, in bounded memory, on real stages."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path

import polars as pl
import psutil
import pytest

from imagemill import images
from imagemill.tables import FACTS, INDEX, THUMBS
from tests import hostile
from tests.conftest import Project, make_project

MOST = 1 << 30  # bytes of resident memory of a stage and its workers, shared pages counted in each
PATIENCE = 240  # seconds, for a stage that takes about 20

HOSTILE = """\
# @package _global_
# Files that mean harm.
defaults:
  - /source@sources.files: folder
  - /layout@sources.files.layout: imagefolder
about: {title: Harm}
sources:
  files:
    path: files
"""


@dataclass
class Built:
    """What came of the folder."""

    names: dict[str, str]
    """Content hash of every file, by path."""
    index: pl.DataFrame
    facts: pl.DataFrame
    thumbs: pl.DataFrame
    peaks: dict[str, int]
    """Most resident memory of each stage, bytes."""

    def reason(self, name: str) -> str | None:
        """Why no image came out of a file."""
        return self.facts.row(by_predicate=pl.col("digest") == self.names[name], named=True)[
            "reason"
        ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    project = make_project(tmp_path_factory.mktemp("hostile") / "project")
    project.conf("dataset/hostile.yaml", HOSTILE)
    project.datasets(hostile=[])
    files = chain(
        hostile.truncated(step=1),
        hostile.flipped(30, seed=1),
        hostile.spliced(20, seed=2),
        hostile.misnamed(),
        hostile.bombs(),
    )
    names = dict(written(project.root / "files", files))
    project.run("python", "-m", "stages.config", "hostile")
    peaks = {each: peak(project, each) for each in ("scan", "download", "measure")}
    data = project.root / "data/hostile"
    print(f"hostile: {len(names):,} files, {len(set(names.values())):,} contents; " + said(peaks))
    return Built(
        names,
        INDEX.read(data / "download"),
        FACTS.read(data / "measure"),
        THUMBS.read(data / "measure"),
        peaks,
    )


def written(root: Path, files: hostile.Files) -> hostile.Files:
    """Write files below ``root``; yield the path and content hash of each."""
    for name, data in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        yield name, sha256(data).hexdigest()


def peak(project: Project, stage: str) -> int:
    """Run a stage with two workers; return the most memory that its processes had together."""
    most = 0
    with subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}", "hostile"],
        cwd=project.root,
        env={**project.env(), "IMAGEMILL_ENGINE": "engine.workers=2"},
        start_new_session=True,
    ) as process:
        end = time.monotonic() + PATIENCE
        while process.poll() is None:
            most = max(most, resident(process.pid))
            if time.monotonic() > end:
                os.killpg(process.pid, signal.SIGKILL)
                pytest.fail(f"{stage} hangs")
            time.sleep(0.02)
    assert process.returncode == 0
    return most


def resident(pid: int) -> int:
    """Return the resident bytes of a process and all below it."""
    try:
        root = psutil.Process(pid)
        return sum(rss(each) for each in [root, *root.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def said(peaks: dict[str, int]) -> str:
    return ", ".join(f"{stage} {most >> 20} MB" for stage, most in peaks.items())


def test_there_are_several_thousand_files(built):
    assert len(built.names) >= 5_000


def test_every_file_is_listed_and_every_content_held(built):
    assert len(built.index) == len(built.names)
    assert built.index.filter(pl.col("reason").is_not_null()).is_empty()
    assert built.facts["digest"].to_list() == sorted(set(built.names.values()))


def test_every_content_ends_as_facts_or_as_a_reason(built):
    bad = pl.col("reason").is_not_null()
    facts = ("format", "mode", "width", "height", "pixels", "sharpness", "entropy", "phash")
    assert set(built.facts.filter(bad)["reason"]) <= set(images.REASONS) - {"kills_reader"}
    assert built.facts.filter(bad)["detail"].null_count() == 0
    assert all(built.facts.filter(bad)[name].null_count() == bad_rows(built) for name in facts)
    assert all(built.facts.filter(~bad)[name].null_count() == 0 for name in facts)
    assert built.thumbs["digest"].to_list() == built.facts.filter(~bad)["digest"].to_list()


def bad_rows(built: Built) -> int:
    return len(built.facts["reason"].drop_nulls())


@pytest.mark.parametrize("stage", ["scan", "download", "measure"])
def test_memory_stays_below_a_gigabyte(built, stage):
    assert built.peaks[stage] < MOST, said(built.peaks)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wide.png", "too_many_pixels"),
        ("text.png", None),
        ("profile.png", None),
        ("too_much.png", None),
        ("chunks.png", "corrupt"),
        ("both.jpg", "too_many_pixels"),
        ("scans.jpg", "corrupt"),
        ("most_scans.jpg", None),
        ("large_scans.jpg", "corrupt"),
        ("large_few_scans.jpg", None),
        ("frames.gif", None),
        ("wide_frame.gif", "too_many_pixels"),
        ("wide_frames.webp", "too_many_pixels"),
        ("large.webp", "too_many_pixels"),
        ("strips.tif", None),
        ("overlapping.tif", "corrupt"),
        ("more_tiles.tif", "corrupt"),
        ("loop.tif", None),
        ("pages.tif", None),
        ("levels.pgm", None),
        ("exif_itself.jpg", None),
        ("profiles.jpg", None),
    ],
)
def test_a_bomb_is_refused_or_defused(built, name, reason):
    assert built.reason(f"bomb/{name}") == reason


def test_what_is_nearly_as_large_as_allowed_is_read(built):
    full = [name for name in built.names if name.startswith("bomb/full")]
    assert len(full) >= 8
    assert {built.reason(name) for name in full} == {None}
