"""The shelf from which formats have their images: where the bytes lie, and who reads them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from imagemill import images, packs
from imagemill.arrays import bare
from imagemill.package import contract
from imagemill.package.contract import FORMAT


class Place(NamedTuple):
    """Where the bytes lie that give a rendition, and how."""

    digest: str
    packaged: str
    how: str
    suffix: str
    pack: str
    offset: int
    length: int


PLACE = Place._fields


@dataclass(frozen=True)
class Shelf:
    """Where renditions are had from; goes to the workers."""

    sources: Path
    store: Path
    limits: images.Limits

    def open(self) -> "Reader":
        """Return what reads them."""
        return Reader(self)


class Reader:
    """Reads renditions; keeps packs open."""

    def __init__(self, shelf: Shelf) -> None:
        self._limits = shelf.limits
        self._sources = packs.Reader(shelf.sources)
        self._store = packs.Reader(shelf.store)

    def unchecked(self, places: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
        """Yield renditions to one who compares what is written with their hashes afterwards."""
        read = self._sources.read
        for place in places:
            _, _, how, suffix, pack, offset, length = place
            if how == contract.AS_IS:
                yield read(pack, offset, length)
            elif how == contract.PRESUMED:
                yield bare(read(pack, offset, length), FORMAT[suffix])
            else:
                yield self.bytes(Place(*place))

    def bytes(self, place: Place) -> bytes:
        """Return a rendition; raises ``BuildError`` where the pack it comes from is damaged."""
        where = place.pack, place.offset, place.length
        if place.how == contract.STORED:
            return self._store.content(place.packaged, *where)
        data = self._sources.content(place.digest, *where)
        if place.how in (contract.SOURCE, contract.AS_IS):
            return data
        if place.how == contract.PRESUMED:
            return bare(data, FORMAT[place.suffix])
        if place.how == contract.STRIPPED:
            return images.strip_metadata(data, FORMAT[place.suffix])
        return contract.canonical(data, self._limits).data

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._sources.close()
        self._store.close()


def values(rows: pl.DataFrame, columns: Iterable[str] = PLACE) -> list[tuple[Any, ...]]:
    """Return some columns of ``rows``, by default those of ``Place``, a tuple a row.

    Many times a build, of few rows each: ``select`` would wait for Polars' threads every time.
    """
    return list(zip(*(rows[name].to_list() for name in columns), strict=True))
