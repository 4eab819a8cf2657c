"""Keys and tables say who an image shows; what cannot be told is a misfit, never a guess."""

from typing import Any

import polars as pl
import pytest
from pydantic import TypeAdapter

from imagemill import layouts
from imagemill.errors import ConfigError, SourceError
from imagemill.layouts import Layout

FOLDERS = {"kind": "imagefolder", "folders": ["split", "identity"], "join": None, "constants": {}}
FLAT = {"kind": "flat", "pattern": r"(?P<identity>.+)_face\.png", "join": None, "constants": {}}
JOIN = {"table": "labels", "key": "file", "columns": {"label": "what"}, "prefix": "", "rename": {}}
TABLE = {"kind": "table", "join": JOIN, "constants": {}}
LABELS = pl.DataFrame({"file": ["a.png", "b.png"], "what": ["cat", "dog"], "who": ["ann", ""]})


def layout(spec: dict[str, Any]) -> Layout:
    return TypeAdapter(Layout).validate_python(spec)


def told(spec: dict[str, Any], *keys: str, labels: pl.DataFrame = LABELS) -> dict[str, Any]:
    listing = pl.DataFrame({"source": ["s"] * len(keys), "key": keys})
    rows = layouts.assign(listing, {"s": layout(spec)}, {"labels": labels})
    assert rows["key"].to_list() == list(keys)
    said = rows.select("key", *layouts.SAYS, "misfit").iter_rows(named=True)
    return {row.pop("key"): {k: v for k, v in row.items() if v is not None} for row in said}


def test_folders_tell_what_they_are_named_for_outermost_first():
    found = told(FOLDERS, "train/ann/1.png", "test/bob/deep/er/2.png")
    assert found["train/ann/1.png"] == {"split": "train", "identity": "ann", "label": "ann"}
    assert found["test/bob/deep/er/2.png"] == {"split": "test", "identity": "bob", "label": "bob"}


def test_a_key_with_too_few_folders_has_no_layout():
    assert told(FOLDERS, "train/1.png", "1.png", "train//1.png") == {
        "train/1.png": {"misfit": "no_layout"},
        "1.png": {"misfit": "no_layout"},
        "train//1.png": {"misfit": "no_layout"},
    }


def test_a_pattern_must_fit_the_whole_key():
    found = told(FLAT, "69 26_face.png", "x_face.png.txt", "x_face_png", "_face.png")
    assert found.pop("69 26_face.png") == {"identity": "69 26", "label": "69 26"}
    assert all(row == {"misfit": "no_layout"} for row in found.values())


def test_a_group_that_matches_nothing_tells_nothing():
    flat = {**FLAT, "pattern": r"(?P<identity>[a-z]*)(?P<label>\d)?\.png"}
    assert told(flat, "ann.png", "1.png", ".png") == {
        "ann.png": {"identity": "ann", "label": "ann"},
        "1.png": {"label": "1"},
        ".png": {"misfit": "no_label"},
    }


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?P<identity>", r"sources\.s\.layout\.pattern: .*missing \), unterminated subpattern"),
        ("(?P<identiy>.+)", "group identiy: tells nothing; did you mean identity?"),
        ("(?P<identity>.+)(?=x)", "look-around"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_an_error_of_the_config(pattern, said):
    with pytest.raises(ConfigError, match=said):
        told({**FLAT, "pattern": pattern}, "a.png")


def test_a_source_without_a_layout_is_an_error_and_not_a_gap():
    listing = pl.DataFrame({"source": ["s", "t"], "key": ["a/b/c", "d"]})
    with pytest.raises(ConfigError, match=r"sources\.t\.layout: needs a value"):
        layouts.assign(listing, {"s": layout(FOLDERS)}, {})


def test_rows_keep_their_order_whatever_the_order_of_layouts():
    keys = ["a/b/1", "x_face.png", "a/b/0", "y_face.png"]
    listing = pl.DataFrame({"source": ["s", "t", "s", "t"], "key": keys})
    both = {"t": layout(FLAT), "s": layout(FOLDERS)}
    one = layouts.assign(listing, both, {})
    assert one["key"].to_list() == keys
    assert one.equals(layouts.assign(listing, dict(reversed(both.items())), {}))
    assert one["identity"].to_list() == ["b", "x", "b", "y"]


def test_a_constant_fills_in_what_neither_key_nor_table_tells():
    join = {**JOIN, "columns": {"identity": "who"}}
    found = told(
        {**TABLE, "join": join, "constants": {"identity": "?", "split": "train"}}, "a.png", "b.png"
    )
    assert found["a.png"] == {"identity": "ann", "label": "ann", "split": "train"}
    assert found["b.png"] == {"identity": "?", "label": "?", "split": "train"}


# Joins


def test_a_table_tells_more_and_has_the_last_word():
    flat = {**FLAT, "pattern": r"(?P<label>.)\.png", "join": JOIN}
    assert told(flat, "a.png", "b.png")["a.png"] == {"label": "cat"}


def test_a_key_that_the_table_does_not_label_is_a_misfit():
    labels = pl.DataFrame({"file": ["a.png", "b.png"], "what": ["cat", ""]})
    assert told(TABLE, "a.png", "b.png", "c.png", labels=labels) == {
        "a.png": {"label": "cat"},
        "b.png": {"misfit": "no_label"},
        "c.png": {"misfit": "no_label"},
    }


def test_a_key_may_lack_a_row_where_the_table_tells_no_label():
    folders = {**FOLDERS, "folders": ["label"], "join": {**JOIN, "columns": {"group": "who"}}}
    labels = pl.DataFrame({"file": ["cat/a.png"], "who": ["g"]})
    found = told(folders, "cat/a.png", "cat/b.png", labels=labels)
    assert found == {"cat/a.png": {"label": "cat", "group": "g"}, "cat/b.png": {"label": "cat"}}


def test_the_prefix_is_what_the_tables_keys_have_in_front():
    labels = pl.DataFrame({"file": ["photos/a.png"], "what": ["cat"]})
    join = {**JOIN, "prefix": "photos/"}
    assert told({**TABLE, "join": join}, "a.png", labels=labels)["a.png"] == {"label": "cat"}


def test_labels_are_renamed_and_others_stay():
    join = {**JOIN, "rename": {"cat": "felis"}}
    found = told({**TABLE, "join": join}, "a.png", "b.png")
    assert [row["label"] for row in found.values()] == ["felis", "dog"]


@pytest.mark.parametrize("second", ["cat", "tom"])
def test_rows_that_say_the_same_under_their_final_names_are_one(second):
    labels = pl.DataFrame({"file": ["a.png"] * 2, "what": ["cat", second]})
    join = {**JOIN, "rename": {"tom": "cat"}}
    assert told({**TABLE, "join": join}, "a.png", labels=labels) == {"a.png": {"label": "cat"}}


def test_rows_of_one_key_that_say_different_things_are_an_error():
    labels = pl.DataFrame({"file": ["b", "a", "a", "b", "c"], "what": ["1", "2", "3", "4", "5"]})
    with pytest.raises(
        SourceError, match=r"tables\.labels: 2 keys .* first file = a\. Leave one row"
    ):
        told(TABLE, "a.png", labels=labels)


def test_rows_without_a_key_are_no_contradiction():
    labels = pl.DataFrame({"file": [None, None, "a.png"], "what": ["x", "y", "cat"]})
    assert told(TABLE, "a.png", labels=labels) == {"a.png": {"label": "cat"}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": "label"}, r"layout\.join\.table: no table label; did you mean labels\?"),
        ({"key": "fil"}, r"layout\.join: no column fil; did you mean file\?"),
        ({"columns": {"label": "wat"}}, r"layout\.join: no column wat; did you mean what\?"),
    ],
)
def test_a_join_with_what_is_not_there_is_an_error_with_a_suggestion(change, said):
    with pytest.raises(ConfigError, match=said):
        told({**TABLE, "join": {**JOIN, **change}}, "a.png")
