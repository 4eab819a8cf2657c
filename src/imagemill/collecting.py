"""Collect what was delivered of several datasets under the cleaning guide's folders."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from imagemill import config, deliver, sheets
from imagemill.config.project import Project
from imagemill.deliver.figures import FILE, Figures, compared, shown
from imagemill.errors import BuildError

SLIDES = "slides.html"
VL = "visual_layer"


def collect(root: Path, datasets: Sequence[str], to: Path) -> str:
    """Copy the deliverables of ``datasets`` to ``to``, with a comparison; return what to say.

    Raises ``BuildError`` where one is not built.
    """
    found = {dataset: _figures(root, dataset) for dataset in datasets}
    for dataset in datasets:
        _refuse_missing(root / "data" / dataset / "report" / SLIDES, dataset, "report")
    for dataset in datasets:
        _copy(root, dataset, to)
    table = compared(found)
    place = to / deliver.SUMMARIES
    sheets.write(place / "comparison.csv", table)
    (place / "comparison.txt").write_text(f"{shown(table)}\n", encoding="utf-8")
    count = sum(path.is_file() for path in to.rglob("*"))
    return f"{count} files below {to}: of {', '.join(datasets)}, and how they compare"


def compare(root: Path, datasets: Sequence[str]) -> str:
    """Return a table of the figures of several datasets."""
    return shown(compared({dataset: _figures(root, dataset) for dataset in datasets}))


def _figures(root: Path, dataset: str) -> Figures:
    Project(root).overrides(dataset)
    path = root / "data" / dataset / "deliver" / FILE
    _refuse_missing(path, dataset, "deliver")
    found: Figures = json.loads(path.read_text(encoding="utf-8"))
    return found


def _refuse_missing(path: Path, dataset: str, stage: str) -> None:
    if not path.exists():
        raise BuildError(f"deliver: {dataset}: is not built; `dvc repro {stage}@{dataset}` first")


def _copy(root: Path, dataset: str, to: Path) -> None:
    data = root / "data" / dataset
    for folder in (deliver.MANIFESTS, deliver.SUMMARIES, deliver.CLEANED):
        shutil.copytree(data / "deliver" / folder, to / folder, dirs_exist_ok=True)
    audits = config.read(data / "config.yaml", "clean")["audits"]
    for name, audit in audits.items():
        beside = "vl" if name == VL else name
        target = to / deliver.MANIFESTS / f"{dataset}_{beside}_export.csv"
        shutil.copyfile(root / audit["path"], target)
    (to / deliver.PRESENTATION).mkdir(exist_ok=True)
    slides = data / "report" / SLIDES
    shutil.copyfile(slides, to / deliver.PRESENTATION / f"{dataset}_{SLIDES}")
