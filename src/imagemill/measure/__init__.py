"""Decode every distinct image once, and remember what its bytes determine."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import Field

from imagemill import images, packs
from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.measure.figures import figures
from imagemill.memo import Memo, fingerprint
from imagemill.progress import progress, say
from imagemill.tables import FACTS, THUMBS

VERSION = 2  # of the figures; raise it when the code here gives other values
BATCH = 256  # images: small enough to lose little when killed, large enough to keep workers busy

NO_MEMORY = "MemoryError()"
"""Ends the detail of an image that failed for lack of memory: the machine's fault, perhaps, so
not remembered."""

RESULT = {**FACTS.columns, "thumb": pl.Binary}
"""Columns that one decode gives."""


class Config(Section):
    """What is refused before it is decoded."""

    max_pixels: Annotated[int, Field(ge=1)]
    """Width times height, as the header declares them."""
    max_bytes: Annotated[int, Field(ge=1)]
    """Of the file."""


@dataclass(frozen=True)
class _Batch:
    """Images of one pack: (digest, offset, length) each."""

    folder: Path
    pack: str
    members: tuple[tuple[str, int, int], ...]
    limits: images.Limits


def memo(root: Path, config: Config) -> Memo:
    """Return the memo of this stage's one function."""
    name = fingerprint(
        "measure",
        VERSION,
        decoders=images.decoders(),
        numpy=np.__version__,
        **config.model_dump(mode="json"),
    )
    return Memo(root, name, RESULT)


def measure(
    places: pl.DataFrame, folder: Path, config: Config, remembered: Memo, engine: Engine
) -> pl.DataFrame:
    """Return the facts and thumbnail of every image in ``places``, sorted by digest.

    Only images that ``remembered`` does not know are decoded, and they are added to it.
    """
    known = remembered.find(places["digest"])
    new = places.join(known, on="digest", how="anti").sort("pack", "offset")
    batches = list(_batches(new, folder, config))
    results = [known]
    with progress("measure", len(new), "images") as advance:
        for result in engine.map(decode, batches):
            remembered.add(result.filter(~_starved()))
            results.append(result)
            advance(len(result))
    remembered.tidy()
    measured = pl.concat(results).sort("digest")
    say(f"measure: {len(places):,} images: {len(new):,} decoded, {len(known):,} remembered")
    starved = measured.filter(_starved()).height
    if starved:
        say(
            f"warning: measure: {starved:,} images failed for lack of memory. Run this stage again "
            "with IMAGEMILL_ENGINE='engine.workers=1', or lower `measure.max_pixels`."
        )
    return measured


def _starved() -> pl.Expr:
    return pl.col("detail").fill_null("").str.ends_with(NO_MEMORY)


def thumbs(measured: pl.DataFrame) -> pl.DataFrame:
    """Return the thumbnails of the readable images of what ``measure`` gave."""
    return measured.filter(pl.col("thumb").is_not_null()).select(*THUMBS.columns)


def decode(batch: _Batch) -> pl.DataFrame:
    """Decode the images of one batch; a broken image is a row with a reason.

    Raises ``BuildError`` when the pack does not hold what it should.
    """
    with packs.Reader(batch.folder) as reader:
        rows = [
            {"digest": digest, **_facts(reader.content(digest, batch.pack, *place), batch.limits)}
            for digest, *place in batch.members
        ]
    return pl.DataFrame(rows, schema=RESULT)


def _batches(new: pl.DataFrame, folder: Path, config: Config) -> Iterator[_Batch]:
    limits = images.Limits(max_pixels=config.max_pixels, max_bytes=config.max_bytes)
    for (pack,), rows in new.group_by("pack", maintain_order=True):
        members = rows.select("digest", "offset", "length").iter_rows()
        while chunk := tuple(islice(members, BATCH)):
            yield _Batch(folder, str(pack), chunk, limits)


def _facts(data: bytes, limits: images.Limits) -> dict[str, Any]:
    try:
        header, image = images.read(data, limits)
    except images.Unreadable as error:
        return {"bytes": len(data), "reason": error.reason, "detail": error.detail}
    return {
        "bytes": len(data),
        "format": header.format,
        "mode": header.mode,
        "width": header.width,
        "height": header.height,
        "orientation": header.orientation,
        "frames": header.frames,
        "bits": header.bits,
        "exif": header.exif,
        "gps": header.gps,
        "ready": images.meets_contract(header),
        **figures(image),
    }
