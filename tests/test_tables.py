"""A table is written whole, sorted, as promised; equal content gives equal bytes."""

import polars as pl
import pytest

from imagemill.tables import LISTING, PAIRS, VERDICTS, Table, read_side_tables, write_side_tables
from tests import make

TABLE = Table("t.parquet", {"key": pl.String, "number": pl.Int64}, ("key", "number"))


def rows(*pairs: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(pairs, TABLE.columns, orient="row")


def test_equal_content_gives_equal_bytes_whatever_the_order(tmp_path):
    written = set()
    for frame in (rows(("a", 1), ("b", 2), ("a", 0)), rows(("b", 2), ("a", 0), ("a", 1))):
        TABLE.write(tmp_path, frame)
        written.add((tmp_path / "t.parquet").read_bytes())
    assert len(written) == 1
    assert TABLE.read(tmp_path).rows() == [("a", 0), ("a", 1), ("b", 2)]


def test_rows_that_come_in_pieces_give_the_same_bytes(tmp_path):
    frame = rows(*((f"{n:06}", n) for n in range(150_000)))
    TABLE.write(tmp_path, frame)
    whole = (tmp_path / "t.parquet").read_bytes()
    TABLE.write_pieces(tmp_path, frame.iter_slices(7000))
    assert (tmp_path / "t.parquet").read_bytes() == whole
    assert TABLE.scan(tmp_path).collect().equals(frame)


@pytest.mark.parametrize("count", [0, 1, 65_536, 150_000])
def test_pieces_of_a_table_are_the_whole_of_it(tmp_path, count):
    later = Table(TABLE.file, {**TABLE.columns, "fold": pl.Int32}, TABLE.key, later=("fold",))
    TABLE.write(tmp_path, rows(*((f"{n:06}", n) for n in range(count))))
    pieces = list(later.pieces(tmp_path))
    assert all(len(piece) <= 65_536 for piece in pieces)
    assert pl.concat(pieces).equals(later.read(tmp_path))


def test_columns_that_were_not_promised_are_left_out(tmp_path):
    TABLE.write(
        tmp_path, rows(("a", 1)).with_columns(more=pl.lit(1)).select("more", "number", "key")
    )
    assert TABLE.read(tmp_path).columns == ["key", "number"]


def test_a_column_that_an_earlier_version_did_not_write_is_null(tmp_path):
    later = Table(TABLE.file, {**TABLE.columns, "fold": pl.Int32}, TABLE.key, later=("fold",))
    TABLE.write(tmp_path, rows(("a", 1)))
    assert later.read(tmp_path).rows() == [("a", 1, None)]
    later.write(tmp_path, rows(("a", 1)).with_columns(fold=pl.lit(2, pl.Int32)))
    assert later.read(tmp_path).rows() == [("a", 1, 2)]
    TABLE.write(tmp_path, rows(("a", 1)))
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        Table(TABLE.file, dict(later.columns), TABLE.key).read(tmp_path)


@pytest.mark.parametrize(
    "frame",
    [rows(("a", 1)).drop("number"), rows(("a", 1)).cast({"number": pl.Int32})],
    ids=["missing", "type"],
)
def test_a_column_that_breaks_its_promise_is_a_defect_and_leaves_no_file(tmp_path, frame):
    with pytest.raises((TypeError, pl.exceptions.ColumnNotFoundError)):
        TABLE.write(tmp_path, frame)
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_written_replaces_the_one_before(tmp_path):
    TABLE.write(tmp_path, rows(("a", 1)))
    TABLE.write(tmp_path, rows(("b", 2)))
    assert TABLE.read(tmp_path).rows() == [("b", 2)]
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.parametrize("table", [LISTING, PAIRS, VERDICTS])
def test_a_table_without_rows_keeps_its_columns(tmp_path, table):
    table.write(tmp_path, table.frame())
    assert table.read(tmp_path).schema == pl.Schema(table.columns)


def test_a_frame_takes_rows_by_column_name_and_leaves_the_rest_null():
    assert TABLE.frame([{"number": 3}]).rows() == [(None, 3)]
    assert make.frame(VERDICTS, {"key": "a"})["reasons"].to_list() == [[]]


@pytest.mark.parametrize("tables", [{}, {"labels": rows(("a", 1)), "truth": rows()}])
def test_side_tables_are_read_back_by_name(tmp_path, tables):
    write_side_tables(tmp_path, tables)
    found = read_side_tables(tmp_path)
    assert found.keys() == tables.keys()
    assert all(found[name].equals(table) for name, table in tables.items())
