"""What tests of DVC remotes share: a project that is built once, in packs of a few photos."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Project, draw_pets, fill, track


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """60 photos of three labels, built and committed."""
    project = track(draw_pets(tmp_path_factory.mktemp("remote") / "project"))
    fill(project.root / "pets", {f"owl/{n}.png": 200 + n for n in range(48)})
    small = "package.formats.imagefolder.pack_bytes=65536"
    project.datasets(pets=["download.pack_bytes=65536", small])
    project.run("dvc", "repro")
    commit(project, "build")
    return project


@pytest.fixture
def built(built_once: Project, tmp_path: Path) -> Project:
    """A copy of that project for one test."""
    shutil.copytree(built_once.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def commit(project: Project, message: str) -> None:
    """Commit all that Git is to track."""
    project.run("git", "add", ".")
    project.run("git", "commit", "-qm", message)


def cached(project: Project) -> set[str]:
    """Return the names of the files in DVC's cache."""
    folder = project.root / ".dvc/cache/files/md5"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
