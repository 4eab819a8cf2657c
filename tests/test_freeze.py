"""A frozen split is a file in Git that every later build obeys."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from imagemill.config import tracked
from imagemill.errors import BuildError
from imagemill.freeze import freeze
from imagemill.splits import frozen
from imagemill.tables import MANIFEST
from tests.conftest import Build, Project, fill
from tests.make import digest


def splits(project: Project) -> dict[str, str]:
    manifest = MANIFEST.read(project.root / "data/pets/leaks").filter(verdict="keep")
    return dict(manifest.select("sample", "split").iter_rows())


def grow(project: Project, start: int, count: int) -> None:
    fill(project.root / "pets", {f"cat/new {n}.png": 500 + n for n in range(start, start + count)})


def test_what_is_frozen_stays_as_the_data_grows_and_newcomers_even_out(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    before = splits(project)
    said = project.run("imagemill", "freeze", "pets").stdout
    assert "splits/pets.csv: 12 images frozen, 12 of them new" in said
    grow(project, 0, 20)
    build(project, "pets")
    after = splits(project)
    assert {name: after[name] for name in before} == before
    assert list(after.values()).count("test") == pytest.approx(32 / 5, abs=1)
    assert "32 images frozen, 20 of them new" in freeze(project.root, "pets")


def test_a_build_that_obeys_the_frozen_split_gives_the_same_manifest(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    manifest = project.root / "data/pets/leaks/manifest.parquet"
    before = manifest.read_bytes()
    freeze(project.root, "pets")
    content = (project.root / "splits/pets.csv").read_bytes()
    build(project, "pets")
    assert manifest.read_bytes() == before
    assert "12 images frozen, 0 of them new" in freeze(project.root, "pets")
    assert (project.root / "splits/pets.csv").read_bytes() == content


def test_the_file_is_sorted_and_names_neither_files_nor_people(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    freeze(project.root, "pets")
    lines = (project.root / "splits/pets.csv").read_text().splitlines()
    assert lines[0] == "digest,split"
    assert lines[1:] == sorted(lines[1:])
    assert all(len(line.split(",")[0]) == 64 for line in lines[1:])


def test_an_image_that_went_keeps_its_split_for_when_it_comes_back(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    before = splits(project)
    freeze(project.root, "pets")
    photo = project.root / "pets/cat/1.png"
    content = photo.read_bytes()
    photo.unlink()
    build(project, "pets")
    assert "12 images frozen, 0 of them new; 1 are not kept" in freeze(project.root, "pets")
    photo.write_bytes(content)
    build(project, "pets")
    assert splits(project) == before


def test_a_split_that_is_not_assigned_or_not_built_cannot_be_frozen(
    project: Project, build: Build
) -> None:
    with pytest.raises(BuildError, match="dvc repro leaks@pets"):
        freeze(project.root, "pets")
    with pytest.raises(BuildError, match="did you mean pets"):
        freeze(project.root, "pet")
    project.datasets(pets=["leaks=given"])
    build(project, "pets")
    with pytest.raises(BuildError, match="given by its sources, not assigned"):
        freeze(project.root, "pets")


def test_newcomers_of_a_build_without_the_file_are_not_frozen(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    freeze(project.root, "pets")
    file = project.root / "splits/pets.csv"
    content = file.read_bytes()
    file.unlink()
    grow(project, 0, 3)
    build(project, "pets")
    file.write_bytes(content)
    with pytest.raises(BuildError, match="is not what pets was built with"):
        freeze(project.root, "pets")


GOOD = f"digest,split\n{digest('a')},train\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "splits/pets.csv:1: must be `digest,split`"),
        ("<<<<<<< HEAD\n" + GOOD, "splits/pets.csv:1: must be"),
        (GOOD + "=======\n", "splits/pets.csv:3: =======,None: must be a sha256 and a split"),
        (GOOD + "abc,train\n", "splits/pets.csv:3: abc,train"),
        (GOOD + f"{digest('b')},\n", "splits/pets.csv:3: "),
        (GOOD + f"{digest('a')},test\n", "splits/pets.csv:2: .* is frozen in train here, and else"),
        (GOOD + f"{digest('b')},test,x\n", "splits/pets.csv: no CSV of two columns"),
    ],
)
def test_a_line_that_is_wrong_is_named(content: str, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        frozen.parse(content.encode(), "splits/pets.csv")


def test_the_rows_of_a_file_may_be_none_and_may_repeat() -> None:
    assert frozen.parse(b"digest,split\n", "x.csv").is_empty()
    line = GOOD.splitlines()[1]
    assert frozen.parse(f"{GOOD}{line}\n".encode(), "x.csv").rows() == [(digest("a"), "train")]


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    rows = pl.DataFrame({"digest": [digest(f"{n}") for n in range(1000)], "split": ["a"] * 1000})
    frozen.write(tmp_path, "pets", rows.reverse())
    found = frozen.read(tmp_path, "pets", tracked.fingerprint(tmp_path, "splits", "pets"))
    assert found is not None
    assert found.equals(rows.sort("digest"))


def test_a_file_that_changed_since_the_config_was_written_stops_the_stage(tmp_path: Path) -> None:
    assert frozen.read(tmp_path, "pets", None) is None
    frozen.write(tmp_path, "pets", frozen.empty())
    with pytest.raises(BuildError, match=r"splits/pets\.csv: is not what .* `dvc repro config@"):
        frozen.read(tmp_path, "pets", None)


@pytest.mark.slow
def test_freezing_one_dataset_reruns_its_own_stages_alone(tracked: Project) -> None:
    tracked.conf("dataset/dogs.yaml", (tracked.root / "conf/dataset/pets.yaml").read_text())
    tracked.datasets(pets=[], dogs=[])
    targets = ("leaks@pets", "leaks@dogs")
    tracked.run("dvc", "repro", "-q", *targets)
    tracked.run("imagemill", "freeze", "pets")
    said = tracked.run("dvc", "repro", *targets).stdout
    assert "Running stage 'leaks@pets'" in said
    assert "splits/pets.csv is obeyed: 12 images are frozen" in said
    assert "Running stage 'leaks@dogs'" not in said
    assert "Running stage 'match@" not in said
    resolved = yaml.safe_load((tracked.root / "data/pets/config.yaml").read_text())
    assert len(resolved["leaks"]["assign"]["frozen"]) == 64
    assert "didn't change" in tracked.run("dvc", "repro", *targets).stdout
