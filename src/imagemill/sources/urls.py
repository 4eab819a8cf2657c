"""Files on the web, named by a label table: the flow of product photos.

The tag of an object is its URL, which is all that fetching needs. What an earlier build holds is
not asked for again; with ``again: never`` (by id) not even when the table names another URL for
it, as tables of signed links do on every query.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.errors import ConfigError, SourceError, suggest
from imagemill.progress import say
from imagemill.sources.keys import odd, writable
from imagemill.sources.objects import FOUND, Fetched, UnavailableError, Wanted
from imagemill.sources.web import SCHEMES, Manners, Web

if TYPE_CHECKING:
    from imagemill.sources.originals import Originals

THREADS = 32
"""Requests at a time, over all hosts. At most so many answers wait in memory."""


class Keep(Section):
    """A bucket that keeps originals; see ``originals``."""

    bucket: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(pattern=r"\{key\}")]
    """Key in the bucket, where ``{key}`` stands for the key in the source: ``{key}.jpeg``."""
    endpoint: str | None = None
    """As in ``s3``, like the rest."""
    region: str | None = None
    profile: str | None = None


class Urls(Section):
    """Files on the web."""

    kind: Literal["urls"]
    table: str
    """Name of the table in the config's ``tables``."""
    id: str
    """The table's column with the id of what the file shows."""
    url: str
    """The table's column with its URL."""
    which: Literal["first", "all"]
    """Of the usable URLs of one id: the first in the order of their text, whose key is ``<id>``;
    or all, each with the key ``<id>/<hash of the URL>``, which other URLs do not change."""
    again: Literal["never", "new_url"]
    """When a key that is held is fetched again."""
    limit: Annotated[int, Field(ge=1)] | None
    """Keys that one build may ask for that no earlier build has asked for; the rest is listed as
    ``beyond_limit``. Which come first follows from a hash of the key."""
    per_host: Annotated[int, Field(ge=1, le=THREADS)]
    """Requests at a time to one host."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Seconds for one try, redirects included."""
    max_bytes: Annotated[int, Field(ge=1)]
    """Longest file to take."""
    content_types: list[str]
    """Patterns of what the server may call the file; an answer without a type passes."""
    allow_private: bool
    """Whether to ask addresses that are not of the public internet."""
    keep: Keep | None
    """A bucket that keeps what is fetched. With ``again: never`` it is asked first, so that what
    lies there, by whomever it was put, is never asked for on the web."""

    def open(self, name: str, root: Path) -> "UrlObjects":  # noqa: ARG002 (as all kinds)
        """Return the objects of this source."""
        return UrlObjects(self, name, pl.DataFrame(schema=FOUND))


class UrlObjects:
    """Lists what a table names, and fetches it."""

    def __init__(self, spec: Urls, name: str, found: pl.DataFrame) -> None:
        self._spec = spec
        self._name = name
        self._found = found
        self.new: int | None = None

    def told(self, tables: Mapping[str, pl.DataFrame], asked: pl.DataFrame) -> "UrlObjects":
        """Return these objects as the table names them; ``asked`` as in ``objects.ASKED``.

        Rows without an id are left out: nothing could name them. Raises ``ConfigError`` when the
        table or a column of it is not there, ``SourceError`` when it has no row.
        """
        rows = self._rows(tables)
        if rows.is_empty():
            raise SourceError(
                f"sources.{self._name}: {self._spec.table} has no row. "
                f"Check what `tables.{self._spec.table}` reads."
            )
        nameless = rows["id"].is_null().sum()
        if nameless:
            said = f"{nameless:,} rows of {self._spec.table} have no {self._spec.id}"
            say(f"scan: {self._name}: {said}; left out")
        found = _listed(rows.drop_nulls("id"), self._spec.which)
        if self._spec.again == "never":
            found = _as_held(found, asked.filter("held"))
        return UrlObjects(self._spec, self._name, found)

    def listed(self) -> pl.DataFrame:
        """Return what the table names, sorted by key, with the columns ``FOUND``."""
        return self._found

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return no table: this source comes from one."""
        return {}

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[Fetched]:
        """Yield each of ``wanted`` once, as answers come."""
        spec = self._spec
        types = tuple(each.lower() for each in spec.content_types)
        manners = Manners(spec.timeout, spec.max_bytes, types, spec.allow_private)
        web = Web(manners, THREADS)
        kept = _originals(self._name, spec.keep) if spec.keep else None
        with ThreadPoolExecutor(THREADS) as threads:
            turns = _Turns(wanted, spec.per_host)
            running: dict[Future[Fetched], str] = {}
            while turns or running:
                while turns and len(running) < THREADS:
                    host, each = turns.next()
                    running[threads.submit(self._one, each, web, kept)] = host
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    turns.ended(running.pop(future))
                    yield future.result()

    def _one(self, each: Wanted, web: Web, kept: "Originals | None") -> Fetched:
        found = kept.get(each.key) if kept and self._spec.again == "never" else None
        if found:
            return Fetched(each, found)
        try:
            content = web.get(each.tag)
        except UnavailableError as error:
            return Fetched(each, error)
        if kept:
            kept.put(each.key, content)
        return Fetched(each, content)

    def _rows(self, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        spec, where = self._spec, f"sources.{self._name}"
        if spec.table not in tables:
            raise ConfigError(f"{where}.table: no table {spec.table}{suggest(spec.table, tables)}")
        table = tables[spec.table]
        for field, column in (("id", spec.id), ("url", spec.url)):
            if column not in table.columns:
                said = f"no column {column} in {spec.table}{suggest(column, table.columns)}"
                raise ConfigError(f"{where}.{field}: {said}")
        names, urls = pl.col(spec.id), pl.col(spec.url).str.strip_chars()
        given = table.select(
            pl.when(names != "").then(names).alias("id"),
            pl.when(urls != "").then(urls).alias("url"),
        )
        return given.unique()


def _originals(source: str, keep: Keep) -> "Originals":
    # boto3 takes a quarter of a second to import, which other sources need not wait for.
    from imagemill.sources.originals import Originals  # noqa: PLC0415

    return Originals(source, keep)


class _Turns:
    """Objects to fetch, the hosts taking turns, each with so many at a time."""

    def __init__(self, wanted: Sequence[Wanted], per_host: int) -> None:
        self._waiting: dict[str, deque[Wanted]] = {}
        for each in wanted:
            self._waiting.setdefault(urlsplit(each.tag).netloc, deque()).append(each)
        self._free = dict.fromkeys(self._waiting, per_host)
        self._ready = deque(self._waiting)  # once for each host with a free place and work

    def __bool__(self) -> bool:
        return bool(self._ready)

    def next(self) -> tuple[str, Wanted]:
        """Return a host and what to ask it for."""
        host = self._ready.popleft()
        each = self._waiting[host].popleft()
        self._free[host] -= 1
        if self._free[host] and self._waiting[host]:
            self._ready.append(host)
        return host, each

    def ended(self, host: str) -> None:
        """Tell that a host is done with one object."""
        self._free[host] += 1
        if self._free[host] == 1 and self._waiting[host]:
            self._ready.append(host)


def _listed(rows: pl.DataFrame, which: str) -> pl.DataFrame:
    """Return one row a key, as ``FOUND``, of distinct rows with ``id`` and ``url``."""
    made = [_row(name, url, which) for name, url in rows.iter_rows()]
    found = pl.DataFrame(made, FOUND, orient="row")
    # Usable URLs first, then in the order of their text.
    ordered = found.sort("key", pl.col("reason").is_not_null(), "tag", "reason")
    return ordered.unique("key", keep="first", maintain_order=True)


def _row(
    name: str, url: str | None, which: str
) -> tuple[str, int | None, str | None, str | None, str | None]:
    place = f"/{sha256(url.encode()).hexdigest()[:12]}" if url and which == "all" else ""
    key = name + place
    reason = _flaw(url) or ("odd_name" if odd(key) else None)
    return (writable(key) if odd(key) else key), None, url, None, reason


def _flaw(url: str | None) -> str | None:
    """Return why nothing can be fetched from ``url``, if so."""
    if url is None:
        return "no_url"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in SCHEMES and parts.hostname and (parts.port or 1)
    except ValueError:
        return "bad_url"
    # A URL is no place for a password: it is stored, and shown.
    spoilt = parts.username is not None or odd(url) or len(url.split()) != 1
    return "bad_url" if spoilt or not usable else None


def _as_held(found: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Give every key that is held the tag under which it is."""
    known = found.join(held.select("key", _tag="tag"), on="key", how="left", maintain_order="left")
    there = pl.col("_tag").is_not_null()
    return known.with_columns(
        pl.coalesce("_tag", "tag").alias("tag"),
        pl.when(~there).then("reason").alias("reason"),
    ).select(*FOUND)
