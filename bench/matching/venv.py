"""The venv in which the other tools run, made when it is not there."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"


def python(folder: Path) -> Path:
    """Return the interpreter of the venv in ``folder``; make the venv first where it is missing."""
    ready = folder / "ready"
    if not ready.exists():  # or a run that made it was killed
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        (folder / ".gitignore").write_text("*\n")
        pip = [str(folder / "bin" / "pip"), "install", "--quiet"]
        subprocess.run([*pip, "torch==2.13.0"], check=True)
        # Its own requirements would bring another torch.
        subprocess.run([*pip, "--no-deps", "torchvision==0.28.0"], check=True)
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        ready.touch()
    return folder / "bin" / "python"


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
