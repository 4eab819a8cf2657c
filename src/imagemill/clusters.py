"""The two ways in which pairs become sets; ``clean`` and ``leaks`` use nothing else.

``stars`` is for taking images out: each one that goes is itself paired with the one that stays,
so unlike images are never chained together. ``connected`` is for holding images together: there
a chain does no harm, and a missed link would.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


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
    listed = list(pairs)
    items = sorted({item for pair in listed for item in pair})
    number = {item: at for at, item in enumerate(items)}
    a, b = ([number[pair[side]] for pair in listed] for side in (0, 1))
    least = components(len(items), np.array(a, np.int64), np.array(b, np.int64))
    return {item: items[at] for item, at in zip(items, least.tolist(), strict=True)}


def components(count: int, a: Numbers, b: Numbers) -> Numbers:
    """Return for each of ``count`` numbered items the least that it is connected with.

    ``a[i]`` and ``b[i]`` are connected. Each round hooks roots on lesser roots beside them and
    flattens the trees, so that chains of any length take a few rounds (after Shiloach and
    Vishkin 1982).
    """
    root = np.arange(count, dtype=np.int64)
    while len(a):
        high, low = np.maximum(root[a], root[b]), np.minimum(root[a], root[b])
        apart = high != low
        a, b = a[apart], b[apart]
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(root, flatter := root[root]):
            root = flatter
    return root
