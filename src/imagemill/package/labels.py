"""Numbers of labels, which a trained model depends on, from one package to the next."""

import json
from pathlib import Path

from imagemill.files import replacing
from imagemill.label_maps import FILE, difference, shown
from imagemill.package.lots import Lot
from imagemill.progress import say


def write(folder: Path, lot: Lot) -> None:
    """Write ``labels.json``."""
    with replacing(folder / FILE) as part:
        part.write_text(json.dumps(list(lot.labels), indent=1, ensure_ascii=False) + "\n", "utf-8")


def warn_of_changes(folder: Path, lot: Lot) -> None:
    """Say which labels have other numbers in ``lot`` than in the package in ``folder``."""
    lines = difference(_last(folder), dict(enumerate(lot.labels)))
    if not lines:
        return
    say(
        f"warning: package: {folder.name}: the label map has changed; a model trained on the "
        f"earlier package takes one label for another. `package.labels` pins numbers.\n"
        f"{shown(lines)}"
    )


def _last(folder: Path) -> dict[int, str]:
    """Return the labels of an earlier package by number; none where there is none."""
    try:
        return dict(enumerate(json.loads((folder / FILE).read_text("utf-8"))))
    except (OSError, ValueError):
        return {}
