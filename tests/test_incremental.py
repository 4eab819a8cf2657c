"""A rebuild after any edits of the sources equals a build from nothing, byte for byte."""

import os
import shutil
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from imagemill.reviews import file
from imagemill.reviews.rows import Review
from imagemill.reviews.taxonomy import Taxonomy
from tests.conftest import Build, Project, build_all, make_project
from tests.draw import photo_bytes

PEOPLE = """\
# @package _global_
# Two sources of drawn people, a label table and a given split.
defaults:
  - /source@sources.album: folder
  - /source@sources.cards: folder
  - /layout@sources.album.layout: imagefolder
  - /layout@sources.cards.layout: flat
  - /table@tables.labels: csv
  - override /merge: identities
  - override /leaks: given
  - override /package: [imagefolder, hdf5]
about: {title: Drawn people}
sources:
  album:
    path: album
    layout:
      folders: [split, identity]
      join: {table: labels, key: file, columns: {label: label}}
  cards:
    path: cards
    layout:
      pattern: (?P<identity>.+)_face\\.png
      constants: {split: train}
tables:
  labels: {path: labels.csv}
download: {pack_bytes: 65536}
package:
  formats:
    imagefolder: {pack_bytes: 65536}
    hdf5: {width: 16, height: 16}
"""

identities = st.sampled_from(["ann", "bob", "cem"])
splits = st.sampled_from(["train", "test"])
names = st.sampled_from(["1", "2", "3"])
seeds = st.integers(0, 5)  # few, so that copies, leaks and conflicts come about
labels = st.sampled_from(["cat", "dog"])
actions = st.sampled_from(["keep", "remove", "relabel", "withdraw"])
TIME = "2026-11-21T09:30:00Z"


class Edits(RuleBasedStateMachine):
    """Edits two sources at random, and builds in between."""

    @initialize()
    def start(self) -> None:
        self._folder = TemporaryDirectory()
        self._start = Path.cwd()
        self.root = Path(self._folder.name)
        self.project = make_project(self.root / "kept")
        configure(self.project)
        for seed, identity in enumerate(["ann", "bob"]):
            for name in ("1", "2"):
                self.album("train", identity, name).write_bytes(photo_bytes(10 * seed + int(name)))
        for name in ("1", "2"):  # never edited, so that something is always left to package
            self.album("train", "zoe", name).write_bytes(photo_bytes(500 + int(name)))
        self.relabel("zoe", "cat")
        self.card("ann").write_bytes(photo_bytes(99))
        self.relabel("ann", "cat")

    def album(self, split: str, identity: str, name: str) -> Path:
        path = self.project.root / "album" / split / identity / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def card(self, identity: str) -> Path:
        path = self.project.root / "cards" / f"{identity}_face.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @rule(split=splits, identity=identities, name=names, seed=seeds)
    def write_a_photo(self, split: str, identity: str, name: str, seed: int) -> None:
        self.album(split, identity, name).write_bytes(photo_bytes(seed))

    @rule(identity=identities, seed=seeds)
    def write_a_card(self, identity: str, seed: int) -> None:
        self.card(identity).write_bytes(photo_bytes(seed))

    @rule(split=splits, identity=identities, name=names)
    def remove_a_photo(self, split: str, identity: str, name: str) -> None:
        self.album(split, identity, name).unlink(missing_ok=True)

    @rule(old=identities, new=identities, split=splits, name=names)
    def move_to_another_identity(self, old: str, new: str, split: str, name: str) -> None:
        path = self.album(split, old, name)
        if path.exists():
            path.replace(self.album("train", new, name))

    @rule(split=splits, identity=identities, name=names)
    def rename(self, split: str, identity: str, name: str) -> None:
        path = self.album(split, identity, name)
        if path.exists():
            path.rename(path.with_name(f"{name}-renamed.png"))

    @rule(split=splits, identity=identities, name=names)
    def break_a_photo(self, split: str, identity: str, name: str) -> None:
        path = self.album(split, identity, name)
        if path.exists():
            path.write_bytes(path.read_bytes()[:200])

    @rule(identity=identities, label=labels)
    def relabel(self, identity: str, label: str) -> None:
        self.labels[identity] = label

    @rule(split=splits, identity=identities, name=names, action=actions)
    def review_a_photo(self, split: str, identity: str, name: str, action: str) -> None:
        path = self.album(split, identity, name)
        if path.exists():
            label = "dog" if action == "relabel" else ""
            digest = sha256(path.read_bytes()).hexdigest()
            said = Review(digest, action=action, label=label, reviewer="ann", time=TIME)
            file.append(self.project.root, "people", [said], Taxonomy(tags={}))

    @property
    def labels(self) -> dict[str, str]:
        if not hasattr(self, "_labels"):
            self._labels: dict[str, str] = {}
        return self._labels

    @rule()
    def build_in_between(self) -> None:
        self.build(self.project)

    def build(self, project: Project) -> None:
        rows = ["file,label"]
        for path in sorted((self.project.root / "album").rglob("*.png")):
            key = path.relative_to(self.project.root / "album")
            if label := self.labels.get(key.parts[1]):
                rows.append(f"{key.as_posix()},{label}")
        (project.root / "labels.csv").write_text("\n".join(rows) + "\n")
        os.chdir(project.root)
        try:
            build_all("people")
        finally:
            os.chdir(self._start)

    def teardown(self) -> None:
        if not hasattr(self, "project"):
            return
        try:
            self.compare()
        finally:
            os.chdir(self._start)
            self._folder.cleanup()

    def compare(self) -> None:
        self.build(self.project)
        fresh = make_project(self.root / "fresh")
        configure(fresh)
        for name in ("album", "cards"):
            source = self.project.root / name
            source.mkdir(exist_ok=True)
            shutil.copytree(source, fresh.root / name)
        if (written := file.path(self.project.root, "people")).exists():
            shutil.copy(written, file.path(fresh.root, "people"))
        self.build(fresh)
        assert self.project.files() == fresh.files()


def configure(project: Project) -> None:
    project.conf("dataset/people.yaml", PEOPLE)
    project.datasets(people=[])


@pytest.mark.slow
def test_a_rebuild_after_edits_equals_a_build_from_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGEMILL_ENGINE", "engine=inline")
    run_state_machine_as_test(
        Edits,
        settings=settings(
            max_examples=15,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_one_new_photo_is_the_only_one_decoded(
    project: Project, build: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    build(project, "pets")
    capfd.readouterr()
    (project.root / "pets/cat/new.png").write_bytes(photo_bytes(77))
    build(project, "pets")
    assert "measure: 13 images: 1 decoded, 12 remembered" in capfd.readouterr().err


def test_a_second_build_reads_fetches_and_decodes_nothing(
    project: Project, build: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    build(project, "pets")
    before = project.files()
    capfd.readouterr()
    build(project, "pets")
    said = capfd.readouterr().err
    assert "download: 0 objects fetched" in said
    assert "measure: 12 images: 0 decoded, 12 remembered" in said
    assert project.files() == before


def test_a_build_without_its_memo_gives_the_same_bytes(project: Project, build: Build) -> None:
    build(project, "pets")
    before = project.files()
    shutil.rmtree(project.root / ".imagemill")
    build(project, "pets")
    assert project.files() == before


@pytest.mark.parametrize("limit", [1, 5])
def test_limit_makes_a_trial_build_of_so_many_images(
    project: Project, build: Build, limit: int
) -> None:
    import polars as pl

    project.datasets(pets=[f"limit={limit}"])
    build(project, "pets")
    manifest = pl.read_parquet(project.root / "data/pets/leaks/manifest.parquet")
    assert len(manifest) == 12
    assert (manifest["verdict"] == "keep").sum() == limit
    assert (project.root / "data/pets/package/README.md").exists()
