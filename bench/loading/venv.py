"""The venv in which loaders run, made when it is not there: torch and the peers, no imagemill."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def python(folder: Path) -> Path:
    """Return the interpreter of the venv in ``folder``; make the venv first where it is missing."""
    ready = folder / "ready"
    if not ready.exists():  # or a run that made it was killed
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        (folder / ".gitignore").write_text("*\n")
        pip = [str(folder / "bin" / "pip"), "install", "--quiet"]
        # uv, where there is one: pip takes a quarter of an hour to choose versions.
        subprocess.run([*pip, "uv", "torch==2.13.0"], check=True)
        # Its own requirements would bring another torch.
        subprocess.run([*pip, "--no-deps", "torchvision==0.28.0"], check=True)
        uv = [str(folder / "bin" / "uv"), "pip", "install", "--quiet", "--python"]
        python = str(folder / "bin" / "python")
        subprocess.run([*uv, python, "-r", str(REQUIREMENTS)], check=True)
        ready.touch()
    return folder / "bin" / "python"


def environment() -> dict[str, str]:
    """Return the environment of a loader: our sources on the path, and nothing is fetched."""
    quiet = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    more = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "DO_NOT_TRACK": "1"}
    return {**os.environ, **quiet, **more}
