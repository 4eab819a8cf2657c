"""The venv in which the other tools run, made when it is not there."""

import os
import subprocess
from pathlib import Path

from bench import peers_venv

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"


def python(folder: Path) -> Path:
    """Return the interpreter of the venv in ``folder``, which is made where it is missing."""
    return peers_venv.python(folder, REQUIREMENTS)


def run(interpreter: Path, module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a module of this project there; what it prints is captured."""
    return subprocess.run(
        [str(interpreter), "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
