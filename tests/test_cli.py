"""The commands that DVC does not have."""

from pathlib import Path

import pytest

from imagemill import heal
from tests.conftest import Build, Project


def test_export_makes_the_folders_that_the_package_speaks_of(
    project: Project, build: Build, tmp_path: Path
) -> None:
    build(project, "pets")
    said = project.run("imagemill", "export", "pets", "--to", str(tmp_path / "out")).stdout
    assert "export: 12 images" in said
    found = sorted((tmp_path / "out").rglob("*.png"))
    assert len(found) == 12
    assert {path.parent.name for path in found} == {"cat", "dog"}
    assert {path.parents[1].name for path in found} <= {"train", "test"}


def test_export_of_what_is_not_built_says_how_to_get_it(project: Project, tmp_path: Path) -> None:
    done = project.run("imagemill", "export", "pets", "--to", str(tmp_path), check=False)
    assert done.returncode == 1
    assert "dvc repro package@pets" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("pet", "params.yaml lists no dataset pet; did you mean pets?"),
        ("pakage@pets", "no stage pakage; did you mean package?"),
    ],
)
def test_a_target_that_is_not_there_is_told_before_anything_is_built(
    project: Project, target: str, said: str
) -> None:
    done = project.run("imagemill", "build", target, check=False)
    assert done.returncode == 1
    assert said in done.stdout
    assert "Running stage" not in done.stdout


LOCK = """\
schema: '2.0'
stages:
  scan@pets:
    cmd: python -m stages.scan pets
    outs:
    - path: data/pets/scan
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
"""


def test_a_lock_file_cut_short_anywhere_is_restored_or_still_good_for_dvc(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    (tmp_path / ".imagemill").mkdir()
    (tmp_path / ".imagemill/dvc.lock").write_text(LOCK)
    restored = 0
    for kept in range(len(LOCK)):
        lock.write_text(LOCK[:kept])
        heal.heal(tmp_path)
        assert heal.recorded(lock) is not None
        restored += lock.read_text() == LOCK
    assert restored > 50  # elsewhere a value is cut short, and DVC runs that stage again


def test_a_lock_file_without_a_copy_is_taken_away(project: Project) -> None:
    lock = project.root / "dvc.lock"
    lock.write_text(LOCK[:40])
    assert "removed" in project.run("imagemill", "heal").stdout
    assert not lock.exists()


def test_a_whole_lock_file_is_left_alone(project: Project) -> None:
    lock = project.root / "dvc.lock"
    lock.write_text(LOCK)
    assert project.run("imagemill", "heal").stdout == ""
    assert lock.read_text() == LOCK


def test_a_table_of_running_commands_that_was_cut_short_is_taken_away(project: Project) -> None:
    running = project.root / ".dvc/tmp/rwlock"
    running.parent.mkdir(parents=True)
    running.write_text('{"write": {"/da')
    assert "rwlock" in project.run("imagemill", "heal").stdout
    assert not running.exists()


@pytest.mark.parametrize("command", ["build", "init", "heal", "export", "verify", "prune"])
def test_every_command_explains_itself(project: Project, command: str) -> None:
    assert "Usage: imagemill" in project.run("imagemill", command, "--help").stdout
