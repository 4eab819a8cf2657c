"""The two ways in which pairs become sets; ``clean`` and ``leaks`` use nothing else.

``stars`` is for taking images out: each one that goes is itself paired with the one that stays,
so unlike images are never chained together. ``connected`` is for holding images together: there
a chain does no harm, and a missed link would.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def stars(ranked: Sequence[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map each item that has a better one beside it to the item that stays for it.

    ``ranked`` names all items, best first. The best item not yet taken stays and takes every
    item it is paired with; then the next best that is left, and so on.
    """
    beside: dict[str, list[str]] = {}
    for a, b in pairs:
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    stays: set[str] = set()
    taken: dict[str, str] = {}
    for item in ranked:
        if item in taken or item not in beside:
            continue
        stays.add(item)
        for other in beside[item]:
            if other not in stays:
                taken.setdefault(other, item)
    return taken


def connected(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map each item of any pair to the least item that it is connected with."""
    root: dict[str, str] = {}

    def find(item: str) -> str:
        top = item
        while root.setdefault(top, top) != top:
            top = root[top]
        while root[item] != top:
            root[item], item = top, root[item]
        return top

    for a, b in pairs:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    return {item: find(item) for item in root}
