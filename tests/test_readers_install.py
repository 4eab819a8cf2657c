"""A training machine installs the readers alone, and opens what was built elsewhere."""

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

import imagemill
from tests.conftest import ROOT
from tests.training import COUNT, FORMATS, NAMES, built

pytestmark = pytest.mark.slow

LIGHT = {"imagemill-readers", "h5py", "numpy", "pillow", "pip", "setuptools"}
"""All that is installed."""

LOOK = """
import json, sys, warnings
import imagemill
path = sys.argv[1]
try:
    package = imagemill.open(path)
    pixels = [[item.name, item.image.convert("RGB").tobytes().hex()] for item in package]
    said = {"labels": package.label_map, "splits": package.splits, "rows": sorted(pixels)}
except imagemill.readers.PackageError as error:
    said = {"error": str(error)}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh venv with the wheel of the readers."""
    root = tmp_path_factory.mktemp("machine")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(root)]
    subprocess.run([*pip, *build, str(ROOT / "readers")], check=True)
    (wheel,) = root.glob("imagemill_readers-*.whl")
    assert wheel.name.split("-")[1] == imagemill.__version__
    venv.create(root / "venv", with_pip=True)
    found = root / "venv/bin/python"
    subprocess.run([str(found), "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    return found


def run(python: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(python), *arguments], capture_output=True, text=True, check=False, cwd=python.parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readers_bring_next_to_nothing(python):
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    assert {each["name"].lower() for each in listed} <= LIGHT


@pytest.mark.parametrize("name", FORMATS)
def test_the_readers_alone_open_every_format_or_say_what_it_takes(python, tmp_path, name):
    path = built(tmp_path, name)
    said: dict[str, Any] = json.loads(run(python, "-c", LOOK, str(path)))
    if name in ("parquet", "folders"):
        assert "needs pyarrow, which is not installed: pip install 'pyarrow>=17'" in said["error"]
        return
    package = imagemill.open(path)
    assert said["labels"] == {str(number): label for number, label in NAMES.items()}
    assert said["splits"] == package.splits
    assert len(said["rows"]) == COUNT
    rows = [[item.name, item.image.convert("RGB").tobytes().hex()] for item in package]
    assert said["rows"] == sorted(rows)


def test_without_torch_the_error_says_how_to_install_it(python):
    code = "import imagemill\ntry: imagemill.torch\nexcept ImportError as error: print(error)"
    assert run(python, "-c", code).strip().endswith("pip install torch")


def test_whoever_installs_imagemill_has_the_readers_too():
    done = subprocess.run(
        [sys.executable, "-c", "import imagemill; print(imagemill.readers.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "imagemill/readers/__init__.py" in done.stdout
