"""What hints at a copy is a matter of two pictures, and all pairs that have it are found."""

import random
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps
from PIL.Image import Transpose

from imagemill.match import vectors, votes
from imagemill.match.hamming import TooManyError
from imagemill.match.pictures import pictures
from imagemill.measure.functions import Models
from imagemill.measure.keypoints import Sift
from imagemill.tables import TRANSFORMS
from tests import make
from tests.test_match import CONFIG, PHOTOGRAPHS, TURNS, find, measured, only, photograph, turned

SIFT = Models(None, Sift(kind="sift", most=64))
BLOCKS = 4  # vectors of a block, so that a few dozen fill several


def vectored(seed: int, count: int, wide: int = 24) -> np.ndarray:
    """Unit vectors, a third of them near copies of others."""
    made = np.random.default_rng(seed)
    found = made.normal(size=(count, wide))
    copies = made.integers(0, count, count // 3)
    found[: len(copies)] = found[copies] + 0.2 * made.normal(size=(len(copies), wide))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def near(one: np.ndarray, other: np.ndarray, new: set[int], least: float) -> set[tuple[int, int]]:
    """All pairs by the definition, one by one."""
    return {
        (i, j)
        for i, j in combinations(range(len(one)), 2)
        if {i, j} & new and vectors.cosines(one[i : i + 1], other[j : j + 1])[0] >= least
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_vectors_alike_are_those_of_all_pairs_compared_one_by_one(monkeypatch, seed, share):
    monkeypatch.setattr(vectors, "BLOCK", BLOCKS)
    one = vectored(seed, 30)
    other = one[:, ::-1].copy() if seed % 2 else one
    new = sorted(random.Random(seed).sample(range(30), round(30 * share)))
    found = vectors.alike(one, other, np.array(new, np.int64), 0.6, 1000)
    assert found.rows() == sorted(near(one, other, set(new), 0.6))


def test_too_many_alike_are_refused_with_one_that_is_in_many(monkeypatch):
    monkeypatch.setattr(vectors, "BLOCK", BLOCKS)
    one = np.eye(40, dtype=np.float16)
    one[5:25] = one[5]
    with pytest.raises(TooManyError) as error:
        vectors.alike(one, one, np.arange(40), 0.9, 100)
    assert 5 <= error.value.index < 25


def test_cosines_do_not_depend_on_what_stands_beside():
    one, other = vectored(1, 50), vectored(2, 50)
    together = vectors.cosines(one, other)
    assert together.tolist() == [
        vectors.cosines(one[n : n + 1], other[n : n + 1])[0] for n in range(50)
    ]


# Keypoints

FRAMED = {
    "cut to half": lambda i: i.crop((0, 0, round(i.width * 0.7), round(i.height * 0.7))),
    "a white frame": lambda i: ImageOps.expand(i, 60, (255, 255, 255)),
    "askew": lambda i: i.rotate(9, Image.Resampling.BICUBIC),
    "mirrored and cut": lambda i: ImageOps.mirror(i).crop((50, 40, i.width, i.height)),
    "on its side in a frame": lambda i: ImageOps.expand(i.transpose(Transpose.ROTATE_90), 50),
}


def voted(images: dict[str, Image.Image]) -> set[tuple[frozenset[str], str]]:
    """Pairs of names whose keypoints agree, with the transform that takes one to the other."""
    shown = pictures(measured(images, SIFT), 6.0)
    names = {make.digest(name): name for name in images}
    rows = votes.voted(shown.points, np.arange(len(shown.names)), 4, 10**6).rows()
    named = [names[each[0]] for each in shown.digests]
    return {(frozenset((named[a], named[b])), TRANSFORMS[number]) for a, b, number in rows}


@pytest.mark.parametrize("transform", sorted(set(TURNS) - {"none"}))
def test_the_keypoints_of_a_turned_copy_agree_on_how_it_was_turned(transform):
    image = photograph("coffee.png").crop((100, 50, 400, 290))
    ways = voted({"a": image, "b": turned(image, transform)})
    inverse = {"rot90": "rot270", "rot270": "rot90"}
    assert {way for _, way in ways} & {transform, inverse.get(transform, transform)}


@pytest.mark.parametrize("change", FRAMED.values(), ids=FRAMED)
def test_copies_that_hashes_miss_are_found_by_keypoints(change):
    originals = {name: photograph(name).crop((40, 40, 340, 340)) for name in PHOTOGRAPHS}
    images = originals | {f"copy of {name}": change(each) for name, each in originals.items()}
    expected = {frozenset([name, f"copy of {name}"]) for name in originals}
    agreed = {pair for pair, _ in voted(images)}
    assert len(agreed & expected) >= 4
    names = {make.digest(name): name for name in images}
    pairs = find(measured(images, SIFT), CONFIG.model_copy(update={"min_score": 0.85}))
    copies = {frozenset(names[each] for each in pair) for pair in pairs.select("a", "b").rows()}
    assert copies <= expected
    assert len(copies) >= 4
    assert len(find(measured(images), CONFIG)) < len(pairs)


def test_votes_do_not_depend_on_which_of_two_is_new_nor_on_others():
    whole = photograph("astronaut.png")
    images = {f"{n}": whole.crop((30 * n, 20 * n, 30 * n + 330, 20 * n + 330)) for n in range(6)}
    images |= {f"{n} mirrored": ImageOps.mirror(image) for n, image in images.items()}
    shown = pictures(measured(images, SIFT), 6.0)
    every = votes.voted(shown.points, np.arange(12), 4, 10**6)
    assert every.height > 20
    for new in range(12):
        rows = votes.voted(shown.points, np.array([new]), 4, 10**6)
        assert rows.equals(every.filter((pl.col("left") == new) | (pl.col("right") == new)))
    few = pictures(only(measured(images, SIFT), sorted(images)[:5]), 6.0)
    there = [index for index, name in enumerate(shown.names) if name in set(few.names)]
    number = {row: at for at, row in enumerate(there)}
    among = {(number[a], number[b], n) for a, b, n in every.rows() if a in number and b in number}
    assert set(votes.voted(few.points, np.arange(5), 4, 10**6).rows()) == among


def test_a_keypoint_that_too_many_share_stops_with_one_that_has_it():
    shown = pictures(
        measured(
            {f"{n}": photograph("coffee.png").crop((n, 0, 300 + n, 300)) for n in range(6)}, SIFT
        ),
        6.0,
    )
    with pytest.raises(TooManyError) as error:
        votes.voted(shown.points, np.arange(6), 4, 50)
    assert 0 <= error.value.index < 6


# Tiny pictures


def test_tiny_copies_are_found_by_their_colours():
    """Of 32 pixels, a hash of a shifted copy is far off."""
    tiny = {}
    for name in PHOTOGRAPHS:
        image = photograph(name).crop((40, 40, 340, 340))
        tiny[name] = image.resize((32, 32), Image.Resampling.BOX)
        tiny[f"copy of {name}"] = image.crop((8, 4, 292, 288)).resize(
            (32, 32), Image.Resampling.BOX
        )
    frames = measured(tiny)
    strict = CONFIG.model_copy(update={"radius": 0, "min_score": 0.8})
    names = {make.digest(name): name for name in tiny}
    found = find(frames, strict)
    copies = {frozenset(names[each] for each in pair) for pair in found.select("a", "b").rows()}
    expected = {frozenset([name, f"copy of {name}"]) for name in PHOTOGRAPHS}
    assert copies <= expected
    assert len(copies) >= 4
    assert find(frames, strict.model_copy(update={"min_colours": 1.0})).height < len(copies)
