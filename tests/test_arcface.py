"""insightface is told of the classes and images that its loader will find."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from imagemill import arcface
from imagemill.tables import CONTENTS


def contents(*members: str) -> pl.DataFrame:
    """Members with their split, if they lie in one."""
    rows = [
        {"member": member, "split": member.split("/")[0] if member.count("/") > 1 else None}
        for member in members
    ]
    return CONTENTS.frame([dict(row) for row in rows])


def told(*members: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(arcface.files(contents(*members))["arcface.json"])
    return found


def test_everything_is_trained_on_where_there_are_no_splits():
    assert told("b/1.jpg", "a/1.jpg", "a/2.jpg") == {
        "split": None,
        "num_classes": 2,
        "num_image": 3,
        "classes": ["a", "b"],
    }


def test_the_split_train_is_trained_on_where_there_are_splits():
    found = told("train/b/1.jpg", "test/a/1.jpg", "train/c/1.jpg", "train/c/2.jpg")
    assert found == {"split": "train", "num_classes": 2, "num_image": 3, "classes": ["b", "c"]}


def test_a_dataset_with_other_splits_only_has_no_hand_off(tmp_path: Path):
    arcface.write(tmp_path, contents("a/1.jpg"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arcface.json", "arcface.py"]
    arcface.write(tmp_path, contents("test/a/1.jpg"))
    assert list(tmp_path.iterdir()) == []


def test_classes_are_in_the_order_in_which_image_folder_sorts_their_folders(tmp_path: Path):
    names = ["b", "B", "a b", "a_b", "10", "9", "é", "日本", ".hidden", "A"]
    for name in names:
        (tmp_path / name).mkdir()
    expected = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert told(*(f"{name}/1.jpg" for name in names))["classes"] == expected


def test_the_snippet_is_small_whatever_the_number_of_classes_and_says_each_figure():
    text = arcface.files(contents(*(f"id{n:06}/{i}.jpg" for n in range(1100) for i in range(2))))
    snippet = text["arcface.py"]
    assert "\nconfig.num_classes = 1_100  # folders of classes\n" in snippet
    assert "\nconfig.num_image = 2_200  # images in them\n" in snippet
    assert len(snippet) < 1000


EASYDICT = "class EasyDict(dict):\n    __setattr__ = dict.__setitem__\n"
"""The part of the package of that name, which comes with insightface, that is used."""


@pytest.mark.parametrize(("member", "below"), [("a/1.jpg", ""), ("train/a/1.jpg", "train")])
def test_the_snippet_points_to_the_folder_in_which_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, below: str
):
    import runpy

    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/easydict.py").write_text(EASYDICT)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    arcface.write(tmp_path, contents(member))
    config = runpy.run_path(str(tmp_path / "arcface.py"))["config"]
    assert config == {"rec": str(tmp_path / below), "num_classes": 1, "num_image": 1}
    sys.modules.pop("easydict")


def test_equal_contents_give_equal_bytes_in_any_order():
    one, two = contents("b/1.jpg", "a/1.jpg"), contents("a/1.jpg", "b/1.jpg")
    assert arcface.files(one) == arcface.files(two)
