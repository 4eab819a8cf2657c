"""The venv in which loaders run, made when it is not there: torch and the peers, no imagemill."""

import os
from pathlib import Path

from bench import peers_venv

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def python(folder: Path) -> Path:
    """Return the interpreter of the venv in ``folder``, which is made where it is missing."""
    return peers_venv.python(folder, REQUIREMENTS)


def environment() -> dict[str, str]:
    """Return the environment of a loader: our sources on the path, and nothing is fetched."""
    quiet = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    more = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "DO_NOT_TRACK": "1"}
    return {**os.environ, **quiet, **more}
