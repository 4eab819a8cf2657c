"""A package holds what the manifest says, in forms that others read, and nothing private."""

import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from PIL import Image

from imagemill import package, packs
from imagemill.about import About
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.package import contract, hdf5, imagefolder
from imagemill.tables import CONTENTS, MANIFEST
from tests import draw, make
from tests.test_measure import stored

FOLDER = {"pack_bytes": 20_000, "unpacked": False}
HDF5 = {"width": 16, "height": 12, "mode": "RGB", "compression": "none", "chunk_images": 4}
ABOUT = {"title": "Pets", "licence": "CC0", "credit": "Nobody"}
ORIENTATION, GPS = 274, 34853

Sample = dict[str, Any]


def config(**formats: Any) -> package.Config:
    limits = {"max_pixels": 10_000_000, "max_bytes": 10_000_000}
    return package.Config.model_validate({"formats": formats, "about": ABOUT, **limits})


class Build:
    """Downloaded packs of some files, and a package made of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "package"
        self.out.mkdir(parents=True)

    def write(
        self, samples: dict[str, bytes] | list[Sample], engine: Engine = make.INLINE, **formats: Any
    ) -> pl.DataFrame:
        rows = (
            samples
            if isinstance(samples, list)
            else [{"key": k, "data": d} for k, d in samples.items()]
        )
        rows = [{"split": "train", **row, "digest": make.sha(row["data"])} for row in rows]
        places = stored(self.root / "packs", [row["data"] for row in rows])
        kept = package.contents(make.frame(MANIFEST, *rows))
        chosen = config(**(formats or {"imagefolder": FOLDER}))
        package.write(
            kept, places, self.root / "packs", chosen, self.out, self.root / "memo", engine
        )
        return kept

    def members(self) -> dict[str, bytes]:
        """The files of the ImageFolder's packs, read by ``tarfile``."""
        found = {}
        for path in (self.out / "imagefolder").glob("*.tar"):
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    assert member.name not in found
                    found[member.name] = tar.extractfile(member).read()
        return found

    def packs(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (self.out / "imagefolder").glob("*.tar")}

    def files(self) -> dict[str, bytes]:
        return {
            p.relative_to(self.out).as_posix(): p.read_bytes()
            for p in self.out.rglob("*")
            if p.is_file()
        }


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


def photos(count: int, first: int = 0) -> dict[str, bytes]:
    return {f"{n:03}.png": make.file(draw.photo(n, 30, 30)) for n in range(first, first + count)}


def test_members_are_named_by_split_label_and_file_and_listed(build):
    data = make.file(draw.photo(1))
    build.write(
        [
            {"key": "a/x.png", "data": data, "label": "cat"},
            {"key": "y", "data": make.file(draw.photo(2)), "split": None},
        ]
    )
    assert set(build.members()) == {"train/cat/x.png", "all/cat/y.png"}
    listed = CONTENTS.read(build.out / "imagefolder")
    assert {row["member"]: row["packaged"] for row in listed.iter_rows(named=True)} == {
        name: make.sha(data) for name, data in build.members().items()
    }
    assert listed["class"].to_list() == [0, 0]


def test_where_no_image_has_a_split_members_are_named_by_label_and_file(build):
    rows = [{"key": key, "data": data, "split": None} for key, data in photos(2).items()]
    # A split of what is not kept divides nothing.
    build.write([*rows, {"key": "z.png", "data": b"", "split": "train", "verdict": "remove"}])
    assert set(build.members()) == {"cat/000.png", "cat/001.png"}
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
    assert set(build.members()) == {"train/cat/a.png"}


def test_nothing_left_to_package_is_an_error():
    with pytest.raises(BuildError, match="no image is left to package"):
        package.contents(make.frame(MANIFEST, {"key": "a", "verdict": "remove"}))


# Names


def folders(*labels: str, **more: Any) -> list[str]:
    rows = [{"key": f"{n}", "label": label, **more} for n, label in enumerate(labels)]
    return package.contents(make.frame(MANIFEST, *rows))["folder"].to_list()


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
    (found,) = package.contents(make.frame(MANIFEST, {"key": "a", "name": name}))["name"]
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
    assert set(build.members()) == {f"train/cat/x_{hashes[0]}.png", f"train/cat/X_{hashes[1]}.png"}


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
    assert package.contents(make.frame(MANIFEST, *rows))["class"].to_list() == [1, 0, 1]


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
    ((name, packaged),) = build.members().items()
    assert name == f"train/cat/a.{suffix}"
    assert (np.asarray(opened(packaged)) == np.asarray(opened(data))).all()
    assert dict(opened(data).getexif())
    assert not dict(opened(packaged).getexif())
    assert b"owner" not in packaged


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
    ((name, packaged),) = build.members().items()
    image = opened(packaged)
    assert name == "train/cat/a.png"
    assert (image.format, image.size, image.mode) == ("PNG", side, mode)
    assert not image.info


def test_an_image_that_was_measured_and_cannot_be_read_is_an_error(build):
    with pytest.raises(
        BuildError, match=r"cannot be read \(not_an_image\), though it was measured"
    ):
        build.write({"a.jpg": b"no image"})


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
    before = build.packs()
    assert len(before) > 15
    chance = random.Random(3)
    for turn in range(6):
        del files[chance.choice(sorted(files))]
        files |= photos(1, first=1000 + turn)
        build.write(files)
        after = build.packs()
        assert 1 <= len([name for name, inode in after.items() if before.get(name) != inode]) <= 5
        before = after
    assert len(build.members()) == 160


def swap(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("change", ["swapped", "missing", "more"])
def test_a_package_that_is_not_as_the_manifest_says_is_refused(build, change):
    build.write(photos(3))
    out = build.out / "imagefolder"
    listed = CONTENTS.read(out)
    held = build.members()
    first = min(held)
    edits = {
        "swapped": {first: swap(held[first])},
        "more": {"train/cat/z.png": b"x"},
        "missing": {},
    }
    new = {**held, **edits[change]}
    if change == "missing":
        del new[first]
    for path in out.glob("*.tar"):
        path.unlink()
    members = tuple(packs.Member(name, make.sha(data), len(data)) for name, data in new.items())
    packs.write(packs.Pack(members), out, lambda member: new[member.name])
    with pytest.raises(
        BuildError, match=r"1 files of .* are not as the manifest says, first train/cat/"
    ):
        imagefolder.verify(out, listed)


def test_a_file_that_is_there_twice_is_refused(build):
    build.write(photos(3))
    out = build.out / "imagefolder"
    packed = next(out.glob("*.tar"))
    (out / "other.tar").write_bytes(packed.read_bytes())
    with pytest.raises(BuildError, match="are not as the manifest says"):
        imagefolder.verify(out, CONTENTS.read(out))


def test_a_torn_pack_is_written_again(build):
    build.write(photos(40))
    before = build.files()
    path = min((build.out / "imagefolder").glob("*.tar"))
    path.write_bytes(path.read_bytes()[:-600])
    build.write(photos(40))
    assert build.files() == before


def test_unpacked_makes_real_folders_and_no_packs(build):
    for _ in range(2):
        build.write(photos(5), imagefolder={**FOLDER, "unpacked": True})
        out = build.out / "imagefolder"
        assert build.packs() == {}
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


def test_a_damaged_source_pack_stops_the_build(build):
    build.write(photos(3))
    path = min((build.root / "packs").iterdir())
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    places = stored(build.root / "packs", list(photos(3).values()))
    path.write_bytes(data)
    source = contract.Source(places, build.root / "packs", make.LIMITS)
    with pytest.raises(BuildError, match="is damaged at byte"):
        [contract.describe(batch) for batch in source.batches(places["digest"], 2)]


# HDF5


def pets(count: int = 20) -> list[Sample]:
    rows = [{"key": key, "data": data} for key, data in photos(count).items()]
    for n, row in enumerate(rows):
        row.update(label=("cat", "dog,big")[n % 2], split=("train", "test", None)[n % 3])
    return rows


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_an_hdf5_file_has_every_image_with_its_label_and_sample(build, mode, channels):
    rows = pets()
    build.write(rows, hdf5={**HDF5, "mode": mode})
    seen = {}
    with h5py.File(build.out / "hdf5" / hdf5.FILE) as file:
        names = dict(text.decode().split(",", 1) for text in file["label_map"][:])
        for part in ("train", "test", "all"):
            images = file[f"{part}_images"]
            assert images.shape[1:] == (12, 16, channels)
            assert images.dtype == np.uint8
            columns = (images, file[f"{part}_labels"], file[f"{part}_samples"])
            for image, label, sample in zip(*columns, strict=True):
                seen[sample.decode()] = (part, names[str(label)], image)
    assert len(seen) == 20
    for row in rows:
        part, label, image = seen[f"album/{row['key']}"]
        expected = opened(row["data"]).convert(mode).resize((16, 12), Image.Resampling.LANCZOS)
        assert (part, label) == (row["split"] or "all", row["label"])
        assert (image.squeeze() == np.asarray(expected)).all()


def test_every_format_lists_the_fold_of_each_image(build):
    rows = [{**row, "fold": n % 3} for n, row in enumerate(pets(9))]
    build.write(rows, imagefolder=FOLDER, hdf5=HDF5)
    folds = {f"album/{row['key']}": row["fold"] for row in rows}
    for name in ("imagefolder", "hdf5"):
        listed = CONTENTS.read(build.out / name)
        assert dict(listed.select("sample", "fold").iter_rows()) == folds


def test_rows_of_an_hdf5_file_mix_the_labels_and_are_listed_as_they_stand(build):
    build.write(pets(60), hdf5=HDF5)
    listed = CONTENTS.read(build.out / "hdf5")
    with h5py.File(build.out / "hdf5" / hdf5.FILE) as file:
        labels = file["train_labels"][:].tolist()
        rows = {row["member"]: row for row in listed.iter_rows(named=True)}
        for n, image in enumerate(file["train_images"]):
            row = rows[f"train_images/{n}"]
            assert row["packaged"] == make.sha(image.tobytes())
            assert row["sample"].encode() == file["train_samples"][n]
    assert labels not in (sorted(labels), sorted(labels, reverse=True))


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
def test_equal_contents_give_equal_hdf5_files_on_every_engine(tmp_path, monkeypatch, compression):
    monkeypatch.setattr(hdf5, "BATCH", 40)  # several for each worker
    one, two = Build(tmp_path / "one"), Build(tmp_path / "two")
    one.write(pets(300), hdf5={**HDF5, "compression": compression})
    two.write(pets(5), hdf5=HDF5)
    two.write(pets(300)[::-1], make.workers(2), hdf5={**HDF5, "compression": compression})
    assert one.files() == two.files()


def test_an_hdf5_file_that_reads_back_otherwise_is_refused(build):
    build.write(pets(), hdf5=HDF5)
    path = build.out / "hdf5" / hdf5.FILE
    assert hdf5.reread(path.parent) == 20
    with h5py.File(path, "r+") as file:
        file["test_images"][1, 2, 3, 0] ^= 1
    with pytest.raises(BuildError, match="rows of test read back differ"):
        hdf5.reread(path.parent)


# The card


def test_the_card_says_what_is_in_and_why_the_rest_is_out():
    rows = [{"key": f"{n}", "label": "a|b\nc", "split": None} for n in range(3)]
    rows[2].update(verdict="remove", reasons=["blurred", "dark"])
    text = package.card.render(About.model_validate(ABOUT), make.frame(MANIFEST, *rows))
    for line in (
        "# Pets",
        "- Licence: CC0",
        "- Images: 2 of 3 listed",
        "| - | a\\|b c | 2 |",
        "| dark | 1 |",
        "| album | 3 | 2 |",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("labels", "line"), [(100, "| train | 7 | 1 |"), (101, "| train | 101 | 101 |")]
)
def test_the_card_of_many_labels_counts_them(labels, line):
    rows = [{"key": f"{n}", "label": f"{n}", "split": "train"} for n in range(labels)]
    text = package.card.render(About.model_validate(ABOUT), make.frame(MANIFEST, *rows))
    assert line in text.splitlines()
