"""A calibration is a file in Git that every later build obeys."""

import json
from pathlib import Path
from typing import Any

import pytest

from imagemill import calibration
from imagemill.calibration.making import calibrate
from imagemill.errors import BuildError
from imagemill.tables import PAIRS
from tests import make
from tests.conftest import Build, Project
from tests.crops import photographs
from tests.test_calibration import WRITTEN, learn, put

# The file


def test_the_file_is_the_same_whatever_the_processes_and_however_often(
    project: Project, build: Build
) -> None:
    put(project, photographs()[:60])
    build(project, "pets")
    written = []
    for engine in (make.INLINE, make.INLINE, make.workers(1), make.workers(2)):
        learn(project, engine=engine, count=40)
        written.append((project.root / WRITTEN).read_bytes())
    assert len(set(written)) == 1
    assert str(project.root).encode() not in written[0]


def test_a_build_obeys_the_file_and_without_it_is_what_it_was(
    project: Project, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [each for each in photographs() if min(each.size) >= 150][:12]
    put(project, [*photos, *(each.resize((120, 100)) for each in photos)])
    build(project, "pets")
    before = project.files()
    assert len(PAIRS.read(project.root / "data/pets/match")) >= 10
    found = learn(project)
    calibration.write(project.root, "pets", found.model_copy(update={"min_score": 1.0}))
    build(project, "pets")
    assert "calibrations/pets.json is obeyed: pairs from 1.0 on" in capsys.readouterr().err
    assert PAIRS.read(project.root / "data/pets/match").is_empty()
    said = certificate(project)
    assert said["expected_miss_rate"] == round(1 - found.recall["perceptual"].value, 4)
    assert "planted" in said["expected_miss_rate_is"]
    assert said["thresholds"]["perceptual"]["min_score"] == 1.0
    page = (project.root / "data/pets/report/index.html").read_text()
    assert "Calibrated on this dataset for a precision of 0.99" in page
    (project.root / WRITTEN).unlink()
    build(project, "pets")
    assert project.files() == before
    page = (project.root / "data/pets/report/index.html").read_text()
    assert "imagemill calibrate" in page


def certificate(project: Project) -> dict[str, Any]:
    path = project.root / "data/pets/leaks/certificate.json"
    return dict(json.loads(path.read_text()))


def test_other_settings_than_it_was_made_for_are_named_and_it_is_obeyed(
    project: Project, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    build(project, "pets")
    learn(project)
    project.datasets(pets=["match.radius=6"])
    build(project, "pets")
    said = capsys.readouterr().err
    assert "was made for other settings: radius 8, now 6." in said
    assert "is obeyed" in said
    assert "imagemill calibrate pets" in said


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({"radius": 8}, {"radius": 8}, ""),
        (
            {"keypoints": None},
            {"keypoints": {"kind": "sift", "most": 64}},
            "keypoints none, now sift most=64",
        ),
        ({"a": 1}, {"b": 2}, "a 1, now none, b none, now 2"),
    ],
)
def test_what_differs_is_named(then: Any, now: Any, said: str) -> None:
    assert calibration.different(then, now) == said


def test_close_calls_are_verified_pairs_below_the_band() -> None:
    rows = [
        make.pair("a", "b", score=0.9),
        make.pair("c", "d", score=0.95),
        make.pair("e", "f", score=0.93, tier="pixels"),
        make.pair("g", "h", score=0.88, tier="semantic"),
    ]
    pairs = make.frame(PAIRS, *rows)
    said = {"calibration": {"close": {"low": 0.8, "high": 0.95}}}
    assert calibration.close_calls(pairs, said)["score"].to_list() == pytest.approx([0.88, 0.9])
    for nothing in (None, {"close": None}):
        assert calibration.close_calls(pairs, {"calibration": nothing}).is_empty()


# Mistakes


def test_what_cannot_be_calibrated_is_said_with_what_to_do(project: Project, build: Build) -> None:
    for given, said in (
        ({}, r"pets is not measured yet; run `dvc repro measure@pets`"),
        ({"target": 1.0}, r"--precision 1\.0: must be at least 0\.5 and below 1"),
        ({"count": 3}, r"--images 3: must be at least 10"),
    ):
        with pytest.raises(BuildError, match=said):
            learn(project, **given)
    with pytest.raises(BuildError, match=r"did you mean pets\?"):
        calibrate(project.root, "pet", 0.99, 400, make.INLINE)
    put(project, photographs()[:5])
    build(project, "pets")
    with pytest.raises(BuildError, match="pets has 5 distinct images with texture; 10 at least"):
        learn(project)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"pets\.json: the whole: "),
        ("{}", r"pets\.json: format: "),
        ('{"format": 2}', r"pets\.json: format: .*`imagemill calibrate pets`, or delete it"),
    ],
)
def test_a_file_that_is_none_is_named_with_the_way_out(content: str, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        calibration.parse(content.encode(), WRITTEN)


def test_a_file_that_changed_since_the_config_was_written_stops_the_stage(tmp_path: Path) -> None:
    assert calibration.read(tmp_path, "pets", None) is None
    make.fill(tmp_path, {WRITTEN: b"{}"})
    with pytest.raises(BuildError, match=r"calibrations/pets\.json: is not what .* `dvc repro con"):
        calibration.read(tmp_path, "pets", None)


@pytest.mark.slow
def test_calibrating_one_dataset_reruns_its_match_and_what_follows_alone(tracked: Project) -> None:
    tracked.conf("dataset/dogs.yaml", (tracked.root / "conf/dataset/pets.yaml").read_text())
    tracked.datasets(pets=[], dogs=[])
    targets = ("report@pets", "match@dogs")
    tracked.run("dvc", "repro", "-q", *targets)
    said = tracked.run("imagemill", "calibrate", "pets").stdout
    assert "calibrations/pets.json: commit it" in said
    said = tracked.run("dvc", "repro", *targets).stdout
    for stage in ("config@pets", "match@pets"):
        assert f"Running stage '{stage}'" in said
    assert "calibrations/pets.json is obeyed" in said
    for stage in ("download@pets", "merge@pets", "measure@pets", "match@dogs"):
        assert f"Running stage '{stage}'" not in said
    assert "didn't change" in tracked.run("dvc", "repro", *targets).stdout
