"""Numbers of labels: those of a package against those that a model was trained with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagemill.label_maps import shown
from imagemill.readers import layout
from imagemill.readers.errors import PackageError

Labels = Mapping[int, str] | Mapping[str, int] | Mapping[str, str] | Sequence[str] | str | Path
"""Label by number, number by label, labels in order, a JSON file of one of these, or a package."""


def numbered(given: Any) -> dict[int, str]:
    """Return labels by number. Raises ``PackageError`` for what is no label map."""
    if hasattr(given, "label_map"):
        return dict(given.label_map)
    if isinstance(given, str | Path):
        return _stored(Path(given))
    if isinstance(given, Mapping):
        pairs = [_pair(key, value) for key, value in given.items()]
        return dict(sorted(pairs))
    return dict(enumerate(map(str, given)))


def _stored(path: Path) -> dict[int, str]:
    if path.suffix == ".json" and path.is_file():
        return numbered(json.loads(path.read_text(encoding="utf-8")))
    return dict(layout.opened(path).names)


def _pair(key: object, value: object) -> tuple[int, str]:
    """Return number and label; JSON has made text of a number that is a key."""
    if isinstance(key, str) and isinstance(value, int):
        return value, key
    if not str(key).isdecimal():
        raise PackageError(
            f"labels: {key!r}: {value!r} is no number with a label. Give package.label_map as it "
            "was at training: {0: 'dress', 1: 'hat'}, or a list of labels."
        )
    return int(str(key)), str(value)


def told(lines: Sequence[str], where: object) -> str:
    """Return a difference in words."""
    return (
        f"{where}: labels have other numbers than those given: a model trained with them takes one "
        f"label for another. `renumber=True` keeps the earlier numbers; `package.labels` "
        f"pins them at the next build.\n{shown(lines)}"
    )


def renumbered(before: Mapping[int, str], after: Mapping[int, str]) -> dict[int, int]:
    """Return the number that each one of ``after`` has by ``before``; new labels go at the end."""
    known = {label: number for number, label in before.items()}
    end = max(before, default=-1) + 1
    new = [number for number, label in sorted(after.items()) if label not in known]
    fresh = {number: end + at for at, number in enumerate(new)}
    return {n: known[label] if label in known else fresh[n] for n, label in after.items()}
