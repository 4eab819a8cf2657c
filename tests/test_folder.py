"""Folders and label tables: everything is listed, once, and read only when it may have changed."""

import os
import socket
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imagemill.errors import SourceError
from imagemill.sources import Csv, stamps
from imagemill.sources.folder import FolderObjects, UnavailableError
from imagemill.sources.locate import locate
from tests import make


def opened(place: Path, **given: object) -> FolderObjects:
    return make.folder(place / "photos", **given).open("album", place)


def listed(place: Path, **given: object) -> dict[str, tuple[int, str | None, str | None]]:
    found = opened(place, **given).listed()
    rows = found.select("key", "bytes", "digest", "reason").iter_rows()
    return {key: (length, digest, reason) for key, length, digest, reason in rows}


def hashed(place: Path, **given: object) -> int:
    objects = opened(place, **given)
    objects.listed()
    return objects.new


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project with a folder of three files, called photos."""
    make.fill(tmp_path / "photos", {"a.jpg": b"one", "cat/b.jpg": b"two", "cat/c.jpg": b"one"})
    return tmp_path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of files count as past long ago at once."""
    monkeypatch.setattr(stamps, "RACY", -1_000_000_000)


def row(data: bytes) -> tuple[int, str, None]:
    return len(data), make.sha(data), None


def test_everything_below_a_folder_is_listed_with_its_hash(place):
    expected = {"a.jpg": row(b"one"), "cat/b.jpg": row(b"two"), "cat/c.jpg": row(b"one")}
    assert listed(place) == expected
    assert opened(place).listed()["key"].is_sorted()


def test_files_that_did_not_change_are_not_read_again(place, later):
    assert hashed(place) == 3
    assert hashed(place) == 0
    (place / "photos/d.jpg").write_bytes(b"new")
    assert hashed(place) == 1


def test_files_that_changed_just_now_are_read_again(place):
    assert hashed(place) == hashed(place) == 3


def test_a_touched_file_gives_an_equal_listing(place, later):
    before = opened(place).listed()
    (place / "photos/a.jpg").touch()
    objects = opened(place)
    assert objects.listed().equals(before)
    assert objects.new == 1


def rewritten(path: Path, data: bytes) -> None:
    """Change a file in place, and give it back its time of modification."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_rewrite_of_equal_length_is_noticed_within_the_clocks_resolution(place):
    for n in range(20):
        data = b"%03d" % n
        rewritten(place / "photos/a.jpg", data)
        assert listed(place)["a.jpg"] == row(data)


def test_an_old_time_of_modification_does_not_hide_a_rewrite(place):
    path = place / "photos/a.jpg"
    past = time.time_ns() - 3600 * 10**9
    os.utime(path, ns=(past, past))
    listed(place)
    rewritten(path, b"eno")
    assert listed(place)["a.jpg"] == row(b"eno")


def test_a_time_of_modification_in_the_future_is_no_reason_to_read_again(place, later):
    coming = time.time_ns() + 10**15
    os.utime(place / "photos/a.jpg", ns=(coming, coming))
    hashed(place)
    assert hashed(place) == 0


def test_a_renamed_file_is_listed_under_its_new_name(place, later):
    listed(place)
    (place / "photos/a.jpg").rename(place / "photos/z.jpg")
    assert listed(place).keys() == {"cat/b.jpg", "cat/c.jpg", "z.jpg"}


def test_two_sources_of_one_folder_do_not_make_each_other_forget(place, later):
    assert hashed(place, include=["cat/*"]) == 2
    assert hashed(place, exclude=["cat/*"]) == 1
    assert hashed(place, include=["cat/*"]) == 0
    assert hashed(place) == 0


@pytest.mark.parametrize("damage", [b"", b"not parquet", None])
def test_damaged_memory_of_files_is_made_anew(place, later, damage):
    before = listed(place)
    (stats,) = (place / ".imagemill/stat").iterdir()
    stats.write_bytes(stats.read_bytes()[:-20] if damage is None else damage)
    assert listed(place) == before
    assert hashed(place) == 0


NAMES = [
    "b c.jpg",
    "snö.jpg",
    "日本/犬 .png",
    "no\u00a0break.jpg",
    "9.41\u202fAM.png",
    "👨‍👩‍👧.jpg",
    "#[x]?*.png",
    "a" * 251 + ".jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_people_use_are_keys(place, name):
    make.fill(place / "photos", {name: b"data"})
    assert listed(place)[name] == row(b"data")
    assert opened(place).read(name) == b"data"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"a\nb.jpg", "a\\x0ab.jpg"),
        (b"\xff\xfe.jpg", "\\xff\\xfe.jpg"),
        (b"a\x07.jpg", "a\\x07.jpg"),
    ],
)
def test_a_name_that_cannot_be_written_down_is_a_row_with_a_reason(place, name, key):
    (place / "photos" / os.fsdecode(name)).write_bytes(b"data")
    assert listed(place)[key] == (0, None, "odd_name")


def test_an_odd_name_never_takes_the_place_of_a_real_one(place):
    make.fill(place / "photos", {"a\nb": b"odd", "a\\x0ab": b"real"})
    assert opened(place).listed()["key"].to_list() == ["a.jpg", "a\\x0ab", "cat/b.jpg", "cat/c.jpg"]
    assert listed(place)["a\\x0ab"] == row(b"real")


def test_a_link_to_a_file_is_that_file_and_one_to_a_folder_is_not_followed(place):
    make.fill(place, {"elsewhere/x.jpg": b"far"})
    (place / "photos/link.jpg").symlink_to(place / "elsewhere/x.jpg")
    (place / "photos/linked").symlink_to(place / "elsewhere")
    (place / "photos/loop").symlink_to(place / "photos")
    found = listed(place)
    assert found["link.jpg"] == row(b"far")
    assert found["linked"] == found["loop"] == (0, None, "linked_folder")
    assert len(found) == 6
    assert "linked" not in listed(place, exclude=["link*"])


def test_a_link_to_nothing_is_a_row_with_a_reason(place):
    (place / "photos/x.jpg").symlink_to("nowhere")
    assert listed(place)["x.jpg"] == (0, None, "vanished")
    with pytest.raises(UnavailableError, match="gone when read"):
        opened(place).read("x.jpg")


def test_a_pipe_or_socket_is_a_row_and_keeps_nobody_waiting(place):
    os.mkfifo(place / "photos/pipe")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place / "photos/sock"))
        found = listed(place)
    assert found["pipe"] == found["sock"] == (0, None, "not_a_file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_row_and_an_unreadable_folder_an_error(place):
    (place / "photos/a.jpg").chmod(0)
    assert listed(place)["a.jpg"] == (3, None, "denied")
    (place / "photos/cat").chmod(0)
    with pytest.raises(SourceError, match=r"photos/cat: Permission denied"):
        listed(place)


def test_a_folder_that_cannot_be_entered_is_an_error_and_not_a_gap(place):
    deep = place / "photos"
    here = os.open(deep, os.O_RDONLY)
    for _ in range(20):  # deeper than a path may be long
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(SourceError, match="File name too long"):
        listed(place)


def test_patterns_choose_among_keys(place):
    assert listed(place, include=["cat/*"]).keys() == {"cat/b.jpg", "cat/c.jpg"}
    assert listed(place, include=["*.jpg"], exclude=["*b.jpg", "a*"]).keys() == {"cat/c.jpg"}
    assert listed(place, include=[]) == {}
    make.fill(place / "photos", {".DS_Store": b"", "cat/.hidden": b"", "cat.d/x": b""})
    assert listed(place, exclude=[".*", "*/.*"]).keys() == {
        "a.jpg",
        "cat/b.jpg",
        "cat/c.jpg",
        "cat.d/x",
    }


def test_an_empty_folder_lists_nothing(tmp_path):
    (tmp_path / "photos").mkdir()
    assert listed(tmp_path) == {}


class Growing(FolderObjects):
    """A folder in which a file grows after its size was looked at."""

    def _hash(self, keys: list[str]) -> pl.DataFrame:
        (self.place / "a.jpg").write_bytes(b"longer")
        return super()._hash(keys)


def test_the_length_of_a_growing_file_is_that_of_the_bytes_that_were_hashed(place):
    growing = Growing(make.folder(place / "photos"), place / "photos", place / "stat")
    assert ("a.jpg", *row(b"longer")) in growing.listed().drop("tag").rows()
    assert ("a.jpg", *row(b"longer")) in growing.listed().drop("tag").rows()


# Where a path leads


def test_a_path_is_relative_to_the_project_or_absolute_or_in_a_package(place):
    assert locate("photos", place) == place / "photos"
    assert locate(str(place / "photos"), Path("/")) == place / "photos"
    assert (locate("package://skimage/data", place) / "astronaut.png").exists()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "nowhere does not exist"),
        ("package://no_such_thing/x", "no package no_such_thing is installed"),
        ("package://no_such.thing/x", "no package no_such.thing is installed"),
        ("package:///x", "no package  is installed"),
        ("package://skimage/nowhere", "does not exist"),
        ("ftp://x/y", "unknown scheme ftp://; known: package://, sample://"),
        ("photos/a.jpg", "a.jpg is not a folder"),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error_that_names_the_source(place, path, said):
    with pytest.raises(SourceError, match=said) as raised:
        make.folder(Path(path)).model_copy(update={"path": path}).open("album", place)
    assert str(raised.value).startswith("sources.album: ")


# Label tables


def table(place: Path, text: str | bytes, **given: object) -> pl.DataFrame:
    data = text.encode() if isinstance(text, str) else text
    (place / "labels.csv").write_bytes(data)
    usual = {"kind": "csv", "path": "labels.csv", "separator": ",", "columns": []}
    return Csv.model_validate({**usual, **given}).read("labels", place)


def test_a_table_is_text_in_sorted_rows_whatever_their_order(tmp_path):
    one = table(tmp_path, "file,label\nb,2\na,01\n")
    assert one.rows(named=True) == [{"file": "a", "label": "01"}, {"file": "b", "label": "2"}]
    assert one.equals(table(tmp_path, "file,label\na,01\nb,2"))


CSVS = {
    "byte order mark": ("\ufefffile,label\na,1\n", {}),
    "windows line ends": ("file,label\r\na,1\r\n", {}),
    "quotes": ('"file","label"\n"a","1"\n', {}),
    "blank lines": ("\n\nfile,label\n\na,1\n,\n\n", {}),
    "space after the comma": ("file, label\na, 1\n", {}),
    "own column names": ("a,1\n", {"columns": ["file", "label"]}),
    "runs of spaces": ("file   label\na      1\n", {"separator": " "}),
    "spaces at both ends": ("  file label  \n a  1   \n   \n", {"separator": " "}),
    "tabs": ("file\tlabel\na\t1\n", {"separator": "\t"}),
}


@pytest.mark.parametrize(("text", "given"), CSVS.values(), ids=CSVS)
def test_a_table_is_read_however_it_is_written(tmp_path, text, given):
    assert table(tmp_path, text, **given).rows(named=True) == [{"file": "a", "label": "1"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na,1\nb,2,3\n", "line 3 has 3 values for 2 columns (file, label)"),
        ("file,label\na,1\nb\n", "line 3 has 1 values for 2 columns"),
        ('file,label\n"a\nb",1\nc\n', "line 4 has 1 values for 2 columns"),
        ("file,label,file\n", "two columns are called file"),
        ("", "no line in the file"),
        (b"file,label\n\xff,1\n", "can't decode byte 0xff"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_that_names_table_and_line(tmp_path, text, said):
    with pytest.raises(SourceError) as raised:
        table(tmp_path, text)
    assert str(raised.value).startswith("tables.labels: ")
    assert said in str(raised.value)


def test_a_table_that_is_not_there_is_an_error(tmp_path):
    spec = Csv(kind="csv", path="nowhere.csv", separator=",", columns=[])
    with pytest.raises(SourceError, match=r"tables\.labels: path nowhere\.csv: .* does not exist"):
        spec.read("labels", tmp_path)


@pytest.mark.parametrize("separator", ["", "::"])
def test_a_separator_is_one_character(separator):
    with pytest.raises(ValidationError):
        Csv(kind="csv", path="x", separator=separator, columns=[])


cells = st.text(st.characters(codec="utf-8", exclude_characters='\0\r\n" '), max_size=5)


@given(st.lists(st.tuples(cells.filter(bool), cells), min_size=1, max_size=8))
def test_every_row_of_a_table_comes_out_once(tmp_path_factory, rows):
    text = "".join(f'"{file}","{label}"\n' for file, label in [("file", "label"), *rows])
    assert table(tmp_path_factory.mktemp("table"), text).rows() == sorted(rows)
