"""A query becomes a table of text: the same bytes for the same rows, and never a password."""

import random
import sqlite3
import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from imagemill.errors import SourceError
from imagemill.sources import Sql
from imagemill.tables import read_side_tables, write_side_tables
from tests.postgres import PASSWORD, ROLE, Database

ENV = "IMAGEMILL_TEST_DATABASE"


@pytest.fixture
def database(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A Postgres whose URL lies in the environment."""
    monkeypatch.setenv(ENV, postgres.url)
    return postgres


def read(query: str, root: Path = Path("/nowhere")) -> pl.DataFrame:
    return Sql(kind="sql", url_env=ENV, query=query).read("labels", root)


def refusal(query: str = "SELECT 1 AS one", root: Path = Path("/nowhere")) -> str:
    with pytest.raises(SourceError) as caught:
        read(query, root)
    said = str(caught.value)
    assert said.startswith("tables.labels: ")
    assert "\n" not in said
    return said


VALUES = {
    "42::int8": "42",
    "-7::int2": "-7",
    "NULL::int4": None,
    "104.0::float8": "104",
    "0.1::float8": "0.1",
    "'NaN'::float8": "nan",
    "12.50::numeric(6,2)": "12.50",
    "1e-10::numeric": "0.0000000001",
    "true": "true",
    "''": "",
    "'Größe \U0001f45f 50 %'": "Größe \U0001f45f 50 %",
    "'10:30 :name'": "10:30 :name",
    "DATE '2024-02-29'": "2024-02-29",
    "TIMESTAMP '2024-02-29 12:00:00.5'": "2024-02-29T12:00:00.500000",
    "TIMESTAMPTZ '2024-02-29 12:00:00+02'": "2024-02-29T10:00:00+00:00",
    "'c0ffee00-0000-4000-8000-000000000001'::uuid": "c0ffee00-0000-4000-8000-000000000001",
    "'\\x00ff'::bytea": "00ff",
    """'{"b": [1, null], "a": "ä"}'::jsonb""": '{"a": "ä", "b": [1, null]}',
    "ARRAY[1.5, 2]::numeric[]": '["1.5", "2"]',
}


def test_every_type_becomes_text_in_one_form(database):
    columns = ", ".join(f"{value} AS c{n}" for n, value in enumerate(VALUES))
    found = read(f"SELECT {columns}")
    assert set(found.dtypes) == {pl.String}
    assert list(found.row(0)) == list(VALUES.values())


def stored(folder: Path, table: pl.DataFrame) -> bytes:
    folder.mkdir()
    write_side_tables(folder, {"labels": table})
    assert read_side_tables(folder)["labels"].equals(table)
    return (folder / "tables/labels.parquet").read_bytes()


def test_equal_rows_give_equal_bytes_in_whatever_order_they_lie(database, tmp_path):
    rows = [(n, n % 7 if n % 5 else None) for n in range(25_000)]
    database.fill("one", "id int, label int", rows)
    random.Random(0).shuffle(rows)
    database.fill("two", "id int, label int", rows)
    found = {name: read(f"SELECT id, label FROM {name}") for name in ("one", "two")}
    assert len(found["one"]) == 25_000
    assert stored(tmp_path / "one", found["one"]) == stored(tmp_path / "two", found["two"])


@pytest.mark.parametrize("end", ["", ";", " -- the newest\n", " LIMIT 0"])
def test_a_query_may_end_in_any_way_and_give_nothing(database, end):
    found = read(f"WITH one AS (SELECT 1 AS id, 'a' AS label) SELECT * FROM one{end}")
    assert found.columns == ["id", "label"]
    assert len(found) == (0 if "LIMIT" in end else 1)


def test_memory_is_bounded_by_the_text_and_not_by_the_driver(database):
    # 200,000 rows of 200 bytes: fetched at once they would be 40 MB of text as Python objects.
    query = "SELECT n AS id, repeat('x', 200) AS label FROM generate_series(1, 200000) AS n"
    read(query.replace("200000", "1"))
    tracemalloc.start()
    try:
        assert len(read(query)) == 200_000
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


WRONG = {
    "SELECT id FORM photos": (
        'syntax error at or near "photos" at line 1, character 16 of `query`'
    ),
    "SELECT id\nFROM photos\nWHERE lable = 1": (
        'column "lable" does not exist at line 3, character 7 of `query`'
    ),
    "SELECT * FROM nowhere": (
        'relation "nowhere" does not exist at line 1, character 15 of `query`'
    ),
    "SELECT 1 / (id - 1) FROM photos": "division by zero",
    "SELECT id, label AS id FROM photos": "two columns are called id",
    "SELECT nextval('counter')": "cannot execute nextval() in a read-only transaction",
    "INSERT INTO photos VALUES (9, 'x')": 'syntax error at or near "INSERT" at line 1, character 1',
    "WITH w AS (DELETE FROM photos RETURNING id) SELECT * FROM w": "data-modifying",
    "SELECT 1; COMMIT; DROP TABLE photos": "read-only transaction",
    "SELECT spoil()": "cannot execute DELETE in a read-only transaction",
    "": "syntax error at end of input",
}


@pytest.mark.parametrize(("query", "said"), WRONG.items(), ids=WRONG)
def test_a_bad_query_is_refused_in_the_servers_words_and_writes_nothing(database, query, said):
    database.fill("photos", "id int, label text", [(1, "cat"), (2, "dog")])
    database.run(
        "CREATE SEQUENCE counter",
        "CREATE FUNCTION spoil() RETURNS int LANGUAGE sql AS 'DELETE FROM photos RETURNING 1'",
    )
    assert said in refusal(query)
    assert len(read("SELECT * FROM photos")) == 2
    assert read("SELECT is_called FROM counter").item() == "false"


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv(ENV, raising=False)
    assert f"the environment variable {ENV} is not set. Put the" in refusal()


def test_a_role_with_the_right_password_reads_what_it_may(database, monkeypatch):
    database.run("CREATE TABLE open (id int)", "CREATE TABLE closed (id int)")
    database.run(f"GRANT SELECT ON open TO {ROLE}")
    monkeypatch.setenv(ENV, database.url_of(ROLE, PASSWORD))
    assert read("SELECT * FROM open").is_empty()
    assert "permission denied for table closed" in refusal("SELECT * FROM closed")


@pytest.mark.parametrize("password", ["s3cret/@: 100%", "reader"])
def test_a_bad_password_is_refused_and_never_shown(database, monkeypatch, capfd, password):
    monkeypatch.setenv(ENV, database.url_of(ROLE, password))
    said = refusal()
    assert "password authentication failed" in said
    assert f"Check the URL in {ENV}" in said
    assert password not in said
    assert database.url_of(ROLE, password) not in said
    assert capfd.readouterr() == ("", "")


def test_a_password_in_a_servers_message_is_struck_out(database, monkeypatch):
    monkeypatch.setenv(ENV, database.url_of(ROLE, PASSWORD))
    said = refusal(f"SELECT '{PASSWORD}'::int")
    assert 'invalid input syntax for type integer: "***"' in said


UNUSABLE = {
    "nothing listens": ("postgresql://u:s3cret@127.0.0.1:9/db", "Connection refused"),
    "no such database": ("{url}_not", "does not exist"),
    "no URL": ("s3cret", "holds no database URL"),
    "an @ in the password": ("postgresql://u:s3c@ret@:x@host/db", "holds no database URL"),
    "another kind": (
        "mysql://u:s3cret@127.0.0.1/db",
        "mysql: this kind of database is not read yet",
    ),
    "another driver": ("postgresql+asyncpg://u:s3cret@127.0.0.1/db", "asyncpg"),
    "no such file": ("sqlite:///missing.db", "unable to open database file"),
}


@pytest.mark.parametrize(("url", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_database_that_cannot_be_reached_is_one_line(postgres, monkeypatch, tmp_path, url, said):
    missing = postgres.url.replace(f"/{postgres.name}?", f"/{postgres.name}_not?")
    monkeypatch.setenv(ENV, missing if url == "{url}_not" else url)
    found = refusal(root=tmp_path)
    assert said in found
    assert "s3c" not in found
    assert not list(tmp_path.iterdir())


def test_a_sqlite_file_is_read_and_not_written(tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "labels.db") as connection:
        connection.execute("CREATE TABLE labels (id INTEGER, price REAL, name TEXT)")
        connection.executemany(
            "INSERT INTO labels VALUES (?, ?, ?)", [(2, 1.0, None), (1, 2.5, "%")]
        )
    connection.close()
    monkeypatch.setenv(ENV, "sqlite:///labels.db")
    assert read("SELECT * FROM labels", tmp_path).rows() == [("1", "2.5", "%"), ("2", "1", None)]
    assert 'near "FORM": syntax error' in refusal("SELECT * FORM labels", tmp_path)
    assert "readonly database" in refusal("DELETE FROM labels", tmp_path)
    assert len(read("SELECT * FROM labels", tmp_path)) == 2
