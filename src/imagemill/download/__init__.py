"""Bring every wanted object's bytes into packs; see ``packs`` and ``tables.INDEX``.

The packs are a function of the set of content hashes alone: a rename, a relabelling or the order
of sources moves no byte. What is held already is copied from the packs at hand, never fetched.
"""

from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill import packs
from imagemill.config import Section
from imagemill.download import siblings
from imagemill.download.packing import FAILED, Origins, pack
from imagemill.download.room import Room
from imagemill.download.spool import Spool
from imagemill.engine import Engine
from imagemill.errors import SourceError
from imagemill.progress import progress, say
from imagemill.sources import Source
from imagemill.sources.objects import Fetchable, UnavailableError, Wanted
from imagemill.tables import INDEX, PLACES, VALIDATORS


class Config(Section):
    """Where the bytes are, and how they are packed."""

    sources: dict[str, Source]
    pack_bytes: Annotated[int, Field(ge=1024)]
    """Content of a pack on average, in bytes."""
    max_rejected: Annotated[float, Field(ge=0, le=1)]
    """Share of the wanted objects that may fail to arrive before the build stops."""


def update(
    listing: pl.DataFrame, config: Config, out: Path, root: Path, spool: Path, engine: Engine
) -> None:
    """Make the packs and tables in ``out`` agree with ``listing``.

    ``out`` and ``spool`` may hold the result of an earlier run, whole or cut short. Raises
    ``SourceError`` when more than ``max_rejected`` of the wanted objects cannot be had.
    """
    folder = out / packs.FOLDER
    folder.mkdir(exist_ok=True)
    for part in folder.glob(".*.part"):  # of a run that was killed
        part.unlink()
    listing = listing.with_row_index("row")
    wanted = listing.filter("wanted")
    places = _places(out)
    mine = siblings.Held(places, siblings.indexed(INDEX.last(out), places))
    places, known = siblings.adopted(wanted, mine, config, out)
    with Spool(spool) as kept:
        wanted = _resolved(wanted, known, kept.held())
        missing = wanted.filter(pl.col("digest").is_null())
        room = Room(missing, _unpacked(wanted, places), out, kept.folder)
        room.check()
        failed = _fetch(missing, config, root, kept, room)
        held = kept.held()
        wanted = _resolved(wanted.join(failed, on=["source", "key"], how="anti"), held)
        origins = Origins(places, held, kept.folder, folder, root, config.sources)
        places, unread, fetched = pack(wanted, origins, config.pack_bytes, engine)
        failed = pl.concat([failed, unread])
        _refuse_too_many(len(listing.filter("wanted")), failed, config)
        VALIDATORS.write(out, _validators(wanted, held, VALIDATORS.last(out)))
        _finish(out, _index(listing, wanted, failed), places)
        kept.clear()
    fetched += len(missing) - (len(failed) - len(unread))
    number = places["pack"].n_unique()
    say(f"download: {fetched:,} objects fetched, {len(failed):,} rejected, {number} packs")
    if not failed.is_empty():
        say("download: `dvc repro -sf` of this stage asks for the rejected ones again")


def _places(out: Path) -> pl.DataFrame:
    """Return the places of the last run whose packs are there."""
    there = [path.name for path in (out / packs.FOLDER).iterdir()]
    return PLACES.last(out).filter(pl.col("pack").is_in(there))


def _resolved(wanted: pl.DataFrame, *known: pl.DataFrame) -> pl.DataFrame:
    """Fill in content hash and length where this version of an object is known."""
    for frame in filter(len, known):  # a join would copy a million rows for nothing
        found = frame.select(*siblings.VERSION, _digest="digest", _bytes="bytes")
        wanted = (
            wanted.join(found, on=siblings.VERSION, how="left", maintain_order="left")
            .with_columns(
                pl.coalesce("_bytes", "bytes").alias("bytes"),
                pl.coalesce("digest", "_digest").alias("digest"),
            )
            .drop("_digest", "_bytes")
        )
    return wanted


def _validators(wanted: pl.DataFrame, *known: pl.DataFrame) -> pl.DataFrame:
    """Return what servers called the versions that are held, as ``VALIDATORS``."""
    said = pl.concat([frame.select(*VALIDATORS.columns) for frame in known])
    first = said.drop_nulls("validator").unique(siblings.VERSION, keep="first", maintain_order=True)
    return first.join(wanted, on=siblings.VERSION, how="semi")


def _unpacked(wanted: pl.DataFrame, places: pl.DataFrame) -> int:
    """Return the bytes of contents that are known and in no pack."""
    known = wanted.drop_nulls("digest").unique("digest")
    return int(known.join(places, on="digest", how="anti")["bytes"].sum())


def _fetch(
    missing: pl.DataFrame, config: Config, root: Path, spool: Spool, room: Room
) -> pl.DataFrame:
    """Fetch what is missing into the spool; return what could not be had, as ``FAILED``."""
    failed = []
    for (name,), rows in missing.sort("source", "key").group_by("source", maintain_order=True):
        source = str(name)
        objects = config.sources[source].open(source, root)
        if not isinstance(objects, Fetchable):
            raise TypeError(f"{source} lists neither a content hash nor a way to fetch")
        wanted = [Wanted(*row) for row in rows.select("key", "tag", "bytes").iter_rows()]
        with progress(f"download {source}", len(wanted), "objects") as advance:
            for got in objects.fetch(wanted):
                if isinstance(got.content, UnavailableError):
                    error = got.content
                    failed.append((source, got.wanted.key, error.reason, error.detail))
                    room.arrived(got.wanted, None)
                else:
                    spool.add(source, got.wanted, got.content, got.validator)
                    room.arrived(got.wanted, len(got.content))
                advance(1)
    return pl.DataFrame(failed, FAILED, orient="row")


def _refuse_too_many(wanted: int, failed: pl.DataFrame, config: Config) -> None:
    share = len(failed) / max(1, wanted)
    if share <= config.max_rejected:
        return
    counts = failed.group_by("reason").len().sort("reason").iter_rows()
    said = ", ".join(f"{count:,} {reason}" for reason, count in counts)
    first = failed.sort("source", "key").row(0, named=True)
    raise SourceError(
        f"download: {share:.1%} of the wanted objects could not be had ({said}), allowed "
        f"{config.max_rejected:.1%}; first {first['source']}/{first['key']}: {first['detail']}. "
        "Mend the source, or raise `download.max_rejected`."
    )


def _index(listing: pl.DataFrame, wanted: pl.DataFrame, failed: pl.DataFrame) -> pl.DataFrame:
    """Return ``tables.INDEX``; ``listing`` and ``wanted`` number their rows alike, in ``row``."""
    content = wanted.select("row", _digest="digest", _bytes="bytes")
    tried = listing.filter("wanted").select("row", "source", "key")
    failures = failed.join(tried, on=["source", "key"]).select("row", "detail", failure="reason")
    return (
        listing.join(content, on="row", how="left")
        .join(failures, on="row", how="left")
        .with_columns(
            pl.coalesce("_digest", "digest").alias("digest"),
            pl.coalesce("_bytes", "bytes").alias("bytes"),
            pl.coalesce("reason", "failure").alias("reason"),
        )
    )


def _finish(out: Path, index: pl.DataFrame, places: pl.DataFrame) -> None:
    PLACES.write(out, places)
    INDEX.write(out, index)
    named = set(places["pack"])
    for path in (out / packs.FOLDER).iterdir():
        if path.name not in named:
            path.unlink()
