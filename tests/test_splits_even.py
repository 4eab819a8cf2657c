"""The bounds of the even draw, label by label and over all, on units of any number and count."""

from collections.abc import Callable

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill.splits import even, mend
from imagemill.splits.draw import Floats, Ints

SHARES = ([0.8, 0.2], [0.5, 0.5], [0.99, 0.01], [0.8, 0.1, 0.1], [0.34, 0.33, 0.33], [0.25] * 4)
shares = st.sampled_from([np.array(each) for each in SHARES])

Units = list[tuple[int, int]]
"""Label and samples of each unit."""

small = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=60)
singles = st.lists(st.integers(0, 12), max_size=150).map(lambda of: [(label, 1) for label in of])
one_label = st.one_of(small, singles)


def drawn(units: Units, shares: Floats, fixed: Ints | None = None, *, spread: bool) -> Ints:
    """Return what each split has of each label in the end."""
    labels = max((label for label, _ in units), default=-1) + 1
    fixed = np.zeros((max(labels, 1), len(shares)), np.int64) if fixed is None else fixed
    parts = pl.DataFrame(
        {
            "unit": range(len(units)),
            "label": [label for label, _ in units],
            "count": [count for _, count in units],
        },
        schema={"unit": pl.Int64, "label": pl.Int64, "count": pl.Int64},
    )
    numbers = np.random.default_rng(0).random(len(units))
    found = even.draw(parts, numbers, fixed, shares, spread=spread)
    have = fixed.copy()
    for (label, count), split in zip(units, found.tolist(), strict=True):
        assert split >= 0
        have[label, split] += count
    return have


def largest(units: Units, label: int) -> int:
    return max((count for each, count in units if each == label), default=0)


@settings(max_examples=300)
@given(one_label, shares, st.booleans(), st.data())
def test_no_split_gets_a_whole_unit_beyond_its_share_of_a_label(units, shares, spread, data):
    cell = st.integers(0, 12)
    rows = st.lists(st.lists(cell, min_size=len(shares), max_size=len(shares)), min_size=13)
    some = data.draw(st.one_of(st.none(), rows))
    fixed = None if some is None else np.array(some[:13])
    have = drawn(units, shares, fixed, spread=spread)
    before = np.zeros_like(have) if fixed is None else fixed
    for label, there in enumerate(have):
        bound = shares * there.sum() + largest(units, label)
        assert all((there == before[label]) | (there < bound))


@settings(max_examples=200)
@given(one_label, st.sampled_from([0.5, 0.8, 0.99]), st.booleans())
def test_of_two_splits_neither_is_a_unit_off_its_share_of_a_label(units, share, spread):
    have = drawn(units, np.array([share, 1 - share]), spread=spread)
    for label, there in enumerate(have):
        off = abs(there[0] - share * there.sum())
        assert off < largest(units, label) or not there.sum()


@settings(max_examples=200)
@given(singles, st.sampled_from([0.5, 0.8, 0.99]))
def test_of_two_splits_neither_is_an_image_off_its_share_of_all_where_no_unit_has_two(units, share):
    have = drawn(units, np.array([share, 1 - share]), spread=False).sum(axis=0)
    assert abs(have[0] - share * len(units)) < 1


@settings(max_examples=200)
@given(one_label, shares, st.data())
def test_a_label_with_a_unit_for_each_split_is_in_every_split(units, shares, data):
    cell = st.integers(0, 1)
    rows = st.lists(st.lists(cell, min_size=len(shares), max_size=len(shares)), min_size=13)
    fixed = np.array(data.draw(rows)[:13])
    have = drawn(units, shares, fixed, spread=True)
    for label, there in enumerate(have):
        coming = sum(each == label for each, _ in units)
        if coming >= (fixed[label] == 0).sum():
            assert all(there > 0)
        else:
            assert (there > 0).sum() == (fixed[label] > 0).sum() + coming


def level_by_search(have: list[int], least: list[int], coming: int, shares: list[float]) -> Floats:
    def at(level: float) -> Floats:
        return np.maximum(least, level * np.array(shares) - np.array(have))

    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle).sum() < coming else (low, middle)
    return at(high)


@given(shares, st.integers(0, 40), st.data())
def test_what_is_coming_lifts_every_split_to_one_level(shares, coming, data):
    amount: Callable[[int], st.SearchStrategy[list[int]]] = lambda top: st.lists(  # noqa: E731
        st.integers(0, top), min_size=len(shares), max_size=len(shares)
    )
    have, least = data.draw(amount(30)), data.draw(amount(1))
    coming += sum(least)
    found = even._level(np.array([have]), np.array([least]), np.array([coming]), shares)
    assert np.allclose(found.sum(), coming)
    if coming > sum(least):
        assert np.allclose(found, level_by_search(have, least, coming, shares), atol=1e-6)


mixed = st.lists(
    st.dictionaries(st.integers(0, 4), st.integers(1, 6), min_size=1, max_size=3), max_size=25
)


def amounts(units: list[dict[int, int]]) -> pl.DataFrame:
    rows = [(n, label, unit[label]) for n, unit in enumerate(units) for label in sorted(unit)]
    return pl.DataFrame(
        rows, schema=dict.fromkeys(("unit", "label", "count"), pl.Int64), orient="row"
    )


def chi_square(found: Ints, units: list[dict[int, int]], shares: Floats, fixed: Ints) -> float:
    have = np.vstack([fixed, fixed.sum(axis=0)]).astype(float)
    for unit, split in zip(units, found.tolist(), strict=True):
        for label, count in unit.items():
            have[[label, -1], split] += count
    goal = have.sum(axis=1, keepdims=True) * shares
    return float(np.sum((have - goal) ** 2 / np.maximum(goal, 1e-300)))


@settings(max_examples=200)
@given(mixed, shares, st.booleans(), st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_mending_brings_shares_nearer_and_moves_only_units_of_several_labels(
    units, shares, spread, there
):
    fixed = np.array(there).reshape(5, 4)[:, : len(shares)]
    numbers = np.random.default_rng(0).random(len(units))
    given_to_both = (amounts(units), numbers, fixed, shares)
    before = even.draw(*given_to_both, spread=spread)
    after = mend.mend(before, *given_to_both, spread=spread)
    moved = np.flatnonzero(before != after)
    assert all(len(units[n]) > 1 for n in moved)
    worse = chi_square(before, units, shares, fixed)
    assert chi_square(after, units, shares, fixed) <= worse - (1e-9 if len(moved) else 0)


def test_a_unit_stays_where_a_label_is_by_it_alone():
    units = [{0: 1, 1: 9}, {0: 9}, {0: 9}, {1: 3}]
    fixed, shares = np.zeros((2, 2), np.int64), np.array([0.9, 0.1])
    found = np.array([1, 0, 0, 0])
    given_to_both = (amounts(units), np.zeros(4), fixed, shares)
    assert mend.mend(found, *given_to_both, spread=True).tolist() == [1, 0, 0, 0]
    assert mend.mend(found, *given_to_both, spread=False).tolist() == [0, 0, 0, 0]
