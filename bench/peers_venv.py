"""A venv in which other tools run, made when it is not there."""

import subprocess
import sys
from pathlib import Path


def python(folder: Path, requirements: Path) -> Path:
    """Return the interpreter of the venv in ``folder``; make the venv first where it is missing.

    It has torch and torchvision besides what ``requirements`` names.
    """
    ready = folder / "ready"
    if not ready.exists():  # or a run that made it was killed
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        (folder / ".gitignore").write_text("*\n")
        pip = [str(folder / "bin" / "pip"), "install", "--quiet"]
        # uv, since pip may take a quarter of an hour to choose versions.
        subprocess.run([*pip, "uv", "torch==2.13.0"], check=True)
        # Its own requirements would bring another torch.
        subprocess.run([*pip, "--no-deps", "torchvision==0.28.0"], check=True)
        uv = [str(folder / "bin" / "uv"), "pip", "install", "--quiet", "--python"]
        made = str(folder / "bin" / "python")
        subprocess.run([*uv, made, "-r", str(requirements)], check=True)
        ready.touch()
    return folder / "bin" / "python"
