"""Stars never chain; connected sets always do. Neither depends on the order of pairs."""

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imagemill import clusters

ITEMS = "abcdefgh"
edges = st.sets(st.sampled_from(list(combinations(ITEMS, 2))))


def both_ways(pairs):
    return {frozenset(pair) for pair in pairs}


def test_the_best_of_a_chain_takes_only_its_neighbour():
    assert clusters.stars("abc", [("a", "b"), ("b", "c")]) == {"b": "a"}
    assert clusters.stars("bac", [("a", "b"), ("b", "c")]) == {"a": "b", "c": "b"}


@given(edges, st.permutations(ITEMS), st.randoms())
def test_each_item_that_goes_is_paired_with_the_one_that_stays_for_it(pairs, ranked, chance):
    taken = clusters.stars(ranked, pairs)
    assert all(frozenset(pair) in both_ways(pairs) for pair in taken.items())
    assert not set(taken) & set(taken.values())
    assert all(ranked.index(stays) < ranked.index(goes) for goes, stays in taken.items())
    left = set(ITEMS) - set(taken)
    assert not any(set(pair) <= left for pair in pairs)
    shuffled = [pair if chance.random() < 0.5 else pair[::-1] for pair in pairs]
    chance.shuffle(shuffled)
    assert clusters.stars(ranked, shuffled) == taken


@given(edges, st.randoms())
def test_connected_items_are_named_by_the_least_of_them(pairs, chance):
    found = clusters.connected(pairs)
    assert set(found) == {item for pair in pairs for item in pair}
    assert all(found[a] == found[b] for a, b in pairs)
    for name in set(found.values()):
        reached, more = set(), {name}
        while more:
            reached |= more
            more = {x for pair in pairs for x in pair if set(pair) & reached} - reached
        assert {item for item in found if found[item] == name} == reached
        assert min(reached) == name
    shuffled = [pair if chance.random() < 0.5 else pair[::-1] for pair in pairs]
    chance.shuffle(shuffled)
    assert clusters.connected(shuffled) == found


def test_a_long_chain_is_one_set():
    names = [f"{n:05}" for n in range(20_000)]
    chain = list(pairwise(names))
    assert set(clusters.connected(chain[::-1]).values()) == {"00000"}
    assert set(clusters.connected(chain).values()) == {"00000"}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_numbered_items_are_connected_as_named_ones_are(pairs):
    a, b = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    found = clusters.components(31, a, b).tolist()
    named = clusters.connected([(f"{left:02}", f"{right:02}") for left, right in pairs])
    assert found == [int(named.get(f"{item:02}", item)) for item in range(31)]
