"""Decode every distinct image once, and remember what its bytes determine."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
from pydantic import Field

from imagemill import embed, images
from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.measure import keypoints
from imagemill.measure.functions import EMBEDDING, HEADER, POINTS, Models, functions
from imagemill.measure.worker import (
    KILLS_READER,
    RESCUE,
    Batch,
    Member,
    Result,
    decode,
    joined,
)
from imagemill.memo import Memo, fingerprint
from imagemill.progress import progress, say
from imagemill.tables import EMBEDDINGS, FACTS, KEYPOINTS, THUMBS

BATCH = 128  # images: few enough to share out evenly, enough to keep workers busy
SAVED = 3.0  # seconds after which results are remembered: what a killed build loses, about

Memos = Mapping[str, Memo]
"""By function."""


class Config(Section):
    """What is refused before it is decoded, and what is found in an image besides its facts."""

    max_pixels: Annotated[int, Field(ge=1)]
    """Width times height, as the header declares them."""
    max_bytes: Annotated[int, Field(ge=1)]
    """Of the file."""
    embedder: embed.Choice
    """A choice of ``conf/embedder``; null for none."""
    keypoints: keypoints.Choice
    """A choice of ``conf/keypoints``; null for none."""

    @property
    def limits(self) -> images.Limits:
        """What ``images`` is to refuse."""
        return images.Limits(max_pixels=self.max_pixels, max_bytes=self.max_bytes)

    @property
    def models(self) -> Models:
        """What ``functions`` is to add."""
        return Models(self.embedder, self.keypoints)


@dataclass(frozen=True)
class Measured:
    """All that is known of the images."""

    facts: pl.DataFrame
    """``tables.FACTS``: a row for every image."""
    thumbs: pl.DataFrame
    """``tables.THUMBS``: a row for every readable image."""
    embeddings: pl.DataFrame
    """``tables.EMBEDDINGS``: the same, but no rows without an embedder."""
    keypoints: pl.DataFrame
    """``tables.KEYPOINTS``: the same, but no rows where none are wanted."""


def memos(root: Path, config: Config) -> dict[str, Memo]:
    """Return the memo of each function, by name.

    Only that of ``header`` depends on the limits: they decide what is read, not what it shows.
    """
    libraries = {"decoders": images.decoders(), "numpy": np.__version__}
    own = {HEADER: {"limits": list(config.limits)}, **config.models.fingerprints()}
    return {
        name: Memo(
            root,
            fingerprint(
                f"measure-{name}",
                each.version,
                columns=list(each.columns),
                **libraries,
                **own.get(name, {}),
            ),
            each.schema,
            noise=each.noise,
        )
        for name, each in functions(config.models).items()
    }


def measure(
    places: pl.DataFrame, folder: Path, config: Config, remembered: Memos, engine: Engine
) -> Measured:
    """Return all that is known of the images in ``places``.

    Only those that lack a function are decoded, and what it gives is added to ``remembered``.
    """
    known = {name: memo.find(places["digest"]) for name, memo in remembered.items()}
    new = _lacking(places, known)
    batches = list(_batches(new, folder, config, tuple(known)))
    results = [known]
    with progress("measure", len(new), "images") as advance, _saving(remembered) as save:
        for batch, result in zip(batches, engine.map(decode, batches, RESCUE), strict=True):
            save(result)
            results.append(result)
            advance(len(batch.members))
    _tell(len(places), new, tuple(known))
    return _united(results)


def _lacking(places: pl.DataFrame, known: Result) -> pl.DataFrame:
    """Return the images to decode, pack by pack; for each function, whether they lack it.

    One that is known to be unreadable lacks nothing.
    """
    unreadable = known[HEADER].filter(pl.col("reason").is_not_null())["digest"]
    lacks = [
        ~pl.col("digest").is_in(pl.concat([rows["digest"], unreadable]).implode()).alias(name)
        for name, rows in known.items()
    ]
    return places.with_columns(lacks).filter(pl.any_horizontal(*known)).sort("pack", "offset")


def _batches(
    new: pl.DataFrame, folder: Path, config: Config, names: Sequence[str]
) -> Iterator[Batch]:
    for (pack,), rows in new.group_by("pack", maintain_order=True):
        members = rows.select("digest", "offset", "length", *names).iter_rows()
        while chunk := tuple(islice(members, BATCH)):
            lacking = tuple(
                Member(digest, offset, length, tuple(compress(names, lacks)))
                for digest, offset, length, *lacks in chunk
            )
            yield Batch(folder, str(pack), lacking, config.limits, config.models)


@contextmanager
def _saving(remembered: Memos) -> Iterator[Callable[[Result], None]]:
    """Remember results, some at a time, and the last of them however the work ends."""
    waiting: list[Result] = []
    due = time.monotonic() + SAVED

    def flush() -> None:
        if waiting:
            for name, rows in joined(waiting).items():
                remembered[name].add(rows.filter(~_starved()) if name == HEADER else rows)
        waiting.clear()

    def save(result: Result) -> None:
        nonlocal due
        waiting.append(result)
        if time.monotonic() >= due:
            flush()
            due = time.monotonic() + SAVED

    try:
        yield save
    finally:
        flush()
    for memo in remembered.values():
        memo.tidy()


def _starved() -> pl.Expr:
    return pl.col("reason").eq_missing(KILLS_READER)


def _tell(count: int, new: pl.DataFrame, names: Sequence[str]) -> None:
    """Say how many images were decoded, and for which functions where not for all."""
    whole = pl.all_horizontal(*names)
    said = [f"{new.filter(whole).height:,} decoded"]
    some = new.filter(~whole).group_by(names).len().sort(names)
    said += [
        f"{number:,} decoded for {' and '.join(compress(names, lacks))} only"
        for *lacks, number in some.iter_rows()
    ]
    say(f"measure: {count:,} images: {', '.join(said)}, {count - len(new):,} remembered")


def _united(results: Sequence[Result]) -> Measured:
    """Return the tables that all rows together make; the first of ``results`` were remembered."""
    rows = joined(results)
    # What could be read once may be too large for the memory of today: its last row counts.
    header = rows.pop(HEADER).unique("digest", keep="last")
    readable = header.filter(pl.col("reason").is_null()).sort("digest")
    extra = {
        name: rows.pop(name, table.frame())
        for name, table in ((EMBEDDING, EMBEDDINGS), (POINTS, KEYPOINTS))
    }
    whole = readable
    for each in rows.values():
        whole = whole.join(each, on="digest", how="left", maintain_order="left")
    _warn(header)
    _warn_of_nothing(extra[EMBEDDING])
    return Measured(
        pl.concat([whole, header.filter(pl.col("reason").is_not_null())], how="diagonal")
        .select(*FACTS.columns)
        .sort("digest"),
        whole.select(*THUMBS.columns),
        *(
            readable.select("digest").join(each, on="digest", maintain_order="left")
            for each in extra.values()
        ),
    )


def _warn(header: pl.DataFrame) -> None:
    starved = header.filter(_starved()).height
    if starved:
        say(
            f"warning: measure: {starved:,} images ended the process that read them, most likely "
            "for lack of memory. Run this stage again with IMAGEMILL_ENGINE='engine.workers=1', "
            "or lower `measure.max_pixels`."
        )


def _warn_of_nothing(embeddings: pl.DataFrame) -> None:
    zeros = bytes(len(embeddings["embedding"].first() or b""))  # type: ignore[arg-type]
    nothing = embeddings.filter(pl.col("embedding") == pl.lit(zeros)).height
    if nothing:
        say(
            f"warning: measure: {nothing:,} of {len(embeddings):,} images are like nothing: the "
            "model gave only zeros for them, or what is not finite. Check `mean`, `std` and "
            "`output` of `measure.embedder`."
        )
