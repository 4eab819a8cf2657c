"""What every kind of source offers: a listing, side tables, and the bytes of its objects.

Where a listing knows the content hash of an object, its bytes are read when they are packed
(``Readable``). Where it knows only a version tag, such as an ETag, they are fetched once and kept
(``Fetchable``); an object whose tag is known from an earlier build is not asked for again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import polars as pl

from imagemill.config import Section


class Refreshed(Section):
    """What every source and table may say in the config."""

    refresh: Literal["always", "never"] = "always"
    """Whether a build looks what is there now, or keeps to what the last one held."""

    @property
    def pinned(self) -> bool:
        """Whether nothing is asked or read, and what is held is all there is."""
        return self.refresh == "never"


FOUND = {
    "key": pl.String,
    "bytes": pl.Int64,  # null where it is not known before the object is fetched
    "tag": pl.String,  # names a version of the object; null where the digest does
    "digest": pl.String,  # sha256 of the content, hex; null where only a tag is known
    "reason": pl.String,  # why the object cannot be had; null when it can
}
"""Columns of a listing of one source."""


class UnavailableError(Exception):
    """An object that cannot be had; ``reason`` is a code for its row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object to fetch, as it was listed."""

    key: str
    tag: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of fetching one object: its content, or why there is none."""

    wanted: Wanted
    content: bytes | UnavailableError
    validator: str | None = None
    """What the server calls this version, where that is not in the tag; see ``validators``."""


class Listable(Protocol):
    """The objects of one source."""

    new: int | None
    """How many objects the last ``listed`` had to read; None where it never reads any."""

    def listed(self) -> pl.DataFrame:
        """Return every object, sorted by key, with the columns ``FOUND``.

        Raises ``SourceError`` when the source cannot be listed.
        """

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the side tables that the source brings with it, by name.

        They are of the last ``listed``; one without a name bears that of the source.
        """


ASKED = {
    "key": pl.String,
    "tag": pl.String,
    "held": pl.Boolean,  # its content is in the packs
    "bytes": pl.Int64,  # of its content; null where it is not held
    "validator": pl.String,  # as in ``Fetched``
}
"""Columns of what earlier builds asked one source for."""


@runtime_checkable
class Tabled(Listable, Protocol):
    """A source whose objects are the rows of a label table, such as a list of URLs.

    ``scan`` lists what ``told`` returns; ``download`` fetches from the objects as opened, for a
    tag says all that fetching needs. Other kinds of source do not have this method.
    """

    def told(self, tables: Mapping[str, pl.DataFrame], asked: pl.DataFrame) -> Listable:
        """Return these objects as the label tables name them; ``asked`` as in ``ASKED``."""


@runtime_checkable
class Walkable(Listable, Protocol):
    """A source that lists without reading; what is not wanted need never be read."""

    def walked(self) -> pl.DataFrame:
        """Return what ``listed`` returns, without any ``digest``."""

    def hashed(self, keys: pl.Series) -> pl.DataFrame:
        """Return key, bytes, digest and reason of objects that ``walked`` has found."""


def all_read(objects: Walkable) -> pl.DataFrame:
    """Return what ``walked`` finds, with what reading all of it tells."""
    walked = objects.walked()
    return walked.update(objects.hashed(walked.filter(pl.col("reason").is_null())["key"]), on="key")


@runtime_checkable
class Readable(Listable, Protocol):
    """A source that knows content hashes before it is asked for bytes."""

    def read(self, key: str) -> bytes:
        """Return the bytes of an object. Raises ``UnavailableError``."""


@runtime_checkable
class Fetchable(Listable, Protocol):
    """A source that knows version tags."""

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[Fetched]:
        """Yield each of ``wanted`` once, in any order, with bounded work ahead.

        An object whose version is no longer that of its tag is ``changed``. Raises
        ``SourceError`` when nothing can be had at all, as with wrong credentials.
        """
