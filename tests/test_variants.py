"""Verdicts outlast their files; ways of cleaning are datasets side by side of the same packs."""

import shutil
from io import BytesIO

import pytest

from imagemill import reviews
from imagemill.tables import LEAKS
from tests import make
from tests.audited import AUDITED
from tests.conftest import Build, Project
from tests.draw import photo, photo_bytes
from tests.test_deliver import IMAGENET, changed
from tests.test_parquet import shard


def test_verdicts_survive_whatever_becomes_of_the_file(
    audited: Project, build: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    build(audited, "pets")
    work = reviews.load("pets", audited.root, everything=True)
    work.tag(["cat/3.png"], action="relabel", label="fox", reviewer="Ann")
    work.save()
    pets = audited.root / "pets"
    build(audited, "pets")
    assert changed(audited)["pets/cat/3.png"] == ("relabel", "fox")
    (pets / "cat/3.png").rename(pets / "dog/renamed.png")
    build(audited, "pets")
    assert changed(audited)["pets/dog/renamed.png"] == ("relabel", "fox")
    (pets / "dog/renamed.png").rename(audited.root / "away.png")
    capfd.readouterr()
    build(audited, "pets")
    assert "clean: 1 reviews: 0 obeyed, 1 absent" in capfd.readouterr().err
    audited.conf("dataset/pets.yaml", AUDITED.replace("path: pets\n", "path: moved\n"))
    pets.rename(audited.root / "moved")
    (audited.root / "away.png").rename(audited.root / "moved/cat/back.png")
    shutil.rmtree(audited.root / "data/pets")
    build(audited, "pets")
    assert changed(audited)["pets/cat/back.png"] == ("relabel", "fox")


VARIANT = """\
# @package _global_
# Pets, cleaned in another way.
defaults: [pets, override /clean: {choice}]
clean: {{reviews: {{of: pets}}}}
"""


def test_ways_of_cleaning_are_datasets_side_by_side_of_the_same_packs_and_facts(
    audited: Project, build: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    build(audited, "pets")
    work = reviews.load("pets", audited.root)
    work.tag(["dog/0.png"], action="keep", reviewer="Ann")
    work.save()
    names = {choice: f"pets_{choice}" for choice in ("none", "audit", "reviewed")}
    for choice, name in names.items():
        audited.conf(f"dataset/{name}.yaml", VARIANT.format(choice=choice))
    audited.datasets(pets=[], **{name: [] for name in names.values()})
    capfd.readouterr()
    for name in names.values():
        build(audited, name)
    said = capfd.readouterr().err
    assert said.count("download: 0 objects fetched") == 3
    assert said.count("measure: 12 images: 0 decoded, 12 remembered") == 3
    packs = [
        sorted((audited.root / "data" / name / "download/packs").iterdir())
        for name in ("pets", *names.values())
    ]
    assert len({tuple(path.stat().st_ino for path in each) for each in packs}) == 1
    assert {name: len(changed(audited, name)) for name in names.values()} == {
        "pets_none": 0, "pets_audit": 2, "pets_reviewed": 1,
    }  # fmt: skip
    shown = audited.run("imagemill", "compare", *names.values()).stdout.splitlines()
    assert shown[0].split() == ["figure", *names.values()]
    assert ["removed", "0", "1", "0"] in [line.split() for line in shown]
    assert ["relabelled", "0", "1", "1"] in [line.split() for line in shown]


def test_objects_of_a_remote_source_are_fetched_once_for_all_datasets(
    project: Project, build: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    shard(project.root / "shards/train/a.parquet", [photo_bytes(n) for n in range(4)], [0, 1, 2, 0])
    shard(project.root / "shards/val/a.parquet", [photo_bytes(90)], [0])
    one = IMAGENET.replace("  - /audit@clean.audits.visual_layer: visual_layer\n", "")
    one = one[: one.index("clean:\n")]
    project.conf("dataset/one.yaml", one)
    project.conf("dataset/two.yaml", one + "clean: {min_side: 10}\n")
    project.datasets(one=[], two=[])
    build(project, "one")
    capfd.readouterr()
    build(project, "two")
    assert "download: 0 objects fetched" in capfd.readouterr().err
    held = [list(project.files(f"data/{name}/download").values()) for name in ("one", "two")]
    assert held[0] == held[1]


SPLIT = """\
# @package _global_
# Drawn photos in a given split.
defaults:
  - /source@sources.pets: folder
  - /layout@sources.pets.layout: imagefolder
  - override /leaks: given
about: {title: Drawn pets}
sources:
  pets:
    path: pets
    layout: {folders: [split, label]}
"""


def test_what_people_say_of_a_pair_holds_for_leaks_too(project: Project, build: Build) -> None:
    project.conf("dataset/pets.yaml", SPLIT)
    again = BytesIO()
    photo(1).save(again, "PNG", compress_level=1)
    for key, data in {
        "train/cat/1.png": photo_bytes(1),
        "test/cat/1.png": again.getvalue(),
    }.items():
        make.fill(project.root / "pets", {key: data, key.replace("1", "2"): photo_bytes(len(key))})

    def leaks() -> list[tuple[str, str]]:
        build(project, "pets")
        found = LEAKS.read(project.root / "data/pets/leaks").select("a", "b")
        return [(str(a), str(b)) for a, b in found.iter_rows()]

    assert leaks() == [("pets/test/cat/1.png", "pets/train/cat/1.png")]
    work = reviews.load("pets", project.root, everything=True)
    work.pair("test/cat/1.png", "train/cat/1.png", "different", reviewer="Ann")
    work.pair("test/cat/1.png", "train/cat/2.png", "same", reviewer="Ann")
    work.save()
    assert leaks() == [("pets/test/cat/1.png", "pets/train/cat/2.png")]


def ran(project: Project, *targets: str) -> set[str]:
    """Build, and return the stages that ran, but for the scans, which always run."""
    lines = project.run("dvc", "repro", *targets).stdout.splitlines()
    stages = {line.split("'")[1] for line in lines if line.startswith("Running stage")}
    return {stage for stage in stages if not stage.startswith("scan@")}


@pytest.mark.slow
def test_a_threshold_or_a_verdict_reruns_clean_and_later_stages_of_its_dataset_alone(
    tracked: Project,
) -> None:
    tracked.conf("dataset/dogs.yaml", (tracked.root / "conf/dataset/pets.yaml").read_text())
    tracked.datasets(pets=[], dogs=[])
    targets = ("deliver@pets", "deliver@dogs")
    tracked.run("dvc", "repro", "-q", *targets)
    looser = ["clean.min_side=97", "clean.remove=[]", "clean.flag=[too_small]"]
    tracked.datasets(pets=looser, dogs=[])
    later = {"config@pets", "clean@pets", "leaks@pets", "deliver@pets"}
    assert ran(tracked, *targets) == later
    work = reviews.load("pets", tracked.root, everything=True)
    work.tag(["cat/1.png"], action="remove", reviewer="Ann")
    work.save()
    assert ran(tracked, *targets) == {*later, "config@dogs"}
    assert ran(tracked, *targets) == set()
