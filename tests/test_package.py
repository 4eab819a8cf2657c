"""A package holds what the manifest says, in forms that others read, and nothing private."""

import io
import json
import random
import tarfile
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from imagemill import package
from imagemill.about import About
from imagemill.errors import BuildError
from imagemill.package import labels
from imagemill.tables import CONTENTS, MANIFEST
from tests import draw, make
from tests.packaging import ABOUT, ALL, FOLDER, HDF5, SHARDS, Build, photos

ORIENTATION, GPS = 274, 34853


def members(build: Build) -> dict[str, bytes]:
    """The files of the ImageFolder's packs, read by ``tarfile``."""
    found = {}
    for path in (build.out / "imagefolder").glob("*.tar"):
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                assert member.name not in found
                found[member.name] = tar.extractfile(member).read()
    return found


def inodes(build: Build) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (build.out / "imagefolder").glob("*.tar")}


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


def test_members_are_named_by_split_label_and_file_and_listed(build):
    data = make.file(draw.photo(1))
    build.write(
        [
            {"key": "a/x.png", "data": data, "label": "cat"},
            {"key": "y", "data": make.file(draw.photo(2)), "split": None},
        ]
    )
    assert set(members(build)) == {"train/cat/x.png", "all/cat/y.png"}
    listed = CONTENTS.read(build.out / "imagefolder")
    assert {row["member"]: row["packaged"] for row in listed.iter_rows(named=True)} == {
        name: make.sha(data) for name, data in members(build).items()
    }
    assert listed["class"].to_list() == [0, 0]


def test_where_no_image_has_a_split_members_are_named_by_label_and_file(build):
    rows = [{"key": key, "data": data, "split": None} for key, data in photos(2).items()]
    # A split of what is not kept divides nothing.
    build.write([*rows, {"key": "z.png", "data": b"", "split": "train", "verdict": "remove"}])
    assert set(members(build)) == {"cat/000.png", "cat/001.png"}
    told = json.loads((build.out / "imagefolder/arcface.json").read_text())
    assert told == {"split": None, "num_classes": 1, "num_image": 2, "classes": ["cat"]}


def test_labels_share_no_folder_without_a_split_either():
    with pytest.raises(BuildError, match="the labels a/b, a_b cannot each have a folder"):
        folders("a/b", "a_b", split=None)
    assert folders("a/b", "..", split=None) == ["a_b", "_"]


def test_the_hand_off_to_training_lies_beside_the_packs_of_an_image_folder(build):
    rows = [{"key": key, "data": data} for key, data in photos(4).items()]
    rows[0].update(label="dog")
    rows[3].update(label="eel", split="test")
    build.write(rows)
    told = json.loads((build.out / "imagefolder/arcface.json").read_text())
    assert told == {"split": "train", "num_classes": 2, "num_image": 3, "classes": ["cat", "dog"]}
    build.write([{**row, "split": "test"} for row in rows])
    assert not (build.out / "imagefolder/arcface.json").exists()


def test_what_is_removed_is_not_packaged(build):
    build.write(
        [
            {"key": "a.png", "data": photos(1)["000.png"]},
            {"key": "b.png", "data": b"", "verdict": "remove"},
        ]
    )
    assert set(members(build)) == {"train/cat/a.png"}


def test_nothing_left_to_package_is_an_error():
    with pytest.raises(BuildError, match="no image is left to package"):
        package.contents(make.frame(MANIFEST, {"key": "a", "verdict": "remove"}))


# Names


def folders(*labels: str, **more: Any) -> list[str]:
    rows = [{"key": f"{n}", "label": label, **more} for n, label in enumerate(labels)]
    return package.contents(make.frame(MANIFEST, *rows)).frame()["folder"].to_list()


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("a/b", "a_b"),
        ("../../etc", ".._.._etc"),
        ("..", "_"),
        (".", "_"),
        ("", "_"),
        ("a\\b", "a_b"),
        ("a\nb", "a_b"),
        ("1.5", "1.5"),
        ("日本", "日本"),
    ],
)
def test_no_label_or_split_leads_out_of_the_package(label, folder):
    assert folders(label, split="train") == [f"train/{folder}"]
    assert folders("cat", split=label) == [f"{folder}/cat"]


@pytest.mark.parametrize("name", ["..", "../x", "a\\..\\b", "/etc/passwd"])
def test_no_name_leads_out_of_the_package(name):
    (found,) = package.contents(make.frame(MANIFEST, {"key": "a", "name": name})).frame()["name"]
    assert not set(found) & {"/", "\\"}
    assert found != ".."


def test_names_that_would_share_a_folder_are_refused():
    with pytest.raises(BuildError, match="the labels a/b, a_b cannot each have a folder"):
        folders("a/b", "a_b")
    with pytest.raises(BuildError, match="longer than 255 bytes"):
        folders("x" * 256)
    assert folders("x" * 255, split="s") == [f"s/{'x' * 255}"]


def test_colliding_names_get_their_content_hash_and_case_does_not_count(build):
    files = photos(2)
    rows = [
        {"key": f"{n}.png", "name": name, "data": data}
        for n, name, data in zip("01", ("x", "X"), files.values(), strict=True)
    ]
    build.write(rows)
    hashes = [make.sha(data)[:16] for data in files.values()]
    assert set(members(build)) == {f"train/cat/x_{hashes[0]}.png", f"train/cat/X_{hashes[1]}.png"}


def test_two_samples_that_would_be_one_file_are_refused():
    same = {"name": "x", "digest": make.digest("x")}
    rows = [{"key": "a", "split": None, **same}, {"key": "b", "split": "all", **same}]
    with pytest.raises(
        BuildError, match="album/a and album/b have equal bytes and would be one file"
    ):
        package.contents(make.frame(MANIFEST, *rows))


def test_classes_are_positions_in_the_sorted_list_of_labels():
    rows = [
        {"key": key, "label": label}
        for key, label in zip("abc", ("dog", "cat", "dog"), strict=True)
    ]
    assert package.contents(make.frame(MANIFEST, *rows)).frame()["class"].to_list() == [1, 0, 1]


# The image contract


def private(image: Image.Image, form: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[GPS] = {1: "N", 2: (47.0, 22.0, 0.0)}
    exif[271] = "owner of this camera"
    return make.file(image, form, exif=exif)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_a_ready_image_keeps_its_pixels_and_loses_where_it_was_taken(build, form, suffix):
    data = private(draw.photo(1), form)
    build.write({"a.x": data})
    ((name, packaged),) = members(build).items()
    assert name == f"train/cat/a.{suffix}"
    assert (np.asarray(opened(packaged)) == np.asarray(opened(data))).all()
    assert dict(opened(data).getexif())
    assert not dict(opened(packaged).getexif())
    assert b"owner" not in packaged


@pytest.mark.parametrize("measured", [False, True])
def test_where_a_photo_was_taken_is_kept_only_on_purpose(build, measured):
    build.measured = measured
    photo = private(draw.photo(1), "JPEG")
    bare = {f"{n}.png": data for n, data in enumerate(photos(3).values())}
    build.write({**bare, "a.jpg": photo}, more={"metadata": "keep"})
    assert members(build)["train/cat/a.jpg"] == photo
    build.write({**bare, "a.jpg": photo})
    assert not dict(opened(members(build)["train/cat/a.jpg"]).getexif())
    turned = private(draw.photo(1, 40, 20), "JPEG", 6)
    build.write({"a.jpg": turned}, more={"metadata": "keep"})
    assert not opened(members(build)["train/cat/a.png"]).info


UNREADY = {
    "turned": (private(draw.photo(1, 40, 20), "JPEG", 6), (20, 40), "RGB"),
    "cmyk": (make.file(draw.photo(1, 40, 20).convert("CMYK"), "JPEG"), (40, 20), "RGB"),
    "alpha": (make.file(draw.photo(1, 40, 20).convert("RGBA")), (40, 20), "RGB"),
    "palette": (make.file(draw.photo(1, 40, 20).quantize(9)), (40, 20), "RGB"),
    "16 bits": (
        make.file(Image.fromarray(np.arange(800, dtype=np.uint16).reshape(20, 40))),
        (40, 20),
        "L",
    ),
    "bitmap": (make.file(draw.photo(1, 40, 20), "BMP"), (40, 20), "RGB"),
}


@pytest.mark.parametrize(("data", "side", "mode"), UNREADY.values(), ids=UNREADY)
def test_any_other_image_becomes_an_upright_png_of_8_bits(build, data, side, mode):
    build.write({"a.jpg": data})
    ((name, packaged),) = members(build).items()
    image = opened(packaged)
    assert name == "train/cat/a.png"
    assert (image.format, image.size, image.mode) == ("PNG", side, mode)
    assert not image.info


def test_an_image_that_was_measured_and_cannot_be_read_is_an_error(build):
    with pytest.raises(
        BuildError, match=r"cannot be read \(not_an_image\), though it was measured"
    ):
        build.write({"a.jpg": b"no image"})


@pytest.mark.parametrize("engine", [make.INLINE, make.workers(2)], ids=["one", "two"])
@pytest.mark.parametrize("place", [0, 399], ids=["seen at once", "seen while writing"])
def test_a_photo_that_cannot_leave_as_it_is_is_found_wherever_it_lies(tmp_path, place, engine):
    """Where all are ready it is presumed that all leave as they are; one here has metadata."""
    rows = [
        {"key": f"{n:03}", "data": make.file(draw.photo(n % 40, 20 + n % 30, 20), "JPEG")}
        for n in range(400)
    ]
    rows[place]["data"] = private(draw.photo(1), "JPEG")
    presuming, careful = Build(tmp_path / "presuming"), Build(tmp_path / "careful")
    presuming.measured = True
    formats = {name: ALL[name] for name in ("hdf5", "imagefolder", "recordio", "webdataset")}
    for build in (presuming, careful):
        build.write(rows, engine, **formats)
    assert presuming.files() == careful.files()
    assert not any(b"owner" in data for data in presuming.files().values())


def test_what_was_presumed_rightly_is_remembered(build):
    build.measured = True
    rows = [{"key": f"{n}", "data": make.file(draw.photo(n), "JPEG")} for n in range(30)]
    build.write(rows, webdataset=ALL["webdataset"])
    before = build.files()
    (folder,) = (path for path in (build.root / "memo").iterdir() if path.is_dir())
    assert sum(len(pl.read_parquet(path)) for path in folder.glob("*.parquet")) == 30
    build.write(rows, webdataset=ALL["webdataset"])
    assert build.files() == before


# The packs of an ImageFolder


def test_equal_contents_give_equal_packages_whatever_was_there_before(build, tmp_path):
    build.write(photos(10, first=50))
    build.write(photos(40), make.workers(2))
    fresh = Build(tmp_path / "fresh")
    fresh.write(photos(40))
    assert build.files() == fresh.files()


def test_one_change_rewrites_few_packs_and_describes_one_image(build):
    files = photos(160)
    build.write(files)
    before = inodes(build)
    assert len(before) > 15
    chance = random.Random(3)
    for turn in range(6):
        del files[chance.choice(sorted(files))]
        files |= photos(1, first=1000 + turn)
        build.write(files)
        after = inodes(build)
        assert 1 <= len([name for name, inode in after.items() if before.get(name) != inode]) <= 5
        before = after
    assert len(members(build)) == 160


@pytest.mark.parametrize("change", ["swapped", "missing", "more", "torn"])
def test_packs_that_are_not_as_the_manifest_says_are_written_again(build, change):
    build.write(photos(40))
    before = build.files()
    first, other, *_ = sorted((build.out / "imagefolder").glob("*.tar"))
    data = first.read_bytes()
    if change == "missing":
        first.unlink()
    elif change == "more":
        (first.parent / "other.tar").write_bytes(data)
    else:
        first.write_bytes(data[:-600] if change == "torn" else other.read_bytes())
    build.write(photos(40))
    assert build.files() == before


def test_a_byte_that_flipped_in_a_pack_is_found_when_it_is_built_again(build):
    build.write(photos(40))
    before = build.files()
    path = min((build.out / "imagefolder").glob("*.tar"))
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    build.write(photos(40))
    assert build.files() == before


def test_unpacked_makes_real_folders_and_no_packs(build):
    for _ in range(2):
        build.write(photos(5), imagefolder={**FOLDER, "unpacked": True})
        out = build.out / "imagefolder"
        assert inodes(build) == {}
        assert sorted(p.name for p in (out / "train/cat").iterdir()) == [
            f"{n:03}.png" for n in range(5)
        ]
        assert (out / "train/cat/003.png").read_bytes() == photos(1, 3)["003.png"]
    build.write(photos(5))
    assert not (build.out / "imagefolder/train").exists()


def test_a_format_that_is_no_longer_wanted_is_removed(build):
    build.write(photos(3), imagefolder=FOLDER, hdf5=HDF5)
    assert {path.name for path in build.out.iterdir()} == {"imagefolder", "hdf5"}
    build.write(photos(3), hdf5=HDF5)
    assert {path.name for path in build.out.iterdir()} == {"hdf5"}


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("form", ["imagefolder", "hdf5", "recordio"])
def test_a_damaged_source_pack_stops_the_build(build, form, measured):
    build.measured = measured
    given = build.given(photos(3))
    path = min((build.root / "packs").iterdir())
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(BuildError, match=r"is damaged at byte .*Delete that file and build again"):
        build.write(given, **{form: ALL[form]})


# The card


def test_the_card_says_what_is_in_and_why_the_rest_is_out():
    rows = [{"key": f"{n}", "label": "a|b\nc <i>[*`", "split": None} for n in range(3)]
    rows[2].update(verdict="remove", reasons=["blurred", "dark"])
    text = package.card.render(About.model_validate(ABOUT), make.frame(MANIFEST, *rows))
    for line in (
        "# Pets",
        "- Licence: CC0",
        "- Images: 2 of 3 listed",
        "| - | a\\|b c \\<i>\\[\\*\\` | 2 |",
        "| dark | 1 |",
        "| album | 3 | 2 | CC0 |",
    ):
        assert line in text.splitlines()


def test_the_card_and_croissant_say_the_licence_of_each_source(build):
    about = {**ABOUT, "licences": {"shop": "ours alone"}}
    rows = [{"key": "a", "source": "album"}, {"key": "b", "source": "shop"}]
    text = package.card.render(About.model_validate(about), make.frame(MANIFEST, *rows))
    assert "| album | 1 | 1 | CC0 |" in text
    assert "| shop | 1 | 1 | ours alone |" in text
    wrong = About.model_validate({**ABOUT, "licences": {"shp": "CC0"}})
    with pytest.raises(BuildError, match=r"about.licences.shp: no source; did you mean shop"):
        package.card.render(wrong, make.frame(MANIFEST, *rows))
    build.write(photos(2), more={"about": about})
    said = json.loads((build.out / "imagefolder/croissant.json").read_text())
    assert said["license"] == ["CC0", "ours alone"]


@pytest.mark.parametrize(
    ("labels", "line"), [(100, "| train | 7 | 1 |"), (101, "| train | 101 | 101 |")]
)
def test_the_card_of_many_labels_counts_them(labels, line):
    rows = [{"key": f"{n}", "label": f"{n}", "split": "train"} for n in range(labels)]
    text = package.card.render(About.model_validate(ABOUT), make.frame(MANIFEST, *rows))
    assert line in text.splitlines()


def test_no_worker_is_left_to_hold_memory_when_the_manifest_is_written(build, monkeypatch):
    left: list[int] = []
    written = labels.write

    def watched(*given: Any) -> None:
        left.append(len(active_children()))
        written(*given)

    monkeypatch.setattr(labels, "write", watched)
    build.write(photos(40), make.workers(2), parquet=SHARDS, webdataset=SHARDS)
    assert left[0] > 0  # another format is still to be written
    assert left[1:] == [0]
