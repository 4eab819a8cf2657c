"""Projects to build in tests: a copy of this one's pipeline with small datasets of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from tests.audited import audit
from tests.browser import chromium, window  # noqa: F401 (fixtures)
from tests.draw import photo_bytes
from tests.postgres import postgres, postgres_server  # noqa: F401 (fixtures)
from tests.publishing import signed_in, target  # noqa: F401 (fixtures)
from tests.servers import proxy, s3_server  # noqa: F401 (fixtures)
from tests.web import web  # noqa: F401 (fixture)

# These machines are noisy: a slow example is no fault, and a run must be repeatable.
settings.register_profile("imagemill", deadline=None, derandomize=True)
settings.load_profile("imagemill")

ROOT = Path(__file__).parents[1]
PIPELINE = (
    "conf",
    "stages",
    "src",
    "fingerprints",
    "splits",
    "reviews",
    "audits",
    "calibrations",
    "dvc.yaml",
    "requirements.lock",
    ".dvcignore",
)
STAGES = (
    *("scan", "download", "merge", "measure", "match", "clean", "leaks"),
    *("package", "deliver", "report"),
)


class Project:
    """A folder with the whole pipeline, and what a test wants to do in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def env(self) -> dict[str, str]:
        """Return an environment in which this project's own code runs."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(self.root / "src")}

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; its output is text, errors included."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def datasets(self, **overrides: list[str]) -> None:
        """Write ``params.yaml``."""
        (self.root / "params.yaml").write_text(yaml.safe_dump({"datasets": overrides}))

    def conf(self, name: str, text: str) -> None:
        """Write a file of ``conf/``."""
        path = self.root / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def files(self, below: str = "data") -> dict[str, str]:
        """Return the hash of every file below a folder."""
        return {
            path.relative_to(self.root).as_posix(): sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.root / below).rglob("*"))
            if path.is_file()
        }


def make_project(root: Path, like: Path = ROOT) -> Project:
    """Copy the pipeline of ``like`` to ``root``, without any dataset."""
    root.mkdir(parents=True, exist_ok=True)
    for name in PIPELINE:
        source = like / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    for old in (root / "conf" / "dataset").iterdir():
        old.unlink()
    (root / "data").mkdir()
    shutil.copy(ROOT / "data" / ".gitignore", root / "data")
    shutil.copy(ROOT / ".gitignore", root)
    return Project(root)


PETS = """\
# @package _global_
# Drawn photos in folders named by their label.
defaults:
  - /source@sources.pets: folder
  - /layout@sources.pets.layout: imagefolder
about: {title: Drawn pets}
sources:
  pets:
    path: pets
"""


def fill(root: Path, photos: Mapping[str, int]) -> None:
    """Draw photos below ``root``: key to seed."""
    for key, seed in photos.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo_bytes(seed))


def draw_pets(root: Path) -> Project:
    """Make a project with one dataset, ``pets``: 12 drawn photos of two labels."""
    made = make_project(root)
    made.conf("dataset/pets.yaml", PETS)
    made.datasets(pets=[])
    cats = {f"cat/{n}.png": n for n in range(6)}
    dogs = {f"dog/{n}.png": 100 + n for n in range(6)}
    fill(made.root / "pets", {**cats, **dogs})
    return made


def track(project: Project) -> Project:
    """Put a project under Git and DVC."""
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "config", "user.email", "test@example.org")
    project.run("git", "config", "user.name", "Test")
    project.run("dvc", "init", "-q")
    project.run("git", "add", ".")
    project.run("git", "commit", "-qm", "start")
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one dataset, ``pets``."""
    return draw_pets(tmp_path / "project")


@pytest.fixture
def tracked(project: Project) -> Project:
    """The same project under Git and DVC."""
    return track(project)


@pytest.fixture
def audited(project: Project) -> Project:
    """The same project, with an audit that rules and people act on."""
    return audit(project)


Build = Callable[[Project, str], None]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """Run every stage of a dataset in this process, without DVC and without workers."""
    monkeypatch.setenv("IMAGEMILL_ENGINE", "engine=inline")

    def run(project: Project, dataset: str) -> None:
        monkeypatch.chdir(project.root)
        build_all(dataset)

    return run


def build_all(dataset: str) -> None:
    """Run every stage in the project of the working directory."""
    from importlib import import_module

    from imagemill import stage

    import_module("stages.config").main(dataset)
    for name in STAGES:
        main = import_module(f"stages.{name}").main
        stage.run(main, name, dataset, keep=name in ("scan", "download", "package"))


from tests.reviewing import fresh, hats, site  # noqa: E402, F401 (fixtures, made of the above)
