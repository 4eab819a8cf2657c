"""The pipeline under DVC: what runs again, what is restored, what survives."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import PETS, Project, fill, make_project
from tests.draw import photo_bytes

pytestmark = pytest.mark.slow


def ran(output: str) -> set[str]:
    """Return the stages that ``dvc repro`` said it ran."""
    return set(re.findall(r"Running stage '([^']+)'", output))


def repro(project: Project, *targets: str) -> set[str]:
    return ran(project.run("dvc", "repro", *targets).stdout)


def edit(project: Project, file: str, old: str, new: str) -> None:
    path = project.root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_only_the_stages_whose_section_changed_run_again(tracked: Project) -> None:
    everything = repro(tracked)
    assert len(everything) == 12
    assert repro(tracked) == {"scan@pets"}

    edit(tracked, "conf/clean/standard.yaml", "min_side: 48", "min_side: 47")
    assert repro(tracked) == {"scan@pets", "config@pets", "clean@pets"}

    edit(tracked, "conf/leaks/assigned.yaml", "seed: 0", "seed: 1")
    after = {f"{stage}@pets" for stage in ("leaks", "package", "deliver", "report", "publish")}
    assert repro(tracked) == {"scan@pets", "config@pets", *after}


def test_an_experiment_may_change_the_overrides_of_a_dataset(tracked: Project) -> None:
    tracked.run("dvc", "repro")
    nothing = 'datasets.pets=["clean.min_side=97"]'
    done = tracked.run("dvc", "exp", "run", "-S", nothing, check=False)
    assert "no image is left to package" in done.stdout
    assert done.returncode != 0
    tracked.run("dvc", "exp", "run", "-S", 'datasets.pets=["clean.min_side=50"]')
    resolved = yaml.safe_load((tracked.root / "data/pets/config.yaml").read_text())
    assert resolved["clean"]["min_side"] == 50


def test_two_datasets_stand_side_by_side_with_their_own_package(tracked: Project) -> None:
    tracked.conf("dataset/zoo.yaml", PETS.replace("path: pets", "path: zoo"))
    fill(tracked.root / "zoo", {f"owl/{n}.png": 300 + n for n in range(3)})
    size = ["package.formats.hdf5.width=16", "package.formats.hdf5.height=16"]
    tracked.datasets(pets=[], zoo=["package=hdf5", *size])
    tracked.run("dvc", "repro")
    assert list((tracked.root / "data/pets/package/imagefolder").glob("*.tar"))
    assert (tracked.root / "data/zoo/package/hdf5/dataset.h5").exists()
    assert not (tracked.root / "data/zoo/package/imagefolder").exists()

    edit(tracked, "conf/dataset/zoo.yaml", "Drawn pets", "Drawn owls")
    assert {each for each in repro(tracked) if "@pets" in each} <= {"scan@pets", "config@pets"}


def test_a_broken_dataset_stops_the_build_with_one_clear_line(tracked: Project) -> None:
    tracked.datasets(pets=["package=hdf6"])
    done = tracked.run("dvc", "repro", check=False)
    assert done.returncode != 0
    assert "no file conf/package/hdf6.yaml; did you mean hdf5?" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_clone_gets_everything_back_and_builds_nothing(tracked: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    tracked.run("dvc", "remote", "add", "-d", "here", str(remote))
    tracked.run("dvc", "repro")
    tracked.run("git", "add", ".")
    tracked.run("git", "commit", "-qm", "built")
    tracked.run("dvc", "push")
    assert len([path for path in remote.rglob("*") if path.is_file()]) < 60

    clone = Project(tmp_path / "clone")
    tracked.run("git", "clone", "-q", ".", str(clone.root))
    clone.run("dvc", "pull")
    assert clone.files() == tracked.files()
    status = clone.run("dvc", "status").stdout
    assert re.findall(r"^(\S+@pets):", status, re.M) == ["scan@pets"]
    assert repro(clone) == {"scan@pets"}


def test_dvc_repro_after_random_edits_equals_a_build_from_nothing(
    tracked: Project, tmp_path: Path
) -> None:
    tracked.run("dvc", "repro")
    random.seed(7)
    for step in range(3):
        change_something(tracked.root / "pets", step)
        tracked.run("dvc", "repro")
    assert tracked.files() == from_nothing(tracked, tmp_path).files()


def change_something(folder: Path, step: int) -> None:
    """Add, overwrite, move or remove a photo."""
    there = sorted(folder.rglob("*.png"))
    kind = step % 4
    if kind == 0:
        (folder / "cat" / f"new{step}.png").write_bytes(photo_bytes(1000 + step))
    elif kind == 1:
        random.choice(there).write_bytes(photo_bytes(2000 + step))
    elif kind == 2:
        path = random.choice(there)
        path.rename(folder / "dog" / f"moved{step}.png")
    else:
        random.choice(there).unlink()


def from_nothing(project: Project, tmp_path: Path) -> Project:
    """Build the same sources in an empty folder."""
    fresh = make_project(tmp_path / "fresh", like=project.root)
    shutil.copytree(project.root / "conf", fresh.root / "conf", dirs_exist_ok=True)
    shutil.copy(project.root / "params.yaml", fresh.root)
    shutil.copytree(project.root / "pets", fresh.root / "pets")
    fresh.run("git", "init", "-q")
    fresh.run("dvc", "init", "-q")
    fresh.run("dvc", "repro")
    return fresh


KILLS = 20


def test_a_build_killed_at_random_moments_ends_as_if_undisturbed(
    tracked: Project, tmp_path: Path
) -> None:
    random.seed(11)
    for kill in range(KILLS):
        change_something(tracked.root / "pets", kill)
        print(tracked.run("imagemill", "heal").stdout, end="")
        kill_a_build(tracked, random.uniform(0.3, 9), everything=kill % 2 == 0)
    tracked.run("imagemill", "build", "pets")
    assert repro(tracked) == {"scan@pets"}
    assert tracked.files() == from_nothing(tracked, tmp_path).files()


def kill_a_build(project: Project, after: float, *, everything: bool) -> None:
    """Start ``dvc repro`` and kill it with -9: its stages too, or DVC alone."""
    with subprocess.Popen(
        ["dvc", "repro"],
        cwd=project.root,
        env=project.env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as build:
        time.sleep(after)
        if everything:
            os.killpg(build.pid, signal.SIGKILL)
        else:
            build.kill()
