"""Edit some of a dataset's images, and see which copies are found again and what they score.

Everything that a build would do is done: an edited image is saved, read, measured and compared by
the same functions. Whether two images are a pair depends on those two alone, so what comes of one
does not depend on the rest of its batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from imagemill import images, match, packs
from imagemill.calibration.edits import KINDS, edited
from imagemill.engine import Engine
from imagemill.match import verify
from imagemill.match.likely import likely
from imagemill.match.pictures import Measured, Pictures, pictures
from imagemill.measure.functions import Models, functions
from imagemill.measure.picture import Picture
from imagemill.progress import progress
from imagemill.tables import EMBEDDINGS, FACTS, KEYPOINTS, THUMBS, Table

TABLES = (FACTS, THUMBS, EMBEDDINGS, KEYPOINTS)  # in the order of Measured
EACH = 4  # edits of an image, of different kinds
BATCH = 16  # images that a worker edits at a time
MOST = 10_000_000  # candidates of a batch, more than there can be

TRIED = {
    "digest": pl.String,  # of the original
    "kind": pl.String,  # one of edits.KINDS
    "perceptual": pl.Float64,  # best score of what more than embeddings hint at; null: nothing does
    "together": pl.Float64,  # best score of all; null where nothing hints at the pair
}
"""One row a planted edit."""


@dataclass(frozen=True)
class Member:
    """One image to edit, where it lies in its pack, and how."""

    digest: str
    pack: str
    offset: int
    length: int
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Some images to edit."""

    folder: Path
    members: tuple[Member, ...]
    limits: images.Limits
    models: Models
    config: match.Config


def planted(
    places: pl.DataFrame,
    folder: Path,
    limits: images.Limits,
    models: Models,
    config: match.Config,
    engine: Engine,
) -> pl.DataFrame:
    """Return what came of ``EACH`` edits of every image in ``places``, as ``TRIED``, sorted."""
    rows = places.sort("digest").select("digest", "pack", "offset", "length").iter_rows()
    members = [
        Member(digest, pack, offset, length, _kinds(number))
        for number, (digest, pack, offset, length) in enumerate(rows)
    ]
    batches = [
        Batch(folder, tuple(members[first : first + BATCH]), limits, models, config)
        for first in range(0, len(members), BATCH)
    ]
    found = [pl.DataFrame(schema=TRIED)]
    with progress("calibrate", len(members), "images edited") as advance:
        for batch, part in zip(batches, engine.map(tried, batches), strict=True):
            found.append(part)
            advance(len(batch.members))
    return pl.concat(found).sort("digest", "kind")


def _kinds(number: int) -> tuple[str, ...]:
    """Return the edits of the image of that number: each kind comes as often as any other."""
    return tuple(KINDS[(EACH * number + nth) % len(KINDS)] for nth in range(EACH))


def tried(batch: Batch) -> pl.DataFrame:
    """Return what came of the edits of one batch, as ``TRIED``."""
    shown, plan = [], []
    with packs.Reader(batch.folder) as reader:
        for member in batch.members:
            place = (member.digest, member.pack, member.offset, member.length)
            original = _opened(reader.content(*place), batch.limits)
            shown.append((member.digest, original))
            for kind in member.kinds:
                copy = _opened(edited(original.image, kind, member.digest), batch.limits)
                shown.append((name := f"{member.digest} {kind}", copy))
                plan.append({"digest": member.digest, "kind": kind, "copy": name})
    names = [name for name, _ in shown]
    measured = _measured(names, [picture for _, picture in shown], batch.models)
    seen = pictures(measured, batch.config.min_texture)
    return _judged(pl.DataFrame(plan), seen, batch.config)


def _opened(data: bytes, limits: images.Limits) -> Picture:
    return Picture(*images.read(data, limits), len(data))


def _measured(names: list[str], shown: list[Picture], models: Models) -> Measured:
    """Return what ``measure`` would say of pictures with those names for digests."""
    rows: list[dict[str, Any]] = [{"digest": name} for name in names]
    for function in functions(models).values():
        for row, values in zip(rows, function.values(shown), strict=True):
            row.update(values)
    facts, thumbs, *more = (_table(each, rows) for each in TABLES)
    return Measured(facts, thumbs.lazy(), *more)


def _table(table: Table, rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Return the rows that have what only this table has; a reason and detail are none's."""
    own = set(table.columns) - {"reason", "detail"}
    there = [row for row in rows if own <= set(row)]
    found = [{name: row.get(name) for name in table.columns} for row in there]
    return table.frame(sorted(found, key=lambda row: str(row["digest"])))


def _judged(plan: pl.DataFrame, seen: Pictures, config: match.Config) -> pl.DataFrame:
    """Return ``plan`` (digest, kind, copy), without flat originals, as ``TRIED``."""
    owners = seen.digests.to_frame("name").with_row_index("row").explode("name")
    row = pl.col("row").cast(pl.Int64)
    known = plan.join(owners.select(digest="name", original=row), on="digest")
    known = known.join(owners.select(copy="name", edit=row), on="copy", how="left")
    sides = pl.min_horizontal("original", "edit"), pl.max_horizontal("original", "edit")
    known = known.with_columns(left=sides[0], right=sides[1])
    near = likely(seen, np.arange(len(seen.names)), config, MOST)
    best = best_scores(scored(seen, near.join(known, on=["left", "right"], how="semi")))
    found = known.join(best, on=["left", "right"], how="left")
    equal = pl.col("left") == pl.col("right")  # the edit changed nothing that is compared
    whole = pl.when(equal.fill_null(value=False)).then(1.0)
    return found.select(
        "digest",
        "kind",
        perceptual=whole.otherwise("perceptual"),
        together=whole.otherwise("together"),
    )


def scored(seen: Pictures, near: pl.DataFrame) -> pl.DataFrame:
    """Return candidates with their ``score``, worked out in this process."""
    held = seen.held(pl.concat([near["left"], near["right"]]).to_numpy())
    parts = [
        part.with_columns(
            score=pl.Series(verify.scores(match.batch(seen, held, part)), dtype=pl.Float64)
        )
        for _, part in near.group_by("number", maintain_order=True)
    ]
    none = near.clear().with_columns(score=pl.lit(None, pl.Float64))
    return pl.concat([none, *parts])


def best_scores(near: pl.DataFrame) -> pl.DataFrame:
    """Return each pair once: ``left``, ``right``, and the scores as in ``TRIED``."""
    score = pl.col("score").cast(pl.Float64).round(4)  # as they are; Float32 is beside that
    return near.group_by("left", "right").agg(
        perceptual=score.filter(~pl.col("semantic")).max(), together=score.max()
    )
