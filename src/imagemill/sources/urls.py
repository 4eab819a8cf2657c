"""Files on the web, named by a label table: the flow of product photos.

The tag of an object is its URL, which is all that fetching needs; where the server has said since
that the file has changed, a space and the new version's validator come after it. What an earlier
build holds keeps its tag: with ``again: never`` (by id) even when the table names another URL for
it, as tables of signed links do on every query.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.errors import ConfigError, SourceError, suggest
from imagemill.progress import progress, say
from imagemill.sources.keys import odd, writable
from imagemill.sources.objects import FOUND, Fetched, Refreshed, UnavailableError, Wanted
from imagemill.sources.turns import in_turns
from imagemill.sources.validators import of_length
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


class Urls(Refreshed):
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
    again: Literal["never", "new_url", "changed"]
    """When a key that is held is fetched again. ``changed``: when the table names another URL, or
    the server says that the file has changed, which every build asks it."""
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
    proxy: Literal["none", "environment"]
    """Whether to ask through the proxies that ``http_proxy``, ``https_proxy`` and ``no_proxy``
    name. Where a host's name leads is then the proxy's to know, and to rule."""
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
        listed = _listed(rows.drop_nulls("id"), self._spec.which)
        found = _as_held(listed, asked.filter("held"), self._spec.again)
        if self._spec.again == "changed":
            found = self._with_news(found)
        return UrlObjects(self._spec, self._name, found.select(*FOUND))

    def listed(self) -> pl.DataFrame:
        """Return what the table names, sorted by key, with the columns ``FOUND``."""
        return self._found

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return no table: this source comes from one."""
        return {}

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[Fetched]:
        """Yield each of ``wanted`` once, as answers come."""
        spec = self._spec
        kept = _originals(self._name, spec.keep) if spec.keep else None
        one = partial(self._one, self._web(), kept)
        return in_turns(
            wanted, lambda each: _host(each.tag), one, threads=THREADS, per_host=spec.per_host
        )

    def _one(self, web: Web, kept: "Originals | None", each: Wanted) -> Fetched:
        found = kept.get(each.key) if kept and self._spec.again == "never" else None
        if found:
            return Fetched(each, found)
        try:
            file = web.get(_url(each.tag))
        except UnavailableError as error:
            return Fetched(each, error)
        if kept:
            kept.put(each.key, file.content)
        return Fetched(each, file.content, file.validator)

    def _web(self) -> Web:
        spec = self._spec
        types = tuple(each.lower() for each in spec.content_types)
        proxied = spec.proxy == "environment"
        manners = Manners(spec.timeout, spec.max_bytes, types, spec.allow_private, proxied)
        try:
            return Web(manners, THREADS)
        except SourceError as error:
            raise SourceError(f"sources.{self._name}.proxy: {error}") from error

    def _with_news(self, found: pl.DataFrame) -> pl.DataFrame:
        """Give what its server says has changed a new tag. What cannot be told stays as it is."""
        held = found.filter("held").select("key", "tag", "validator").rows()
        one = partial(_news, self._web())
        news: dict[str, str] = {}
        silent: list[tuple[str, UnavailableError]] = []
        with progress(f"scan {self._name}", len(held), "held files") as advance:
            for key, told in in_turns(
                held,
                lambda each: _host(each[1]),
                one,
                threads=THREADS,
                per_host=self._spec.per_host,
            ):
                if isinstance(told, UnavailableError):
                    silent.append((key, told))
                elif told:
                    news[key] = told
                advance(1)
        self._tell(len(held), len(news), silent)
        said = pl.col("key").replace_strict(news, default=None, return_dtype=pl.String)
        return found.with_columns(pl.coalesce(said, "tag").alias("tag"))

    def _tell(self, held: int, changed: int, silent: list[tuple[str, UnavailableError]]) -> None:
        said = f"{held:,} held files asked for, {changed:,} have changed"
        if silent:
            counts = Counter(error.reason for _, error in silent)
            why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
            key, first = min(silent, key=lambda each: each[0])
            said += f"; {len(silent):,} kept as they are: {why}; first {key}: {first.detail}"
        say(f"scan: {self._name}: {said}")

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


def _url(tag: str) -> str:
    return tag.partition(" ")[0]


def _host(tag: str) -> str:
    return urlsplit(_url(tag)).netloc


def _news(web: Web, held: tuple[str, str, str]) -> tuple[str, str | UnavailableError | None]:
    """Return a key with the tag of its newer version, if any, or with why nothing tells."""
    key, tag, known = held
    url = _url(tag)
    try:
        found = web.newer(url, known)
    except UnavailableError as error:
        return key, error
    return key, f"{url} {found}" if found else None


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


def _as_held(found: pl.DataFrame, held: pl.DataFrame, again: str) -> pl.DataFrame:
    """Give every key that is held, and not to be fetched anew, the tag under which it is.

    Adds to ``FOUND`` whether it is ``held``, and the ``validator`` of what is.
    """
    validator = pl.coalesce("validator", of_length("bytes"))
    known = held.select("key", _tag="tag", validator=validator)
    rows = found.join(known, on="key", how="left", maintain_order="left")
    same = pl.col("_tag").is_not_null()
    if again != "never":
        url = pl.col("_tag").str.splitn(" ", 2).struct.field("field_0")
        same &= pl.col("reason").is_null() & (url == pl.col("tag"))
    return rows.with_columns(
        pl.when(same).then("_tag").otherwise("tag").alias("tag"),
        pl.when(~same).then("reason").alias("reason"),
        same.alias("held"),
    )
