"""Label suspects: images whose nearest neighbours among the embeddings bear other labels.

The score is the share of the neighbours' likeness that lies under other labels than the image's
own (weighted k nearest neighbours, Dudani 1976). Copies are no witnesses: they may share a wrong
label, and are left out.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill import memo
from imagemill.clean.settings import Suspects
from imagemill.memo import Memo
from imagemill.progress import progress
from imagemill.tables import Dtype

CODE = "label_suspect"

SCALE = 4000
"""Vectors of length 1 are rounded to integers of this length. A product of two, and each sum on
the way to it, is then an integer below 2**24, which float32 holds exactly: the order of adding and
the make of the processor have no say in who is nearest."""

ROWS, COLUMNS = 1024, 8192  # vectors compared at once
SPARE = 8  # neighbours looked for beyond those asked, for copies among them

_PLACE = 1 << 28  # more images than that are not compared

SUSPECTS = {"sample": pl.String, "score": pl.Float64, "suggested": pl.String}
"""Columns of what is found."""

NEIGHBOURS: dict[str, Dtype] = {
    "digest": pl.String,
    "near": pl.List(pl.String),
    "likeness": pl.List(pl.Int32),
}
"""Of each image the most alike, the nearest first; ``likeness`` is the cosine times SCALE squared.
"""


def find(
    rows: pl.DataFrame, embeddings: pl.DataFrame, pairs: pl.DataFrame, config: Suspects, root: Path
) -> pl.DataFrame:
    """Return ``sample``, ``score`` and ``suggested`` of suspect labels, the most suspect first.

    ``rows``: samples with ``digest`` and ``label``; ``embeddings``: ``tables.EMBEDDINGS``;
    ``root``: of the memo, where neighbours are remembered.
    """
    labels = rows.drop_nulls("label").sort("sample").unique("digest", keep="first")
    embedded = embeddings.join(labels, on="digest", how="semi").sort("digest")
    if embedded.is_empty():
        return pl.DataFrame(
            schema={"sample": pl.String, "score": pl.Float64, "suggested": pl.String}
        )
    embedded = embedded.select("digest", "embedding")
    nearest = _remembered(embedded, config.neighbours + SPARE, root)
    scored = _scored(nearest, labels.select("digest", "label"), pairs, config.neighbours)
    found = rows.join(scored, on="digest").filter(
        pl.col("score") >= config.min_score, pl.col("label") != pl.col("suggested")
    )
    return found.select("sample", "score", "suggested").sort(-pl.col("score"), "sample")


def _remembered(embedded: pl.DataFrame, count: int, root: Path) -> pl.DataFrame:
    content = sha256()
    for digest, vector in embedded.iter_rows():
        content.update(digest.encode() + vector)
    parts = {"count": count, "of": content.hexdigest()}
    known = Memo(root, memo.fingerprint("neighbours", 1, **parts), NEIGHBOURS)
    found = known.find(embedded["digest"])
    if len(found) < len(embedded):
        found = neighbours(embedded, count)
        known.add(found)
    return found


def neighbours(embedded: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return ``NEIGHBOURS`` of ``tables.EMBEDDINGS``, which are sorted by digest, exactly.

    Of equally near ones the lesser digest comes first.
    """
    many = min(count, len(embedded) - 1)
    if many < 1:
        return pl.DataFrame(schema=NEIGHBOURS)
    vectors = _integers(embedded["embedding"])
    parts = []
    with progress("clean neighbours", len(vectors), "images") as advance:
        for start in range(0, len(vectors), ROWS):
            part = _part(embedded["digest"], _nearest(vectors, start, many), start)
            parts.append(part)
            advance(len(part))
    return pl.concat(parts)


def _integers(embeddings: pl.Series) -> NDArray[np.int16]:
    parts = []
    for start in range(0, len(embeddings), COLUMNS):
        some = embeddings[start : start + COLUMNS]
        floats = np.frombuffer(b"".join(some.to_list()), "<f2").reshape(len(some), -1)
        parts.append(np.rint(floats.astype(np.float32) * SCALE).astype(np.int16))
    return np.concatenate(parts)


def _nearest(vectors: NDArray[np.int16], start: int, many: int) -> NDArray[np.float64]:
    """Return for some rows their nearest others as keys, the nearest first.

    A key is product * _PLACE - place, exact in float64, and no two of a row are equal.
    """
    asked = vectors[start : start + ROWS].astype(np.float32)
    best = np.full((len(asked), many), -np.inf)
    for left in range(0, len(vectors), COLUMNS):
        block = vectors[left : left + COLUMNS].astype(np.float32)
        places = np.arange(left, left + len(block), dtype=np.float64)
        keys = (asked @ block.T).astype(np.float64) * _PLACE - places
        for row in range(max(0, left - start), min(len(asked), left + len(block) - start)):
            keys[row, start + row - left] = -np.inf  # itself
        keys = np.concatenate([best, keys], axis=1)
        best = -np.partition(-keys, many - 1, axis=1)[:, :many]
    return -np.sort(-best, axis=1)


def _part(digests: pl.Series, keys: NDArray[np.float64], start: int) -> pl.DataFrame:
    places = (-keys) % _PLACE
    products = ((keys + places) / _PLACE).astype(np.int32)
    rows, many = keys.shape
    flat = pl.DataFrame(
        {
            "digest": digests[start : start + rows].gather(np.repeat(np.arange(rows), many)),
            "near": digests.gather(places.astype(np.uint32).ravel()),
            "likeness": products.ravel(),
        }
    )
    return flat.group_by("digest", maintain_order=True).agg("near", "likeness")


def _scored(
    nearest: pl.DataFrame, labels: pl.DataFrame, pairs: pl.DataFrame, count: int
) -> pl.DataFrame:
    """Return ``digest``, ``score`` and ``suggested`` of each image with neighbours."""
    witnesses = nearest.explode("near", "likeness").filter(pl.col("likeness") > 0)
    both = pl.concat([pairs.select(digest="a", near="b"), pairs.select(digest="b", near="a")])
    others = witnesses.join(both, on=["digest", "near"], how="anti", maintain_order="left")
    first = others.filter(pl.int_range(pl.len()).over("digest") < count)
    said = first.join(labels.rename({"digest": "near", "label": "said"}), on="near")
    votes = said.group_by("digest", "said").agg(pl.col("likeness").cast(pl.Int64).sum())
    votes = votes.join(labels, on="digest").sort("digest", -pl.col("likeness"), "said")
    other = pl.col("said") != pl.col("label")
    return votes.group_by("digest").agg(
        (pl.col("likeness").filter(other).sum() / pl.col("likeness").sum()).alias("score"),
        pl.col("said").filter(other).first().alias("suggested"),
    )
