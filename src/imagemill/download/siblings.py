"""What other datasets of this project hold already, so that nothing is fetched twice.

Several datasets may be made of the same sources, such as the same images cleaned in several ways.
Their packs are named by what they hold, so one file may lie in all of them, as hard links. Where
bytes come from is no input of a build: they are the same, and each is known by its hash.
"""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from imagemill import config, packs
from imagemill.errors import ConfigError
from imagemill.tables import INDEX, PLACES

if TYPE_CHECKING:
    from imagemill.download import Config

VERSION = ["source", "key", "tag"]
"""What names one version of an object."""


class Held(NamedTuple):
    """What lies in a folder of packs."""

    places: pl.DataFrame
    """As ``tables.PLACES``."""
    known: pl.DataFrame
    """``VERSION``, ``digest`` and ``bytes`` of the versions of objects whose content is known."""


def indexed(index: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Return the versions of objects of ``index`` whose content the packs hold."""
    rows = index.filter(pl.col("reason").is_null(), pl.col("tag").is_not_null())
    held = rows.join(places, on="digest", how="semi")
    return held.select(*VERSION, "digest", "bytes")


def adopted(wanted: pl.DataFrame, mine: Held, given: "Config", out: Path) -> Held:
    """Return ``mine`` with what other datasets beside ``out`` hold of ``wanted``.

    Their packs are linked into ours; those that our plan has no use for go when it is done.
    """
    for folder in sorted(out.parent.parent.glob("*/download")):
        lacking = _lacking(wanted, mine)
        if lacking.is_empty():
            break
        if folder != out and (folder / PLACES.file).exists():
            theirs = _held(folder, given)
            mine = _united(mine, _linked(lacking, theirs, folder, out))
    return mine


def _lacking(wanted: pl.DataFrame, mine: Held) -> pl.DataFrame:
    """Return what is wanted and not held: of unknown content, or of content in no pack."""
    known = mine.known.select(*VERSION, found="digest")
    rows = wanted.join(known, on=VERSION, how="left")
    digest = pl.coalesce("digest", "found")
    return rows.with_columns(digest).join(mine.places, on="digest", how="anti", nulls_equal=False)


def _held(folder: Path, given: "Config") -> Held:
    places = PLACES.last(folder)
    known = indexed(INDEX.last(folder), places)
    parts = [known.clear()]
    for ours, theirs in _same_sources(folder.parent / "config.yaml", given):
        parts.append(known.filter(source=theirs).with_columns(source=pl.lit(ours)))
    return Held(places, pl.concat(parts))


def _same_sources(path: Path, given: "Config") -> list[tuple[str, str]]:
    """Return the sources of ours and of the dataset with that config that are the same."""
    try:
        theirs = config.read(path, "download")["sources"]
    except (ConfigError, KeyError, TypeError):  # of an earlier version, or not yet written
        return []
    ours = {name: source.model_dump(mode="json") for name, source in given.sources.items()}
    return [(a, b) for a, mine in ours.items() for b, other in theirs.items() if mine == other]


def _linked(lacking: pl.DataFrame, theirs: Held, folder: Path, out: Path) -> Held:
    """Link the packs with anything that is lacking; return what they hold."""
    told = lacking.join(theirs.known.select(*VERSION, told="digest"), on=VERSION, how="left")
    digests = told.select(digest=pl.coalesce("digest", "told")).drop_nulls()
    useful = theirs.places.join(digests, on="digest", how="semi")["pack"].unique().sort()
    there = [name for name in useful if _link(folder / packs.FOLDER / name, out / packs.FOLDER)]
    places = theirs.places.filter(pl.col("pack").is_in(there))
    return Held(places, theirs.known.join(places, on="digest", how="semi"))


def _link(pack: Path, folder: Path) -> bool:
    target = folder / pack.name
    if target.exists():
        return True
    part = folder / f".{pack.name}.{os.getpid()}.part"
    try:
        _link_or_copy(pack.resolve(strict=True), part)
    except FileNotFoundError:  # its own dataset has just replaced it
        return False
    part.replace(target)
    return True


def _link_or_copy(pack: Path, part: Path) -> None:
    try:
        os.link(pack, part)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(pack, part)


def _united(mine: Held, more: Held) -> Held:
    places = pl.concat([mine.places, more.places]).unique("digest", keep="first")
    known = pl.concat([mine.known, more.known]).unique(VERSION, keep="first")
    return Held(places, known)
