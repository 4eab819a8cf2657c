"""The number of different images that reach a score is told from candidates that nobody judged."""

import numpy as np
import polars as pl
import pytest

from imagemill.calibration.candidates import Among
from imagemill.calibration.learning import Asked, learned
from imagemill.calibration.tail import LEAST, fitted, wilson

COPIES = (2.8, 0.6)  # mean and deviation of z of planted copies, as photographs have them


def drawn(mean: float, deviation: float, count: int, seed: int = 0) -> np.ndarray:
    return np.tanh(np.random.default_rng(seed).normal(mean, deviation, count).clip(-4.9, 4.9))


PLANTED = drawn(*COPIES, 1600, seed=9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("copies", [0, 30, 1000])
@pytest.mark.parametrize(("mean", "deviation"), [(0.4, 0.3), (0.8, 0.3)])
def test_the_interval_holds_what_is_there_whatever_the_copies(
    mean: float, deviation: float, copies: int, seed: int
) -> None:
    others = drawn(mean, deviation, 4000, seed)
    tail = fitted(np.concatenate([others, drawn(*COPIES, copies, seed + 50)]), PLANTED)
    assert tail is not None
    threshold = float(np.quantile(drawn(mean, deviation, 1_000_000), 1 - 20 / 4000))
    expected = tail.above(threshold)
    low, high = np.percentile(expected[1:], [2.5, 97.5])
    assert low <= 20 <= 1.2 * high
    assert expected[0] == pytest.approx(20, rel=0.4)


def test_fewer_are_expected_from_a_higher_score_on() -> None:
    tail = fitted(drawn(0.6, 0.3, 3000), PLANTED)
    assert tail is not None
    expected = [tail.above(score)[0] for score in np.linspace(tail.least, 0.999, 50)]
    assert expected == sorted(expected, reverse=True)


def test_a_score_is_the_likelier_a_copys_the_higher_it_is() -> None:
    tail = fitted(np.concatenate([drawn(0.5, 0.3, 3000), drawn(*COPIES, 100)]), PLANTED)
    assert tail is not None
    assert tail.copies[0] < 0.1
    assert tail.copies[-1] > 0.9


def test_what_copies_cannot_score_so_often_are_other_images() -> None:
    """Candidates at 0.93 +- 0.03, and hardly any where most copies are."""
    alike = np.random.default_rng(1).normal(1.65, 0.2, 2000)
    tail = fitted(np.tanh(alike), PLANTED)
    assert tail is not None
    threshold = max(0.96, tail.least)
    there = (np.tanh(alike) >= threshold).sum()
    assert tail.above(threshold)[0] == pytest.approx(there, rel=0.5, abs=5)


def test_too_few_candidates_say_nothing() -> None:
    scores = np.full(LEAST - 1, 0.5)
    assert fitted(scores, PLANTED) is None
    assert fitted(np.append(scores, 0.5), PLANTED) is not None


def test_where_nearly_all_candidates_are_copies_the_threshold_stays() -> None:
    """Resized copies of one photo: all score above the last threshold that there is."""
    scores = np.tanh(np.random.default_rng(0).normal(4.75, 0.05, 435))
    among = Among(pl.DataFrame({"perceptual": scores, "together": scores}), 1.0)
    rows = {"perceptual": PLANTED, "together": PLANTED}
    tried = pl.DataFrame({"digest": "a", "kind": "crop", **rows})
    found = learned(among, tried, Asked(target=0.99, shipped=0.8, made_for={}, images=30))
    assert (found.min_score, found.reached, found.precision["together"]) == (0.8, None, None)


def test_equal_scores_give_equal_tails() -> None:
    scores = drawn(0.5, 0.3, 500)
    one, other = (fitted(each, PLANTED) for each in (scores, scores[::-1]))
    assert one is not None
    assert other is not None
    assert (one.others == other.others).all()


@pytest.mark.parametrize(
    ("found", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_intervals_are_those_of_wilson(found: int, of: int, low: float, high: float) -> None:
    """The last is an example of R. Newcombe, "Two-sided confidence intervals" (1998)."""
    share, *interval = wilson(found, of)
    assert share == found / of
    assert interval == pytest.approx([low, high], abs=1e-4)
