"""The rows of a query: read-only, through a cursor of the server.

Values become text in one stable form (``_text``) and rows are sorted, so an unchanged table gives
unchanged bytes in whatever order the server returns it. Memory grows with the text of the table,
not with what a driver makes of it: rows arrive ``CHUNK`` at a time.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, ResourceClosedError

from imagemill.errors import SourceError

CHUNK = 10_000
"""Rows fetched at a time."""

PATIENCE = 15
"""Seconds to wait for a server to let us in, where the URL does not say."""

_CURSOR = "DECLARE imagemill NO SCROLL CURSOR FOR "


def read(variable: str, query: str, root: Path) -> pl.DataFrame:
    """Return all rows as text, sorted, of the database whose URL that environment variable holds.

    Raises ``SourceError`` without any password in it.
    """
    url = os.environ.get(variable, "")
    try:
        return _read(url, variable, query, root)
    except SourceError as error:
        # The cause is left out: what a driver raises may hold the URL.
        raise SourceError(_scrubbed(str(error), url)) from None


def _read(text: str, variable: str, query: str, root: Path) -> pl.DataFrame:
    if not text:
        raise SourceError(
            f"the environment variable {variable} is not set. Put the database's URL in "
            "it, such as postgresql://user:password@host/database."
        )
    with _connected(text, root, variable) as connection, _refusing(query):
        header, chunks = _rows(connection, query)
        _refuse_odd(header)
        schema = dict.fromkeys(header, pl.String)
        frames = [pl.DataFrame(schema=schema)]
        for chunk in chunks:
            said = [tuple(map(_text, row)) for row in chunk]
            frames.append(pl.DataFrame(said, schema, orient="row"))
    return pl.concat(frames).sort(header).rechunk()


@contextmanager
def _connected(text: str, root: Path, env: str) -> Iterator[Any]:
    """Yield a connection that cannot write."""
    where = f"the database of {env}"
    try:
        url, options = _addressed(text, root)
        engine = create_engine(url, poolclass=NullPool, **options)
        connection = engine.connect()
    except (NoSuchModuleError, ImportError) as error:
        raise SourceError(
            f"{where}: {_line(error)}. Use postgresql:// or sqlite:///, which need no other driver."
        ) from error
    except (ArgumentError, ValueError) as error:
        raise SourceError(
            f"{env} holds no database URL. Write it as postgresql://user:password@host/database, "
            "with %40 for an @ in the password."
        ) from error
    except DBAPIError as error:
        raise SourceError(
            f"{where}: {_line(error.orig)}. Check the URL in {env}, and that the server is up."
        ) from error
    with connection:
        _forbid_writing(connection)
        yield connection
    engine.dispose()


def _addressed(text: str, root: Path) -> tuple[Any, dict[str, Any]]:
    """Return SQLAlchemy's URL with the driver that comes along, and the engine's options."""
    url = make_url(text)
    kind = url.get_backend_name()
    if kind in ("postgres", "postgresql"):
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")
        patience = {} if "connect_timeout" in url.query else {"connect_timeout": PATIENCE}
        return url, {"connect_args": patience}
    if kind == "sqlite":
        path = root / (url.database or "")
        return "sqlite://", {"creator": lambda: _sqlite(path)}
    raise NoSuchModuleError(f"{kind}: this kind of database is not read yet")


def _sqlite(path: Path) -> sqlite3.Connection:
    # By its path alone, SQLite would make a database that is not there.
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def _forbid_writing(connection: Any) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET default_transaction_read_only = on")
        connection.exec_driver_sql("SET TIME ZONE 'UTC'")
        connection.commit()


@contextmanager
def _refusing(query: str) -> Iterator[None]:
    """Raise ``SourceError`` with what the server says of a query, and where in it."""
    try:
        yield
    except ResourceClosedError as error:  # a statement that gives no rows
        raise SourceError("`query` gives no rows. Make it one SELECT.") from error
    except DBAPIError as error:
        told = getattr(error.orig, "diag", None)
        said = (told and told.message_primary) or _line(error.orig)
        place = _place(query, told.statement_position if told else None)
        raise SourceError(
            f"{said}{place}. Check `query`: one SELECT; nothing may be written."
        ) from error


def _place(query: str, position: str | None) -> str:
    """Return where ``position`` (a character, counted from 1) of the declared cursor lies."""
    offset = int(position or 0) - 1 - len(_CURSOR)
    if offset < 0:
        return ""
    line = query.count("\n", 0, offset) + 1
    column = offset - query.rfind("\n", 0, offset)
    return f" at line {line}, character {column} of `query`"


def _rows(connection: Any, query: str) -> tuple[list[str], Iterator[Sequence[Any]]]:
    """Return the names of the columns, and an iterator over chunks of rows."""
    # Without parameters, a driver leaves % and : in a query alone.
    plain = connection.execution_options(no_parameters=True)
    if connection.dialect.name == "postgresql":
        plain.exec_driver_sql(_CURSOR + query)
        step = f"FETCH {CHUNK} FROM imagemill"
        first = plain.exec_driver_sql(step)
        rest = partial(_fetched, plain, step)
        return list(first.keys()), _chunks(first.all(), rest)
    result = plain.exec_driver_sql(query)
    header = list(result.keys())
    return header, _chunks(result.fetchmany(CHUNK), partial(result.fetchmany, CHUNK))


def _fetched(connection: Any, step: str) -> Any:
    return connection.exec_driver_sql(step).all()


def _chunks(first: Sequence[Any], more: Callable[[], Sequence[Any]]) -> Iterator[Sequence[Any]]:
    while first:
        yield first
        first = more()


def _refuse_odd(header: list[str]) -> None:
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise SourceError(f"two columns are called {twice[0]}. Name one `AS` something else.")
    if not header:
        raise SourceError("`query` gives no column. Name what it selects.")


def _text(value: object) -> str | None:
    """Return a value as text: numbers as short as they can be told, times in ISO 8601 and UTC.

    A decimal keeps the digits that the server gives; a float that is a whole number has none
    after the point, as an int. Binary is hexadecimal, a structure is JSON with sorted keys.
    """
    match value:
        case None | str():
            text = value
        case bool():
            text = "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e16:
            text = f"{value:.0f}"
        case Decimal() if value.is_finite():
            text = f"{value:f}"
        case datetime() | date() | time():
            text = value.isoformat()
        case bytes() | memoryview():
            text = bytes(value).hex()
        case list() | dict():
            text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=_text)
        case _:
            text = str(value)
    return text


def _line(error: object) -> str:
    """Return what an error says, in one line and without a full stop."""
    return " ".join(str(error).split()).rstrip(".")


def _scrubbed(message: str, url: str) -> str:
    """Return ``message`` without the URL and every secret that it holds."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        message = message.replace(secret, "***")
    return message


def _secrets(text: str) -> set[str]:
    found = {text}
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return {each for each in found if each}
    asked = [value for key, value in url.query.items() if "password" in key]
    for secret in (url.password, *asked):
        if isinstance(secret, str):
            found |= {secret, quote(secret, safe="")}
    return {each for each in found if each}
