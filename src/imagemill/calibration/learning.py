"""Find the threshold that keeps a promised precision, and what it costs."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.calibration import Band, Calibration, Estimate, Settings
from imagemill.calibration.candidates import Among
from imagemill.calibration.edits import KINDS
from imagemill.calibration.tail import STEP, Tail, fitted, wilson

LEAST = 0.7  # threshold, at least: with less of it in common, two pictures are not one photo
THRESHOLDS = (*(n / 100 for n in range(70, 100)), 0.992, 0.994, 0.996, 0.998, 0.999)
"""Of which one is chosen."""
UNSURE = (0.1, 0.9)
"""Probabilities between which a pair is too close to call."""
COPIES = 0.01
"""Copies an image that a dataset is taken to have at least: a precision is of something found."""
INTERVAL = (2.5, 97.5)  # percent
DECIMALS = 4

Floats = NDArray[np.float64]


class Asked(NamedTuple):
    """What a calibration is to be."""

    target: float
    shipped: float
    made_for: Settings
    images: int
    """Distinct pictures with texture of the dataset."""

    @property
    def copies(self) -> float:
        """The least number of pairs that a precision is of."""
        return max(1.0, COPIES * self.images)


def learned(among: Among, tried: pl.DataFrame, asked: Asked) -> Calibration:
    """Return the calibration by what candidates score and what planted edits do (``TRIED``)."""
    scores, copies = _numbers(among.scores["together"]), _numbers(tried["together"])
    tail = fitted(scores, copies)
    chosen, reached = asked.shipped, None
    if tail is not None:
        chosen, reached = _threshold(tail, scores, among.share, asked)
    band = None if tail is None else _band(tail)
    close = scores[(scores >= band.low) & (scores < chosen)] if band else scores[:0]
    return Calibration(
        format=1,
        target=asked.target,
        min_score=chosen,
        shipped=asked.shipped,
        reached=reached,
        precision={
            **_precisions(among, tried, chosen, asked.copies),
            "together": _precision(tail, scores, among.share, asked.copies, chosen),
        },
        copies=asked.copies,
        recall=_recalls(tried, chosen),
        recall_of=_recall_of(tried, chosen),
        before=(
            _precision(tail, scores, among.share, asked.copies, asked.shipped),
            _recalls(tried, asked.shipped)["together"],
        ),
        close=band,
        close_below=round(len(close) / among.share),
        candidates=round(len(scores) / among.share),
        images=asked.images,
        edited=tried["digest"].n_unique(),
        made_for=asked.made_for,
    )


def _numbers(scores: pl.Series) -> Floats:
    return scores.drop_nulls().to_numpy().astype(np.float64)


def precision(tail: Tail, scores: Floats, share: float, least: float, threshold: float) -> Estimate:
    """Return the expected share of copies among the pairs found from ``threshold`` on.

    ``share`` of all candidates have these ``scores``. Where fewer than ``least`` pairs are found,
    it is of so many.
    """
    found = max(least, float((scores >= threshold).sum()) / share)
    right = 1 - np.minimum(1, tail.above(threshold) / share / found)
    low, high = np.percentile(right[1:], INTERVAL)
    return _estimate(float(right[0]), float(low), float(high))


def _estimate(value: float, low: float, high: float) -> Estimate:
    low, high = min(low, value), max(high, value)
    return Estimate(value=_round(value), low=_round(low), high=_round(high))


def _round(value: float) -> float:
    return round(value, DECIMALS)


def _threshold(tail: Tail, scores: Floats, share: float, asked: Asked) -> tuple[float, bool | None]:
    """Return the least threshold with that precision at the lower end, and whether there is one.

    The shipped one and None where the tail begins above all, as it does where nearly all
    candidates are copies.
    """
    usable = [each for each in THRESHOLDS if each >= max(LEAST, tail.least)]
    if not usable:
        return asked.shipped, None
    lows = [precision(tail, scores, share, asked.copies, each).low for each in usable]
    reached = [each for each, low in zip(usable, lows, strict=True) if low >= asked.target]
    return (reached or [usable[int(np.argmax(lows))]])[0], bool(reached)


def _band(tail: Tail) -> Band | None:
    """Return the scores at which a candidate is neither surely a copy nor surely none."""
    unsure = (tail.copies >= UNSURE[0]) & (tail.copies <= UNSURE[1])
    at = np.flatnonzero(unsure)
    if not len(at):
        return None
    low, high = np.tanh((tail.first + np.array([at[0], at[-1] + 1])) * STEP)
    return Band(low=_round(float(low)), high=_round(float(high)))


def _precision(
    tail: Tail | None, scores: Floats, share: float, least: float, threshold: float
) -> Estimate | None:
    if tail is None or threshold < tail.least:
        return None
    return precision(tail, scores, share, least, threshold)


def _precisions(
    among: Among, tried: pl.DataFrame, chosen: float, least: float
) -> dict[str, Estimate | None]:
    """Return the precision of each tier that there are candidates of."""
    only = pl.col("perceptual").is_null()
    tiers = {"perceptual": (~only, tried), "semantic": (only, tried.filter(only))}
    found: dict[str, Estimate | None] = {}
    for tier, (of, copies) in tiers.items():
        scores = _numbers(among.scores.filter(of)["together"])
        tail = fitted(scores, _numbers(copies["together"]))
        found[tier] = _precision(tail, scores, among.share, least, chosen)
    if not len(among.scores.filter(only)):
        del found["semantic"]
    return found


def _recalls(tried: pl.DataFrame, chosen: float) -> dict[str, Estimate]:
    """Return the share of edits found by each tier; ``semantic`` has what it alone finds."""
    together = (pl.col("together") >= chosen).fill_null(value=False)
    perceptual = (pl.col("perceptual") >= chosen).fill_null(value=False)
    ways = {"perceptual": perceptual, "semantic": together & ~perceptual, "together": together}
    return {name: _recall(tried, found) for name, found in ways.items()}


def _recall_of(tried: pl.DataFrame, chosen: float) -> dict[str, Estimate]:
    found = (pl.col("together") >= chosen).fill_null(value=False)
    kinds: Mapping[str, pl.DataFrame] = {kind: tried.filter(kind=kind) for kind in KINDS}
    return {kind: _recall(rows, found) for kind, rows in kinds.items() if len(rows)}


def _recall(tried: pl.DataFrame, found: pl.Expr) -> Estimate:
    return _estimate(*wilson(int(tried.select(found.sum()).item()), len(tried)))
