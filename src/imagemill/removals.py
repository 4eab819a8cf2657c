"""A removal list and a relabel map for training code; ``leaks`` and ``deliver`` both write them.

The cleaning guide's loader reads the list with ``int(line.strip())`` and the map with
``relabel_map.get(str(row))``. What an image is called there is for the caller to say.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from imagemill.files import replacing

REMOVED, RELABELLED = "removal_list.txt", "relabel_map.json"


def write(
    folder: Path, gone: Iterable[str], relabelled: Mapping[str, str | int], prefix: str = ""
) -> tuple[int, int]:
    """Write both files, their names after ``prefix``; return how many each names.

    An id stands on one line, once; numbers come in the order of their values, before names.
    """
    lines = ordered(set(gone))
    with replacing(folder / f"{prefix}{REMOVED}") as part:
        part.write_text("".join(f"{_line(each)}\n" for each in lines), encoding="utf-8")
    told = {each: relabelled[each] for each in ordered(relabelled)}
    with replacing(folder / f"{prefix}{RELABELLED}") as part:
        text = json.dumps(told, indent=2, ensure_ascii=False)
        part.write_text(f"{text}\n", encoding="utf-8")
    return len(lines), len(told)


def ordered(ids: Iterable[str]) -> list[str]:
    """Return ids sorted, numbers by their value."""
    return sorted(ids, key=lambda each: (0, int(each), each) if each.isdecimal() else (1, 0, each))


def _line(name: str) -> str:
    """Return an id as one line: a break within it would make two of it."""
    return name.replace("\n", "\\n").replace("\r", "\\r")
