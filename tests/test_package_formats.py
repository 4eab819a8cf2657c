"""Every format is read by software that is not ours, and is the same however it came about."""

import io
import json
import random
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from imagemill.package import checksums, shards
from imagemill.package.lots import Lot
from imagemill.package.recordio import records
from imagemill.tables import CONTENTS
from tests import draw, make
from tests.packaging import ALL, SHARDS, STANDARD, TRANSFORMS, Build, Sample, photos

LABELS = ("cat", "dog, big", "1.5")


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


def mixed(count: int = 60) -> list[Sample]:
    """JPEGs and PNGs of three labels, in two splits."""
    rows = []
    for n in range(count):
        image = draw.photo(n, 24 + n % 5, 20)
        data = make.file(image, "JPEG" if n % 3 else "PNG")
        split = "test" if n % 4 == 0 else "train"
        rows.append({"key": f"a.b/{n}.x", "name": f"p.{n}", "data": data, "split": split})
        rows[-1]["label"] = LABELS[n % 3]
    return rows


def test_every_format_lists_the_fold_of_each_image(build):
    rows = [{**row, "fold": n % 3} for n, row in enumerate(mixed(12))]
    build.write(rows, **ALL)
    folds = {f"album/{row['key']}": row["fold"] for row in rows}
    for name in ALL:
        listed = CONTENTS.read(build.out / name)
        assert dict(listed.select("sample", "fold").iter_rows()) == folds


def expected(rows: list[Sample], split: str) -> dict[str, int]:
    """Number of the label by hash of the image's bytes, which meet the contract as they are."""
    order = sorted(LABELS)
    return {make.sha(r["data"]): order.index(r["label"]) for r in rows if r["split"] == split}


def webdataset(out: Path, split: str) -> Iterator[tuple[bytes, int]]:
    import webdataset as wds

    found = sorted(str(path) for path in (out / split).glob("*.tar"))
    for sample in wds.WebDataset(found, shardshuffle=False, empty_check=False):
        yield sample.get("jpg") or sample["png"], int(sample["cls"])


def parquet(out: Path, split: str) -> Iterator[tuple[bytes, int]]:
    import datasets

    loaded = datasets.load_dataset(str(out), split=split, cache_dir=str(out.parent / "cache"))
    assert loaded.features["label"].names == sorted(LABELS)
    assert loaded[0]["image"].size[1] == 20
    for row in loaded.cast_column("image", datasets.Image(decode=False)):
        yield row["image"]["bytes"], row["label"]


def encoded(out: Path, split: str) -> Iterator[tuple[bytes, int]]:
    with h5py.File(out / "dataset.h5") as file:
        at = file[f"{split}_offsets"][:]
        for n, label in enumerate(file[f"{split}_labels"][:].tolist()):
            yield file[f"{split}_encoded"][at[n] : at[n + 1]].tobytes(), label


def recordio(out: Path, split: str) -> Iterator[tuple[bytes, int]]:
    """As insightface's ``MXFaceDataset`` does; ``bench.readers`` has MXNet's own library read."""
    data = (out / split / "train.rec").read_bytes()
    index = [line.split("\t") for line in (out / split / "train.idx").read_text().splitlines()]
    offsets = {int(key): int(offset) for key, offset in index}

    def record(key: int) -> tuple[int, float, bytes]:
        magic, length = struct.unpack_from("<II", data, offsets[key])
        assert magic == 0xCED7230A
        body = data[offsets[key] + 8 : offsets[key] + 8 + length]
        flag, label, _, _ = struct.unpack_from("<IfQQ", body)
        return flag, label, body[24:]

    flag, _, first = record(0)
    assert flag == 2
    images, end = struct.unpack("<ff", first)
    classes = int((out / split / "property").read_text().split(",")[0])
    assert len(index) == end == images + classes
    for key in range(1, int(images)):
        _, label, image = record(key)
        yield image, int(label)
    ranges = [struct.unpack("<ff", record(key)[2]) for key in range(int(images), int(end))]
    assert [label for first, last in ranges for label in {record(int(first))[1]}] == [0, 1, 2]
    assert sum(last - first for first, last in ranges) == images - 1


def test_recordio_has_an_output_for_every_label_also_where_a_split_lacks_some(build):
    rows = [{**row, "split": "test" if row["label"] == "cat" else "train"} for row in mixed(12)]
    build.write(rows, recordio={})
    folder = build.out / "recordio/train"
    assert (folder / "property").read_text() == "3,0,0\n"
    assert {int(label) for label, _ in records(folder)} == {0, 2}


READERS = {
    "webdataset": (webdataset, SHARDS),
    "parquet": (parquet, SHARDS),
    "hdf5": (encoded, {**ALL["hdf5"], "store": "encoded"}),
    "recordio": (recordio, {}),
}


@pytest.mark.parametrize("name", READERS)
def test_a_format_gives_every_image_once_under_its_label_to_readers_of_others(build, name):
    rows = mixed()
    read, settings = READERS[name]
    build.write(rows, **{name: settings})
    for split in ("train", "test"):
        found = [(make.sha(data), label) for data, label in read(build.out / name, split)]
        assert len(found) == len(set(found))
        assert dict(found) == expected(rows, split)


@pytest.mark.parametrize(
    "named",
    [
        {None: "train"},
        {"train": "train", None: "unsplit"},
        {"train": "train", "train x": "train_x", "train-x": "train_x_", "query[1]": "query_1_"},
        {"test": "test", "test2": "test2", "val": "val", ".gallery": "_gallery"},
    ],
    ids=lambda named: ", ".join(map(str, named)),
)
def test_datasets_loads_every_split_whatever_its_name(build, named):
    import datasets

    given = sorted(named, key=str)
    rows = [{**row, "split": given[n % len(given)]} for n, row in enumerate(mixed(24))]
    build.write(rows, parquet=SHARDS)
    loaded = datasets.load_dataset(str(build.out / "parquet"), cache_dir=str(build.root / "cache"))
    found = {name: Counter(split["sample"]) for name, split in loaded.items()}
    assert found == {
        name: Counter(f"album/{row['key']}" for row in rows if row["split"] == split)
        for split, name in named.items()
    }


@pytest.mark.parametrize("name", ["mds", "litdata"])
def test_a_format_of_streaming_trainers_is_laid_out_as_its_library_has_it(build, name):
    rows = mixed()
    build.write(rows, **{name: SHARDS})
    for split in ("train", "test"):
        found = dict(streamed(build.out / name / split, name))
        assert found == expected(rows, split)


def streamed(folder: Path, name: str) -> Iterator[tuple[str, int]]:
    """Read as ``streaming`` and ``litdata`` do; ``bench.readers`` reads with these themselves."""
    index = json.loads((folder / "index.json").read_text())
    for entry in index["shards" if name == "mds" else "chunks"]:
        path = folder / (entry["raw_data"]["basename"] if name == "mds" else entry["filename"])
        data = path.read_bytes()
        (count,) = struct.unpack_from("<I", data)
        assert count == entry["samples" if name == "mds" else "chunk_size"]
        at = struct.unpack_from(f"<{count + 1}I", data, 4)
        for n in range(count):
            item = data[at[n] : at[n + 1]]
            if name == "mds":
                (length,) = struct.unpack_from("<I", item)
                yield make.sha(item[16:][:length]), struct.unpack_from("<q", item, 16 + length)[0]
            else:
                (length,) = struct.unpack_from("<I", item)
                yield make.sha(item[16:][:length]), struct.unpack_from("<q", item, 16 + length)[0]


def test_an_image_of_a_coco_package_is_found_by_pycocotools_with_its_label(build, tmp_path):
    import tarfile

    from pycocotools.coco import COCO

    rows = mixed()
    build.write(rows, coco=ALL["coco"])
    out = build.out / "coco"
    for path in out.glob("*.tar"):
        with tarfile.open(path) as tar:
            tar.extractall(tmp_path / "unpacked", filter="data")
    for split in ("train", "test"):
        read = COCO(str(out / f"annotations/instances_{split}.json"))
        found = {}
        for image in read.loadImgs(read.getImgIds()):
            path = tmp_path / "unpacked/images" / image["file_name"]
            assert Image.open(path).size == (image["width"], image["height"])
            (noted,) = read.loadAnns(read.getAnnIds(image["id"]))
            assert noted["bbox"] == [0, 0, image["width"], image["height"]]
            (category,) = read.loadCats(noted["category_id"])
            found[make.sha(path.read_bytes())] = sorted(LABELS).index(category["name"])
        assert found == expected(rows, split)


def test_every_format_describes_itself_in_croissant_that_mlcroissant_reads(build, caplog):
    import mlcroissant

    build.write(mixed(), **ALL)
    for name in ALL:
        read = mlcroissant.Dataset(build.out / name / "croissant.json")
        assert not read.metadata.ctx.issues.errors
        records = list(read.records("images"))
        assert len(records) == 60
        member = records[0]["images/member"]
        assert member.decode() in CONTENTS.read(build.out / name)["member"].to_list()
    assert "is not standard" not in caplog.text


def checked(folder: Path) -> set[str]:
    """What ``sha256sum`` checks in a folder, all of it right."""
    command = ["sha256sum", "-c", "--strict", "checksums.txt"]
    said = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout.decode()
    return {line.rpartition(":")[0] for line in said.rstrip("\n").split("\n")}


def test_checksums_are_those_of_sha256sum(build):
    build.write(mixed(), **ALL)
    for name in ALL:
        folder = build.out / name
        there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert checked(folder) == there - {"checksums.txt"}


def test_checksums_take_any_name_that_a_label_may_have(build):
    labels = ("a\u2028b", "c\x85d", "Кот", "it's: 100 %")
    rows = [{**row, "label": labels[n % 4]} for n, row in enumerate(mixed(8))]
    build.write(rows, imagefolder={**ALL["imagefolder"], "unpacked": True})
    folder = build.out / "imagefolder"
    before = checked(folder)
    (folder / "later.json").write_text("{}")
    checksums.add(folder, ("later.json",))
    assert checked(folder) == before | {"later.json"}


AUGMENT = {**STANDARD, "multiplier": 3}
GREY = [
    {"_target_": f"{TRANSFORMS}Resize", "width": 20, "height": 20, "how": "fill"},
    {"_target_": f"{TRANSFORMS}Convert", "mode": "L"},
]


@pytest.mark.parametrize(
    "more", [{}, {"transforms": GREY, "augment": AUGMENT}], ids=["as is", "made"]
)
def test_equal_contents_give_equal_bytes_on_any_engine_in_any_folder(build, tmp_path, more):
    rows = mixed(150)
    build.write(rows, more=more, **ALL)
    other = Build(tmp_path / "elsewhere" / "deeper")
    other.measured = True
    other.write(mixed(30), more=more, **ALL)
    other.write(rows[::-1], make.workers(4), more, **ALL)
    assert build.files().keys() == other.files().keys()
    assert build.files() == other.files()


def shown(build: Build, name: str) -> Counter[tuple[int, bytes]]:
    """Label and pixels of every row."""
    read, _ = READERS[name]
    found = [each for split in ("train", "test") for each in read(build.out / name, split)]
    return Counter(
        (label, np.asarray(Image.open(io.BytesIO(data))).tobytes()) for data, label in found
    )


def test_every_format_shows_the_same_pixels(build):
    formats = {name: settings for name, (_, settings) in READERS.items()}
    build.write(mixed(), more={"transforms": GREY, "augment": AUGMENT}, **formats)
    first, *others = [shown(build, name) for name in READERS]
    assert first.total() == 15 + 45 * 3
    assert all(other == first for other in others)


# Shards


def shard_names(build: Build, name: str = "webdataset") -> set[str]:
    return {path.name for path in (build.out / name).rglob("*.tar")}


def test_shards_hold_one_split_each_and_mix_the_labels(build):
    build.write(mixed(), webdataset=SHARDS)
    listed = CONTENTS.read(build.out / "webdataset")
    classes = [label for _, label in webdataset(build.out / "webdataset", "train")]
    assert len(classes) == listed.filter(split="train").height
    assert classes not in (sorted(classes), sorted(classes, reverse=True))


def test_another_seed_gives_another_order_of_the_same_samples(build):
    build.write(mixed(), webdataset=SHARDS)
    before = list(webdataset(build.out / "webdataset", "train"))
    build.write(mixed(), more={"seed": 1}, webdataset=SHARDS)
    after = list(webdataset(build.out / "webdataset", "train"))
    assert before != after
    assert sorted(before) == sorted(after)


def test_what_is_there_and_right_is_left_alone_and_what_is_damaged_is_written_again(build):
    build.write(mixed(), webdataset=SHARDS)
    before = build.files()
    paths = sorted((build.out / "webdataset/train").glob("*.tar"))
    inodes = [path.stat().st_ino for path in paths]
    data = bytearray(paths[0].read_bytes())
    data[700] ^= 1
    paths[0].write_bytes(data)
    paths[1].unlink()
    build.write(mixed(), webdataset=SHARDS)
    assert build.files() == before
    assert [path.stat().st_ino for path in paths[2:]] == inodes[2:]
    assert paths[0].stat().st_ino != inodes[0]


def edited(rows: list[Sample], chance: random.Random, turn: int) -> list[Sample]:
    """Take a sample out, put one in, change a label, or change an image."""
    rows = [dict(row) for row in rows]
    at = chance.randrange(len(rows))
    match chance.choice(["out", "in", "label", "image"]):
        case "out":
            del rows[at]
        case "in":
            data = photos(1, 5000 + turn)[f"{5000 + turn}.png"]
            rows.insert(at, {**rows[at], "key": f"new{turn}", "name": f"n{turn}", "data": data})
        case "label":
            rows[at]["label"] = LABELS[(LABELS.index(rows[at]["label"]) + 1) % 3]
        case "image":
            rows[at]["data"] = photos(1, 9000 + turn)[f"{9000 + turn}.png"]
    return rows


def test_after_random_edits_a_package_equals_one_from_nothing(build, tmp_path):
    chance = random.Random(7)
    rows = mixed(60)
    formats = {name: ALL[name] for name in ("webdataset", "parquet", "mds", "litdata", "coco")}
    build.write(rows, **formats)
    for turn in range(6):
        for _ in range(chance.randrange(1, 4)):
            rows = edited(rows, chance, turn * 10 + chance.randrange(10))
        build.write(rows, **formats)
    fresh = Build(tmp_path / "fresh")
    fresh.write(rows, **formats)
    assert build.files() == fresh.files()


def test_one_change_rewrites_one_or_two_of_a_hundred_shards():
    """The plan alone: which shards there are is decided before any is written."""
    chance = random.Random(11)
    names = [f"album/{n}" for n in range(20_000)]
    before = planned(names)
    assert len(before) >= 100
    rewritten = []
    for turn in range(300):
        edited = list(names)
        if turn % 2:
            del edited[chance.randrange(len(edited))]
        else:
            edited.append(f"album/new{turn}")
        rewritten.append(len(planned(edited) - before))
    assert np.median(rewritten) <= 2
    assert np.quantile(rewritten, 0.99) <= 4


def planned(names: list[str]) -> set[tuple[str, ...]]:
    import polars as pl

    rows = pl.DataFrame({"image": range(len(names)), "copy": 0, "part": 0})
    lot = shards.ordered(Lot(pl.DataFrame({"sample": names}), rows), 0)
    order = lot.rows["order"]
    return {tuple(order[start:end]) for start, end in shards.cuts(order, 128)}


def test_a_folder_that_no_format_fills_is_removed(build):
    build.write(mixed(8), **ALL)
    (build.out / "webdataset/train/.x.part").write_bytes(b"left by a killed build")
    shutil.copytree(build.out / "mds", build.out / "webdataset" / shards.NEXT)
    build.write(mixed(8), webdataset=SHARDS)
    files: dict[str, Any] = build.files()
    assert {name.split("/")[0] for name in files} == {"webdataset"}
    assert not any(".part" in name or shards.NEXT in name for name in files)
