"""Which pairs of pictures are worth to be verified, from all that hints at a copy.

Each hint is a property of the two pictures alone, and all pairs that have it are found.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.match import vectors, votes
from imagemill.match.candidates import NEAR, candidates
from imagemill.match.hamming import TooManyError
from imagemill.match.pictures import Pictures
from imagemill.match.settings import Config
from imagemill.tables import INVERSE, TRANSFORMS

LIKELY = {**NEAR, "semantic": pl.Boolean}
"""As ``candidates.NEAR``; ``semantic`` where only the embeddings hint at it."""

MATCHES = 200_000_000  # keypoints that look alike, of a block of pictures: a few GB

Rows = NDArray[np.int64]


def likely(shown: Pictures, new: Rows, config: Config, most: int) -> pl.DataFrame:
    """Return the pairs, one at least of them ``new``, that may be copies, as ``LIKELY``, sorted.

    Raises ``hamming.TooManyError``, with the row of a picture that is in many, when of a kind
    there are more than ``most``.
    """
    near = candidates(shown.hashes, new, config.radius, most)
    found = [near.with_columns(semantic=pl.lit(value=False))]
    for pairs, semantic in _others(shown, new, config, most):
        rows = pairs.with_columns(_distance(shown, pairs), semantic=pl.lit(semantic))
        found.append(rows.select(*LIKELY))
    whole = pl.concat(found).sort("left", "right", "number", "semantic")
    return whole.unique(["left", "right", "number"], keep="first", maintain_order=True)


def _others(
    shown: Pictures, new: Rows, config: Config, most: int
) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Yield pairs, as ``votes.VOTED``, and whether they are semantic ones."""
    if not len(new):
        return
    if len(shown.points.hashes):
        yield votes.voted(shown.points, new, config.keypoint_radius, MATCHES), False
    if len(shown.tiny):
        for transform, other in (("none", shown.colours), ("flip", shown.colours[:, :, ::-1])):
            pairs = _alike_in_colour(shown, other, new, config, most)
            yield pairs.with_columns(_named(transform)), False
    if shown.embeddings.shape[1]:
        found = vectors.alike(shown.embeddings, shown.embeddings, new, config.min_similarity, most)
        # A model sees a mirrored copy as much the same; which of the two it is, is to be verified.
        yield pl.concat([found.with_columns(_named(each)) for each in ("none", "flip")]), True


def _alike_in_colour(
    shown: Pictures, other: NDArray[np.float32], new: Rows, config: Config, most: int
) -> pl.DataFrame:
    """Return the pairs of tiny pictures whose colours, the one's as in ``other``, are alike."""
    fresh = np.flatnonzero(np.isin(shown.tiny, new))
    one, other = (each.reshape(len(shown.tiny), -1) for each in (shown.colours, other))
    try:
        pairs = vectors.alike(one, other, fresh, config.min_colours, most)
    except TooManyError as error:
        raise TooManyError(int(shown.tiny[error.index])) from error
    owners = {side: shown.tiny[pairs[side].to_numpy()] for side in ("left", "right")}
    return pl.DataFrame(owners, vectors.ALIKE)


def _named(transform: str) -> pl.Expr:
    return pl.lit(TRANSFORMS.index(transform), pl.Int64).alias("number")


def _distance(shown: Pictures, pairs: pl.DataFrame) -> pl.Series:
    """Return in how many bits the hashes differ, the better way round, as in ``candidates``."""
    left, right, number = (pairs[name].to_numpy() for name in ("left", "right", "number"))
    forth = np.bitwise_count(shown.hashes[left, 0] ^ shown.hashes[right, number])
    back = np.bitwise_count(shown.hashes[right, 0] ^ shown.hashes[left, np.array(INVERSE)[number]])
    return pl.Series("distance", np.minimum(forth, back).astype(np.int64))
