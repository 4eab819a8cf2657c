"""Rows of Parquet files as objects: labels from the schema, and only what changed is read."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from imagemill.errors import SourceError
from imagemill.sources import stamps
from imagemill.sources.objects import UnavailableError, Wanted
from imagemill.sources.parquet import Parquet
from imagemill.sources.parquet import rows as reading
from imagemill.sources.parquet.footer import NotParquetError, read_footer
from imagemill.sources.parquet.objects import ParquetObjects
from imagemill.sources.parquet.shards import Remote
from imagemill.tables import CONTENTS, INDEX, LISTING, SAMPLES, read_side_tables
from tests import make
from tests.conftest import ROOT, Build, Project
from tests.draw import photo_bytes
from tests.servers import KEY, SECRET, S3Server

NAMES = ["tench", "goldfish", "great white shark"]
STORE = {
    "endpoint": None,
    "region": None,
    "profile": None,
    "anonymous": False,
    "requester_pays": False,
}
IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})


def hub_metadata(names: list[str], column: str = "label") -> dict[str, str]:
    """What the library ``datasets`` writes into a file's schema."""
    features = {"image": {"_type": "Image"}, column: {"names": names, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def shard(
    path: Path,
    images: list[bytes | None],
    /,
    labels: list[int] | None = None,
    metadata: Mapping[str, str] | None = None,
    rows: int = 2,
    **more: list[object],
) -> None:
    """Write a file as the hub has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(images)]
    columns = {
        "image": pl.Series(cells, dtype=IMAGE),
        "label": pl.Series(labels or [0] * len(images), dtype=pl.Int64),
        **more,
    }
    given = hub_metadata(NAMES) if metadata is None else dict(metadata)
    pl.DataFrame(columns).write_parquet(path, row_group_size=rows, metadata=given)


def source(path: Path | str, **given: object) -> Parquet:
    usual = {"include": ["*.parquet"], "exclude": [], "image": "image", "store": STORE}
    return Parquet.model_validate({"kind": "parquet", "path": str(path), **usual, **given})


def opened(place: Path, **given: object) -> ParquetObjects:
    return source(place / "shards", **given).open("pets", place)


def wanted(objects: ParquetObjects) -> list[Wanted]:
    rows = objects.listed().filter(pl.col("reason").is_null())
    return [Wanted(*row) for row in rows.select("key", "tag", "bytes").iter_rows()]


def fetched(objects: ParquetObjects, some: list[Wanted]) -> dict[str, bytes | str]:
    return {each.wanted.key: said(each.content) for each in objects.fetch(some)}


def said(content: bytes | UnavailableError) -> bytes | str:
    return content.reason if isinstance(content, UnavailableError) else content


PHOTOS = [photo_bytes(seed) for seed in range(11)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project with two files of 6 and 5 rows."""
    shard(tmp_path / "shards/data/a-0.parquet", PHOTOS[:6], [0, 1, 2, 0, 1, 2])
    shard(tmp_path / "shards/data/a-1.parquet", PHOTOS[6:], [0, 0, 0, 1, -1])
    return tmp_path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of files count as past long ago at once."""
    monkeypatch.setattr(stamps, "RACY", -1_000_000_000)


def test_a_row_is_an_object_by_its_number_over_all_files(place):
    listed = opened(place).listed()
    assert listed["key"].to_list() == ["0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert listed["key"].is_sorted()
    lengths = dict(listed.select("key", "bytes").iter_rows())
    assert lengths == {str(n): len(data) for n, data in enumerate(PHOTOS)}
    assert listed["tag"].is_unique().all()
    assert listed["digest"].null_count() == len(PHOTOS)


def test_each_wanted_row_is_fetched_once_with_its_own_bytes(place):
    objects = opened(place)
    everything = wanted(objects)
    assert fetched(objects, everything) == {str(n): data for n, data in enumerate(PHOTOS)}
    some = [each for each in everything if each.key in ("3", "10")]
    assert fetched(opened(place), some) == {"3": PHOTOS[3], "10": PHOTOS[10]}
    assert fetched(opened(place), []) == {}


def test_class_numbers_become_names_from_the_schema(place):
    objects = opened(place)
    objects.listed()
    table = objects.tables()[""]
    assert table.columns == ["key", "label", "path", "label_id"]
    rows = {row["key"]: row for row in table.rows(named=True)}
    assert rows["2"] == {"key": "2", "label": "great white shark", "path": "2.png", "label_id": 2}
    assert rows["10"] == {"key": "10", "label": None, "path": "4.png", "label_id": -1}


@pytest.mark.parametrize(
    "metadata",
    [{}, {"huggingface": "{"}, {"huggingface": "[]"}, {"huggingface": '{"info": {"features": 3}}'}],
)
def test_without_names_in_the_schema_a_class_is_its_number(tmp_path, metadata):
    shard(tmp_path / "shards/a.parquet", PHOTOS[:2], [0, 1], metadata)
    objects = opened(tmp_path)
    objects.listed()
    assert objects.tables()[""]["label"].to_list() == [0, 1]


def test_every_column_that_is_not_nested_is_in_the_table(tmp_path):
    more = {
        "key": ["x", "y"],
        "_row": [7, 8],
        "score": [0.5, None],
        "kind": pl.Series(["u", "v"], dtype=pl.Categorical),
        "boxes": [[1], [2]],
        "raw": [b"1", b"2"],
        "path": ["mine", "yours"],
    }
    shard(tmp_path / "shards/a.parquet", PHOTOS[:2], **more)
    objects = opened(tmp_path)
    objects.listed()
    table = objects.tables()[""]
    assert table.columns == [
        "key",
        "label",
        "key_",
        "_row_",
        "score",
        "kind",
        "path",
        "path_",
        "label_id",
    ]
    assert table.row(0) == ("0", "tench", "x", 7, 0.5, "u", "mine", "0.png", 0)
    assert table.schema["kind"] == pl.String


def test_a_plain_column_of_bytes_holds_images_as_well(tmp_path):
    path = tmp_path / "shards/a.parquet"
    path.parent.mkdir()
    pl.DataFrame({"jpg": PHOTOS[:3], "word": ["a", "b", "c"]}).write_parquet(path)
    objects = opened(tmp_path, image="jpg")
    assert fetched(objects, wanted(objects)) == {str(n): PHOTOS[n] for n in range(3)}
    assert objects.tables()[""].columns == ["key", "word"]


def test_one_file_can_be_a_source(place):
    objects = source(place / "shards/data/a-1.parquet").open("pets", place)
    assert fetched(objects, wanted(objects))["0"] == PHOTOS[6]


def test_a_row_without_an_image_has_a_reason_and_an_empty_image_is_one(tmp_path):
    shard(tmp_path / "shards/a.parquet", [PHOTOS[0], None, b""])
    objects = opened(tmp_path)
    rows = objects.listed().select("key", "bytes", "reason").rows()
    assert rows == [("0", len(PHOTOS[0]), None), ("1", None, "no_image"), ("2", 0, None)]
    assert fetched(objects, wanted(objects)) == {"0": PHOTOS[0], "2": b""}


def test_unchanged_files_are_not_read_again(place, later):
    first = opened(place)
    before = first.listed()
    assert first.new == 11
    again = opened(place)
    assert again.listed().equals(before)
    assert again.new == 0
    assert again.tables()[""].equals(first.tables()[""])


def test_of_a_changed_file_only_its_rows_have_other_tags(place, later):
    before = opened(place).listed()
    shard(place / "shards/data/a-1.parquet", [PHOTOS[0], *PHOTOS[7:]])
    objects = opened(place)
    after = objects.listed()
    assert objects.new == 5
    same = before.join(after, on=["key", "tag"], how="inner")["key"].to_list()
    assert same == ["0", "1", "2", "3", "4", "5"]


def test_files_with_the_same_rows_are_each_an_object(tmp_path):
    for name in ("a", "b"):
        shard(tmp_path / f"shards/{name}.parquet", PHOTOS[:3])
    objects = opened(tmp_path)
    found = fetched(objects, wanted(objects))
    assert found == {str(n): PHOTOS[n % 3] for n in range(6)}


def test_a_file_that_changed_since_the_scan_gives_rows_with_a_reason(place):
    objects = opened(place)
    asked = wanted(objects)
    shard(place / "shards/data/a-1.parquet", PHOTOS[:5])
    expected = {str(n): PHOTOS[n] if n < 6 else "changed" for n in range(11)}
    assert fetched(objects, asked) == expected
    assert fetched(opened(place), asked) == expected


def test_row_groups_larger_than_the_span_are_read_in_parts(tmp_path, monkeypatch):
    shard(tmp_path / "shards/a.parquet", PHOTOS, rows=100)
    monkeypatch.setattr(reading, "SPAN", 3 * len(PHOTOS[0]))
    objects = opened(tmp_path)
    assert fetched(objects, wanted(objects)) == {str(n): data for n, data in enumerate(PHOTOS)}


# Files elsewhere


class Requests:
    """A file of which only ranges are given, and how much of it was asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0

    def __call__(self, offset: int, length: int) -> bytes:
        self.asked += length
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def elsewhere(place: Path) -> tuple[ParquetObjects, list[Requests]]:
    paths = sorted((place / "shards/data").iterdir())
    gets = [Requests(path) for path in paths]
    shards = [Remote(get.path.name, get.path.name, get.path.stat().st_size, get) for get in gets]
    return ParquetObjects(source(place), "pets", place, shards), gets


def test_a_file_elsewhere_is_listed_without_its_images(tmp_path):
    noise = [photo_bytes(n) for n in range(40)]
    shard(tmp_path / "shards/data/a.parquet", noise, [n % 3 for n in range(40)], rows=10)
    objects, (get,) = elsewhere(tmp_path)
    assert objects.listed()["bytes"].null_count() == 40
    assert objects.tables()[""]["label"].to_list()[:2] == ["tench", "goldfish"]
    assert get.asked < get.path.stat().st_size / 20


def test_of_a_file_elsewhere_only_row_groups_with_wanted_rows_are_asked_for(tmp_path):
    noise = [photo_bytes(n) for n in range(40)]
    shard(tmp_path / "shards/data/a.parquet", noise, rows=4)
    objects, (get,) = elsewhere(tmp_path)
    some = [each for each in wanted(objects) if each.key in ("5", "6", "39")]
    get.asked = 0
    assert fetched(objects, some) == {"5": noise[5], "6": noise[6], "39": noise[39]}
    assert get.asked < get.path.stat().st_size * 0.25


def test_a_missing_image_elsewhere_is_noticed_when_it_is_fetched(tmp_path):
    shard(tmp_path / "shards/data/a.parquet", [PHOTOS[0], None])
    objects, _ = elsewhere(tmp_path)
    assert fetched(objects, wanted(objects)) == {"0": PHOTOS[0], "1": "no_image"}


# In a bucket


@pytest.fixture
def bucket(place: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The two files of ``place`` in a bucket of their own; returns its client."""
    for name, value in (("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)):
        monkeypatch.setenv(name, value)
    client = s3_server.client()
    name = f"parquet-{place.name[-40:]}".replace("_", "-").lower()
    client.create_bucket(Bucket=name)
    for path in (place / "shards/data").iterdir():
        client.upload_file(str(path), name, f"sets/{path.name}")
    client.name = name
    return client


def in_bucket(place: Path, bucket: Any, endpoint: str) -> ParquetObjects:
    store = {**STORE, "endpoint": endpoint}
    return source(f"s3://{bucket.name}/sets", store=store).open("pets", place)


def test_files_in_a_bucket_are_read_by_ranges(place, bucket, s3_server):
    objects = in_bucket(place, bucket, s3_server.endpoint)
    assert fetched(objects, wanted(objects)) == {str(n): data for n, data in enumerate(PHOTOS)}
    assert objects.tables()[""]["label"].null_count() == 1
    again = in_bucket(place, bucket, s3_server.endpoint)
    assert again.listed().equals(objects.listed())
    assert again.new == 0


def test_a_file_replaced_in_its_bucket_gives_rows_with_a_reason(place, bucket, s3_server):
    objects = in_bucket(place, bucket, s3_server.endpoint)
    asked = wanted(objects)
    shard(place / "new.parquet", PHOTOS[:5])
    bucket.upload_file(str(place / "new.parquet"), bucket.name, "sets/a-1.parquet")
    expected = {str(n): PHOTOS[n] if n < 6 else "changed" for n in range(11)}
    assert fetched(objects, asked) == expected
    fresh = in_bucket(place, bucket, s3_server.endpoint)
    assert fetched(fresh, asked) == expected


def test_a_file_replaced_during_the_scan_is_an_error(place, bucket, s3_server):
    objects = in_bucket(place, bucket, s3_server.endpoint)
    shard(place / "new.parquet", PHOTOS[:5])
    bucket.upload_file(str(place / "new.parquet"), bucket.name, "sets/a-1.parquet")
    with pytest.raises(SourceError, match=r"sources\.pets: a-1\.parquet was replaced"):
        objects.listed()


def test_a_missing_bucket_is_named_once(place, bucket, s3_server):
    bucket.name = "no-such-bucket"
    with pytest.raises(SourceError, match=r"^sources\.pets: s3://no-such-bucket/sets/ at http"):
        in_bucket(place, bucket, s3_server.endpoint)


# What is refused


def test_a_folder_without_such_files_names_the_patterns(place):
    with pytest.raises(SourceError, match=r"sources\.pets: .*shards has no file like x\*\. Check"):
        opened(place, include=["x*"])


def test_a_missing_column_names_those_that_there_are(place):
    with pytest.raises(
        SourceError,
        match=r"sources\.pets: data/a-0\.parquet: no column photo; there are image.*`image`",
    ):
        opened(place, image="photo").listed()


def test_a_column_without_bytes_is_refused(place):
    with pytest.raises(SourceError, match="no bytes in label"):
        opened(place, image="label").listed()


@pytest.mark.parametrize("kept", [0, 3, 7, 500, -1, -6, -40])
def test_a_file_that_is_cut_short_is_named(place, kept):
    path = place / "shards/data/a-1.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        SourceError, match=r"sources\.pets: data/a-1\.parquet cannot be read: .*again"
    ):
        opened(place).listed()


def test_damage_within_a_file_is_an_error_that_names_it(place):
    path = place / "shards/data/a-1.parquet"
    data = bytearray(path.read_bytes())
    data[4:40] = b"\xff" * 36
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"data/a-1\.parquet cannot be read"):
        opened(place).listed()


@pytest.mark.parametrize("seed", range(30))
def test_a_footer_of_nonsense_is_no_parquet(place, seed):
    import random

    data = bytearray((place / "shards/data/a-1.parquet").read_bytes())
    chance = random.Random(seed)
    inner = int.from_bytes(data[-8:-4], "little")
    for _ in range(20):
        data[-9 - chance.randrange(inner)] = chance.randrange(256)
    try:
        footer = read_footer(
            len(data), lambda offset, length: bytes(data[offset : offset + length])
        )
    except NotParquetError:
        return
    assert footer.rows is not None


def test_files_with_other_columns_are_refused(place):
    shard(place / "shards/data/a-2.parquet", PHOTOS[:1], score=[0.5])
    with pytest.raises(
        SourceError, match=r"data/a-2\.parquet has other columns than data/a-0\.parquet; score"
    ):
        opened(place).listed()


def test_the_hub_without_its_package_says_how_to_get_it(tmp_path):
    code = """
import sys
sys.modules["huggingface_hub"] = None
from pathlib import Path
from tests.test_parquet import source
source("hf://owner/name@main").open("pets", Path("."))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "SourceError: sources.pets: " in done.stderr
    assert "pip install 'imagemill[hf]'" in done.stderr


def test_memory_does_not_grow_with_a_file(tmp_path):
    noise = pl.Series([photo_bytes(n) * 40 for n in range(400)])  # 300 MB or so
    pl.DataFrame({"image": noise}).write_parquet(
        tmp_path / "big.parquet", row_group_size=20, compression="uncompressed"
    )
    code = f"""
from pathlib import Path
from tests.test_parquet import source, wanted
place = Path({str(tmp_path)!r})
objects = source(place / "big.parquet").open("pets", place)
asked = wanted(objects)
assert sum(len(each.content) for each in objects.fetch(asked)) > 2e8
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0])  # kilobytes; ru_maxrss would count the parent's
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 260_000


# In a pipeline

IMAGENET = """\
# @package _global_
# A small stand-in of the hub's files.
defaults:
  - /source@sources.train: parquet
  - /source@sources.val: parquet
  - /layout@sources.train.layout: table
  - /layout@sources.val.layout: table
  - override /leaks: given
about: {title: Stand-in}
sources:
  train:
    path: shards
    include: [data/train-*.parquet]
    layout:
      join: {table: train, key: key, columns: {label: label}}
      constants: {split: train}
  val:
    path: shards
    include: [data/val-*.parquet]
    layout:
      join: {table: val, key: key, columns: {label: label}}
      constants: {split: val}
"""


@pytest.fixture
def imagenet(project: Project) -> Project:
    """Three files of the training split and one to validate, with the shipped layout."""
    project.conf("dataset/imagenet.yaml", IMAGENET)
    project.datasets(imagenet=[])
    for n in range(3):
        photos = [photo_bytes(100 * n + k) for k in range(6)]
        shard(project.root / f"shards/data/train-{n}.parquet", photos, [0, 0, 1, 1, 2, 2])
    photos = [photo_bytes(900 + k) for k in range(4)]
    shard(project.root / "shards/data/val-0.parquet", photos, [0, 1, 2, -1])
    return project


def test_the_rows_of_the_hubs_files_become_a_dataset_with_its_splits(imagenet, build):
    build(imagenet, "imagenet")
    rows = SAMPLES.read(imagenet.root / "data/imagenet/merge").rows(named=True)
    said = {row["sample"]: (row["label"], row["split"], row["reason"]) for row in rows}
    assert len(said) == 22
    assert said["train/2"] == ("goldfish", "train", None)
    assert said["train/10"] == ("great white shark", "train", None)
    assert said["val/2"] == ("great white shark", "val", None)
    assert said["val/3"] == (None, "val", "no_label")
    contents = CONTENTS.read(imagenet.root / "data/imagenet/package/imagefolder")
    assert contents.group_by("split").len().sort("split").rows() == [("train", 18), ("val", 3)]
    tables = read_side_tables(imagenet.root / "data/imagenet/scan")
    assert tables.keys() == {"train", "val"}


def log(build: Build, project: Project, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    build(project, "imagenet")
    return capsys.readouterr().err


def test_of_one_changed_file_only_the_changed_rows_are_fetched_and_packed(
    imagenet, build, later, capsys
):
    first = log(build, imagenet, capsys)
    assert "scan: train: 18 objects, 18 of them new" in first
    assert "download: 21 objects fetched" in first
    again = log(build, imagenet, capsys)
    assert "scan: train: 18 objects, 0 of them new" in again
    assert "download: 0 objects fetched" in again
    photos = [photo_bytes(seed) for seed in (100, 101, 102, 103, 104, 777)]
    shard(imagenet.root / "shards/data/train-1.parquet", photos, [0, 0, 1, 1, 2, 2])
    changed = log(build, imagenet, capsys)
    assert "scan: train: 18 objects, 6 of them new" in changed
    assert "download: 6 objects fetched" in changed
    index = INDEX.read(imagenet.root / "data/imagenet/download")
    found = index.filter(source="train", key="11")["digest"].item()
    assert found == make.sha(photos[5])


def test_the_shipped_config_reads_a_folder_of_the_hubs_files(imagenet, build):
    shutil.copy(ROOT / "conf/dataset/imagenet1k.yaml", imagenet.root / "conf/dataset")
    places = [f"sources.{name}.path=shards" for name in ("train", "val")]
    imagenet.datasets(imagenet1k=places)
    build(imagenet, "imagenet1k")
    listing = LISTING.read(imagenet.root / "data/imagenet1k/scan")
    assert listing.group_by("source").len().sort("source").rows() == [("train", 18), ("val", 4)]
    assert CONTENTS.read(imagenet.root / "data/imagenet1k/package/imagefolder").height == 21
