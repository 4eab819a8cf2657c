"""The search for near hashes misses nothing, whatever the hashes are like."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagemill.match import hamming
from imagemill.match.bands import Hashes, even, permuted, plan, undone
from imagemill.match.hamming import Found, TooManyError

MANY = 10_000_000


def flipped(hashes: Hashes, most: int, seed: int) -> Hashes:
    """The hashes with up to ``most`` bits of each turned over."""
    numbers = np.random.default_rng(seed)
    result = hashes.copy()
    for _ in range(most):
        one = np.uint64(1) << numbers.integers(0, 64, len(hashes), dtype=np.uint64)
        result ^= one * numbers.integers(0, 2, len(hashes), dtype=np.uint64)
    return result


def uniform(count: int, seed: int = 0) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def planted(count: int) -> Hashes:
    """Half of them near another one."""
    half = uniform(count // 2)
    return np.concatenate([half, flipped(half, 12, seed=1)])


def clustered(count: int) -> Hashes:
    """Around few centres, as the photos of few scenes are."""
    return flipped(np.repeat(uniform(20), count // 20), 16, seed=2)


def skewed(count: int) -> Hashes:
    """Some bits nearly always alike, some always, some twice the same."""
    few = uniform(count) & uniform(count, 1) & uniform(count, 2) & uniform(count, 3)
    some = uniform(count, 4) & np.uint64(0x0FF0_0000_00FF_FF00)
    return few & np.uint64(0xFFFF_0000) | some | some >> np.uint64(8)


KINDS = {"uniform": uniform, "planted": planted, "clustered": clustered, "skewed": skewed}


def shuffled(hashes: Hashes) -> Hashes:
    return np.random.default_rng(9).permutation(np.unique(hashes))


def brute(base: Hashes, query: Hashes, radius: int) -> np.ndarray:
    """All pairs within the radius, by comparing all; (3, n), in order."""
    found = []
    for place, each in enumerate(base):
        distance = np.bitwise_count(query ^ each)
        at = np.flatnonzero(distance <= radius)
        found.append(np.stack([np.full(len(at), place), at, distance[at]]))
    return np.concatenate([np.empty((3, 0), np.int64), *found], axis=1)


def same(found: Found, expected: np.ndarray) -> bool:
    return np.array_equal(np.stack(found), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_within_a_radius_are_those_of_a_full_comparison_of_20_000(kind):
    hashes = shuffled(KINDS[kind](20_000))
    every = brute(hashes, hashes, 10)
    every = every[:, every[0] < every[1]]
    for radius in (0, 1, 5, 8, 10):
        expected = every[:, every[2] <= radius]
        assert same(hamming.within(hashes, radius, MANY), expected)
    assert kind == "uniform" or expected.shape[1] > 5_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("radius", [3, 8])
def test_pairs_of_two_sets_are_those_of_a_full_comparison(kind, radius):
    hashes = shuffled(KINDS[kind](8_000))
    base, query = hashes[: len(hashes) // 2], flipped(hashes[::2], 4, seed=3)
    query = np.unique(query)
    assert same(hamming.near(base, query, radius, MANY), brute(base, query, radius))


def test_one_hash_is_compared_with_many_at_once():
    base, query = shuffled(planted(200_000)), uniform(1, seed=5)
    base[77] = query[0] ^ np.uint64(0b1011)
    assert same(hamming.near(base, query, 5, MANY), np.array([[77], [0], [3]]))


corner = st.sampled_from([0, 2**64 - 1, 1, 2**63, 0x5555_5555_5555_5555, 2**32 - 1])
masks = st.sets(st.integers(0, 63), max_size=20).map(lambda bits: sum(1 << bit for bit in bits))


@given(
    st.lists(st.integers(0, 2**64 - 1) | corner, min_size=1, max_size=6),
    st.lists(masks, max_size=12),
    st.integers(0, 16),
)
@example([0], [], 0)
@example([0], [0], 16)
@settings(max_examples=150)
def test_no_near_hash_is_missed_at_any_radius(centres, flips, radius):
    around = [centre ^ flip for centre in centres for flip in (0, *flips)]
    hashes = np.unique(np.array(around, np.uint64))
    every = brute(hashes, hashes, radius)
    assert same(hamming.near(hashes, hashes[::-1], radius, MANY), mirrored(every, len(hashes)))
    assert same(hamming.within(hashes, radius, MANY), every[:, every[0] < every[1]])


def mirrored(pairs: np.ndarray, count: int) -> np.ndarray:
    other = np.stack([pairs[0], count - 1 - pairs[1], pairs[2]])
    return other[:, np.lexsort((other[1], other[0]))]


@pytest.mark.parametrize("radius", range(17))
@pytest.mark.parametrize("count", [40_000, 10_000_000])
def test_every_plan_has_each_pair_in_exactly_one_choice(radius, count):
    """Plans depend on the number of hashes; the pairs here are judged by their bits alone."""
    base = np.broadcast_to(uniform(4096), (count // 4096, 4096)).reshape(-1)
    differing = flipped(np.zeros(500, np.uint64), radius, seed=radius)
    choices = plan(base, None, radius)
    firsts = np.sum([choice.first(differing) for choice in choices], axis=0)
    assert (firsts == 1).all()


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_a_permutation_of_bits_is_undone(numbers):
    hashes = np.array(numbers, np.uint64)
    evened = even(hashes)
    moved = permuted(hashes, evened)
    assert (permuted(moved, undone(evened)) == hashes).all()
    assert (np.bitwise_count(moved) == np.bitwise_count(hashes)).all()


@pytest.mark.parametrize("search", ["within", "near"])
def test_more_pairs_than_asked_for_are_refused_with_one_that_has_many(search):
    ball = np.uint64(1) << np.arange(64, dtype=np.uint64)  # all within two bits of each other
    far = ~uniform(500)
    hashes = np.concatenate([far, ball])

    def run(most: int) -> Found:
        if search == "within":
            return hamming.within(hashes, 2, most)
        return hamming.near(hashes, ball, 2, most)

    exact = len(run(MANY)[0])
    assert len(run(exact)[0]) == exact
    with pytest.raises(TooManyError) as refused:
        run(exact - 1)
    assert refused.value.index >= len(far)


def test_no_hashes_have_no_pairs():
    none = np.empty(0, np.uint64)
    for radius in (0, 8):
        assert len(hamming.within(none, radius, 1)[0]) == 0
        assert len(hamming.near(none, uniform(3), radius, 1)[0]) == 0
        assert len(hamming.near(uniform(3), none, radius, 1)[0]) == 0
