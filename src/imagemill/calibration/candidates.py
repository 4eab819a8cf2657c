"""What the candidates among a dataset's own images score, copies or not."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill import match
from imagemill.calibration.trial import best_scores
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.match.hamming import TooManyError
from imagemill.match.likely import likely
from imagemill.match.pictures import Pictures

LARGE = 20_000  # pictures beyond which only some are compared with all
SOME = 5_000  # of so many
MOST = 200_000  # pairs that are verified; of more, some are
CANDIDATES = 50_000_000  # that can be looked at
SEED = 2


class Among(NamedTuple):
    """The candidates that were looked at."""

    scores: pl.DataFrame
    """``perceptual``, ``together``, as in ``trial.TRIED``: a row a pair of pictures."""
    share: float
    """Of the candidates of the whole dataset that these are."""


def among(shown: Pictures, config: match.Config, engine: Engine) -> Among:
    """Return the scores of the candidate pairs of a dataset's pictures, or of some of them."""
    count = len(shown.names)
    new, share = np.arange(count), 1.0
    if count > LARGE:
        new = _some(count, SOME)
        share = 1 - (count - SOME) * (count - SOME - 1) / (count * (count - 1))
    near = _likely(shown, new, config)
    pairs = near.select("left", "right").unique(maintain_order=True)
    if len(pairs) > MOST:
        near = near.join(pairs[_some(len(pairs), MOST)], on=["left", "right"], how="semi")
        share *= MOST / len(pairs)
    empty = pl.DataFrame(schema=match.PAIRED)
    scored = pl.concat([empty, *match.scored(shown, near, engine)])
    return Among(best_scores(scored).sort("left", "right"), share)


def _some(count: int, number: int) -> NDArray[np.int64]:
    """Return so many of the numbers up to ``count``, drawn evenly, sorted."""
    drawn = np.random.default_rng(SEED).choice(count, number, replace=False)
    return np.sort(drawn).astype(np.int64)


def _likely(shown: Pictures, new: NDArray[np.int64], config: match.Config) -> pl.DataFrame:
    try:
        return likely(shown, new, config, CANDIDATES)
    except TooManyError as error:
        raise BuildError(
            f"calibrate: more than {CANDIDATES:,} pairs of images may be copies, many of them look "
            f"like image {shown.digests[error.index][0]}. Leave such images out with "
            "`sources.<name>.exclude`, or lower `match.radius` or `match.keypoint_radius`."
        ) from error
