"""Which number is which label: the file that says so, and how two label maps differ."""

from collections.abc import Mapping, Sequence

FILE = "labels.json"
"""Beside the data of every package: its labels in the order of their numbers. Pinned ones that no
image has are there too, which no manifest could say."""

SHOWN = 10  # lines of a difference


def difference(before: Mapping[int, str], after: Mapping[int, str]) -> list[str]:
    """Return the lines of a diff of two label maps; none where ``before`` still holds.

    Numbers that are new in ``after`` are no change for who knows ``before``, but they are listed
    where anything else is.
    """
    if before.items() <= after.items():
        return []
    return [
        f"  {sign} {number},{label}"
        for number in sorted({*before, *after})
        if before.get(number) != after.get(number)
        for sign, label in (("-", before.get(number)), ("+", after.get(number)))
        if label is not None
    ]


def shown(lines: Sequence[str]) -> str:
    """Return a difference as text, the first lines of a long one."""
    more = f"\n  ... and {len(lines) - SHOWN:,} lines more" if len(lines) > SHOWN else ""
    return "\n".join(lines[:SHOWN]) + more
