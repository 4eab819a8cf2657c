"""A folder with COCO's JSON: boxes and outlines are kept; what lacks its partner is told."""

import json
import shutil
import tracemalloc
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagemill.errors import SourceError
from imagemill.sources import longjson, stamps
from imagemill.sources.coco import Coco, CocoObjects
from imagemill.sources.longjson import BrokenJsonError, members
from imagemill.tables import CONTENTS, LISTING, ORPHANS, SAMPLES, read_side_tables
from tests import make
from tests.conftest import ROOT, Project
from tests.draw import photo_bytes

POLYGON = [[1.5, 2, 10, 2, 10.25, 12]]
RUNS = {"counts": [3, 5], "size": [96, 96]}

SAID: dict[str, Any] = {
    "info": {"year": 2017},
    "images": [
        {"id": 9, "file_name": "b.jpg", "width": 96, "height": 96, "license": 3},
        {"id": 4, "file_name": "a.jpg", "width": 96, "height": 96},
        {"id": 5, "file_name": "deep/c.jpg"},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    "annotations": [
        {
            "id": 70,
            "image_id": 9,
            "category_id": 18,
            "bbox": [1, 2, 30.5, 40],
            "area": 800.5,
            "iscrowd": 0,
            "segmentation": POLYGON,
        },
        {
            "id": 71,
            "image_id": 9,
            "category_id": 1,
            "bbox": [0, 0, 30, 30],
            "area": 900,
            "iscrowd": 1,
            "segmentation": RUNS,
        },
        {"id": 60, "image_id": 4, "category_id": 18, "bbox": [0, 0, 10, 10]},
        {"id": 61, "image_id": 4, "category_id": 1, "area": 100},
    ],
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project with three photos and what ``SAID`` says of them."""
    make.fill(tmp_path / "photos", {"a.jpg": b"a", "b.jpg": b"b", "deep/c.jpg": b"c"})
    write(tmp_path, SAID)
    return tmp_path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of files count as past long ago at once."""
    monkeypatch.setattr(stamps, "RACY", -1_000_000_000)


def write(place: Path, said: object) -> None:
    (place / "instances.json").write_text(json.dumps(said))


def opened(place: Path, **given: object) -> CocoObjects:
    usual = {"path": "photos", "annotations": "instances.json", "include": ["*"], "exclude": []}
    return Coco.model_validate({"kind": "coco", **usual, **given}).open("pets", place)


def tables(place: Path, **given: object) -> dict[str, pl.DataFrame]:
    objects = opened(place, **given)
    objects.listed()
    return objects.tables()


def edited(*path: str | int, value: object) -> dict[str, Any]:
    """Return ``SAID`` with another value at a place."""
    said = deepcopy(SAID)
    inner: Any = said
    for part in path[:-1]:
        inner = inner[part]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return said


def test_the_images_are_the_files_of_the_folder(place):
    objects = opened(place)
    listed = objects.listed()
    assert listed["key"].to_list() == ["a.jpg", "b.jpg", "deep/c.jpg"]
    assert listed["digest"].to_list() == [make.sha(data) for data in (b"a", b"b", b"c")]
    assert objects.read("deep/c.jpg") == b"c"


def test_every_annotation_is_a_row_with_its_box_and_outline(place):
    rows = tables(place)["annotations"].rows(named=True)
    assert [row["id"] for row in rows] == [60, 61, 70, 71]
    assert rows[2] == {
        "id": 70,
        "key": "b.jpg",
        "image_id": 9,
        "category": "dog",
        "category_id": 18,
        "x": 1.0,
        "y": 2.0,
        "w": 30.5,
        "h": 40.0,
        "area": 800.5,
        "iscrowd": False,
        "segmentation": json.dumps(POLYGON, separators=(",", ":")),
    }
    assert rows[3]["iscrowd"]
    assert json.loads(rows[3]["segmentation"]) == RUNS
    assert rows[0]["area"] == 100.0
    assert (rows[1]["x"], rows[1]["segmentation"]) == (None, None)


def test_an_image_bears_the_category_of_its_largest_annotation(place):
    rows = tables(place)["images"].select("key", "label", "annotations").rows()
    assert rows == [("a.jpg", "dog", 2), ("b.jpg", "person", 2), ("deep/c.jpg", None, 0)]


@pytest.mark.parametrize(
    ("file_name", "key"),
    [
        ("b.jpg", "b.jpg"),
        ("./b.jpg", "b.jpg"),
        ("photos/b.jpg", "b.jpg"),
        ("photos\\deep\\c.jpg", "deep/c.jpg"),
        ("other/b.jpg", "other/b.jpg"),
        ("hotos/b.jpg", "hotos/b.jpg"),
        ("B.jpg", "B.jpg"),
    ],
)
def test_a_file_name_starts_from_the_folder_or_from_one_above_it(place, file_name, key):
    write(place, edited("images", 0, "file_name", value=file_name))
    images = tables(place)["images"]
    assert images.filter(id=9)["key"].item() == key


def test_a_whole_path_finds_its_file(place):
    write(place, edited("images", 0, "file_name", value=str(place / "photos/b.jpg")))
    assert tables(place)["images"].filter(id=9)["key"].item() == "b.jpg"


def test_a_folder_in_the_folder_of_the_same_name_comes_first(place):
    make.fill(place / "photos", {"photos/b.jpg": b"inner"})
    write(place, edited("images", 0, "file_name", value="photos/b.jpg"))
    assert tables(place)["images"].filter(id=9)["key"].item() == "photos/b.jpg"


def test_whatever_lacks_its_partner_is_counted_and_listed(place, capsys):
    make.fill(place / "photos", {"new.jpg": b"n"})
    said = edited("images", 1, "file_name", value="gone.jpg")
    said["annotations"][0]["image_id"] = 999
    said["annotations"][1]["category_id"] = 7
    write(place, said)
    found = tables(place)
    assert (
        "scan: pets: instances.json has 2 files without an entry, 1 entries without a file, "
        "1 annotations of no image, 1 annotations of no category; see its tables"
    ) in capsys.readouterr().err
    noted = found["annotations"]
    assert noted.filter(pl.col("key").is_null()).select("id", "image_id").rows() == [(70, 999)]
    assert noted.filter(pl.col("category").is_null())["id"].to_list() == [71]
    assert found["images"].filter(id=4)["key"].item() == "gone.jpg"


def test_no_word_where_everything_has_its_partner(place, capsys):
    tables(place)
    assert capsys.readouterr().err == ""


def test_an_unchanged_json_is_not_read_again_and_gives_equal_tables(place, later, monkeypatch):
    before = tables(place)
    monkeypatch.setattr("imagemill.sources.coco.members", None)
    again = tables(place)
    assert all(again[name].equals(before[name]) for name in before)


def test_a_json_without_annotations_is_one(place):
    write(place, {"images": SAID["images"], "annotations": [], "categories": []})
    found = tables(place)
    assert found["annotations"].is_empty()
    assert found["images"]["label"].null_count() == 3


TEXT = json.dumps(SAID, indent=1)

BROKEN = {
    "cut short": (TEXT[:-200], r"instances\.json: line \d+ column \d+: .*fetch it again"),
    "a comma": ('{"images": [],\n "annotations": [,]}', r"line 2 column 18: Expecting value"),
    "empty": ("", "line 1 column 1"),
    "a list": ("[]", "no list images"),
    "captions": (json.dumps({"images": [], "annotations": []}), "no list categories"),
    "not text": (b"\xff\xfe\x00", "cannot be read.*utf-8"),
    "deep": ("[" * 100_000, "cannot be read|line 1"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_json_is_an_error_that_says_where(place, text, message):
    data = text if isinstance(text, bytes) else text.encode()
    (place / "instances.json").write_bytes(data)
    with pytest.raises(SourceError, match=rf"^sources\.pets\.annotations: .*{message}") as error:
        tables(place)
    assert "\n" not in str(error.value)


ODD = {
    "no id": (("images", 0, "id"), None, r"images\[0\]: has no id"),
    "no name": (("images", 2, "file_name"), None, r"images\[2\]: has no file_name"),
    "twice": (("images", 0, "id"), 4, r"1 ids of images occur more than once, first 4"),
    "text id": (("images", 0, "id"), "9", r"images\[0\]\.id: '9' is of the wrong kind"),
    "huge id": (("images", 0, "id"), 2**70, r"images\[0\]\.id"),
    "no object": (("images", 0), "b.jpg", r"images\[0\]: must be an object, not 'b\.jpg'"),
    "no image": (("annotations", 1, "image_id"), None, r"annotations\[1\]: has no image_id"),
    "box": (("annotations", 0, "bbox"), [1, 2, 3], r"annotations\[0\]\.bbox: must be four numbers"),
    "box of text": (("annotations", 0, "bbox"), [1, 2, 3, "4"], r"annotations\[0\]\.bbox"),
    "area": (("annotations", 0, "area"), "big", r"annotations\[0\]\.area: 'big'"),
    "category": (("categories", 1, "name"), None, r"categories\[1\]: has no name"),
    "same category": (("categories", 1, "id"), 1, "1 ids of categories occur more than once"),
}


@pytest.mark.parametrize(("path", "value", "message"), ODD.values(), ids=ODD)
def test_an_odd_entry_is_an_error_that_names_it(place, path, value, message):
    write(place, edited(*path, value=value))
    with pytest.raises(SourceError, match=rf"sources\.pets\.annotations: .*{message}"):
        tables(place)


def test_a_missing_json_is_named(place):
    with pytest.raises(SourceError, match=r"sources\.pets\.annotations: path x\.json: .*not exist"):
        opened(place, annotations="x.json")


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4)
)
PIECES = st.sampled_from([1, 2, 7, 1 << 20])


def taken(text: str, piece: int) -> dict[str, Any]:
    """Every list of an object in text that is read so many characters at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(longjson, "PIECE", piece)
        return {
            name: list(entries) for name, entries in members(StringIO(text)) if entries is not None
        }


@given(said=st.dictionaries(st.text(), values), indent=st.sampled_from([None, 0, 3]), piece=PIECES)
def test_a_long_json_read_piece_by_piece_says_the_same(said, indent, piece):
    lists = {name: value for name, value in said.items() if isinstance(value, list)}
    assert taken(json.dumps(said, indent=indent), piece) == lists
    assert taken(json.dumps(said, ensure_ascii=False), piece) == lists


@given(cut=st.integers(0, len(TEXT) - 1), piece=PIECES)
@example(cut=len(TEXT) // 2, piece=1)
def test_a_json_that_is_cut_anywhere_is_broken_where_it_ends_or_a_text_begins(cut, piece):
    with pytest.raises(json.JSONDecodeError) as right:
        json.loads(TEXT[:cut])
    with pytest.raises(BrokenJsonError, match=r"^line (\d+) column (\d+): ") as found:
        taken(TEXT[:cut], piece)
    line, column = map(int, str(found.value).replace(":", "").split()[1:4:2])
    assert (line, column) == (right.value.lineno, right.value.colno)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [1]} x', "line 1 column 12: Extra data"),
        ('{"a": [1]\n "b": 2}', "line 2 column 2: Expecting ','"),
        ("{1: 2}", "line 1 column 2: Expecting property name"),
        ('{"a" [1]}', "line 1 column 6: Expecting ':'"),
        ('{"a": [1 2]}', "line 1 column 10: Expecting ','"),
    ],
)
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_json_that_is_wrong_between_its_values_says_where(text, message, piece):
    with pytest.raises(BrokenJsonError, match=f"^{message}"):
        taken(text, piece)


def test_a_long_json_is_never_in_memory_as_a_whole(tmp_path):
    path = tmp_path / "long.json"
    path.write_text(json.dumps({"annotations": [{"outline": "x" * 1000}] * 20_000}))
    with path.open() as file:
        tracemalloc.start()
        count = sum(1 for _, entries in members(file) for _ in entries or ())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 20_000
    assert most < path.stat().st_size / 3


@pytest.fixture
def coco(project: Project) -> Project:
    """A stand-in of COCO's folders, as the shipped config expects them."""
    shutil.copy(ROOT / "conf/dataset/coco.yaml", project.root / "conf/dataset")
    project.datasets(coco=[])
    for split, first, count in (("train", 0, 6), ("val", 50, 3)):
        photos = {f"{split}2017/{n:012}.jpg": photo_bytes(first + n, "jpg") for n in range(count)}
        make.fill(project.root / "coco", photos)
        images = [{"id": n, "file_name": f"{n:012}.jpg"} for n in range(count + 1)]
        noted = [
            {
                "id": n,
                "image_id": n // 2,
                "category_id": (1, 18)[n // 2 % 2],
                "area": 1000 + n,
                "bbox": [0, 0, 9, 9],
            }
            for n in range(2 * count - 2)
        ]
        said = {"images": images, "annotations": noted, "categories": SAID["categories"]}
        path = f"coco/annotations/instances_{split}2017.json"
        make.fill(project.root, {path: json.dumps(said).encode()})
    return project


def test_the_shipped_config_builds_cocos_folders(coco, build, capsys):
    build(coco, "coco")
    data = coco.root / "data/coco"
    rows = SAMPLES.read(data / "merge").select("sample", "label", "split", "reason").rows()
    assert rows[0] == ("train/000000000000.jpg", "person", "train", None)
    assert rows[1] == ("train/000000000001.jpg", "dog", "train", None)
    assert rows[5] == ("train/000000000005.jpg", None, "train", "no_label")
    assert rows[6] == ("val/000000000000.jpg", "person", "val", None)
    assert CONTENTS.read(data / "package/imagefolder").height == 7
    orphans = ORPHANS.read(data / "scan").select("table", "key").rows()
    assert orphans == [("train.images", "000000000006.jpg"), ("val.images", "000000000003.jpg")]
    sides = read_side_tables(data / "scan")
    assert sides["train.annotations"].height == 10
    assert sides["val.images"].height == 4


def test_a_relabelled_image_is_not_fetched_again(coco, build, capsys):
    build(coco, "coco")
    listing = (coco.root / "data/coco/scan" / LISTING.file).read_bytes()
    path = coco.root / "coco/annotations/instances_val2017.json"
    said = json.loads(path.read_text())
    for each in said["annotations"]:
        each["category_id"] = 19 - each["category_id"]  # 1 for 18, 18 for 1
    path.write_text(json.dumps(said))
    capsys.readouterr()
    build(coco, "coco")
    assert "download: 0 objects fetched" in capsys.readouterr().err
    assert (coco.root / "data/coco/scan" / LISTING.file).read_bytes() == listing
    labels = SAMPLES.read(coco.root / "data/coco/merge").filter(source="val")["label"].to_list()
    assert labels == ["dog", "person", None]
