"""An exported folder holds the package's images and nothing else that would be trained on."""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest

import imagemill
from imagemill import export as exporting
from imagemill import label_maps, packaged, packs, statistics
from imagemill.arcface import RECORDIO
from imagemill.exported import MANIFEST, filling, stamp
from imagemill.tables import CONTENTS
from tests.publishing import package, photo, photos, refused

IMAGEMILL = str(Path(sys.executable).with_name("imagemill"))


class Mill:
    """A project that has packaged one dataset, and a folder to export it to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "out"
        self.folder = root / "data/faces/package/imagefolder"

    def package(self, files: Mapping[str, bytes]) -> None:
        package(self.folder, files)
        if any(member.count("/") == 2 for member in files):
            part = pl.col("member").str.split("/").list
            split = part.get(0).alias("split")
            CONTENTS.write(
                self.folder,
                CONTENTS.read(self.folder).with_columns(split, part.get(1).alias("label")),
            )
        (self.folder.parent / "README.md").write_text("# Faces\n")

    def export(self, stale: filling.Stale = "fail", *, check: bool = False) -> None:
        exporting.export(packaged.find(self.root, "faces"), self.out, stale, check=check)

    def run(self, *more: str) -> tuple[int, str]:
        command = [IMAGEMILL, "export", "faces", "--to", "out", *more]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    def images(self) -> dict[str, bytes]:
        return {name: data for name, data in files(self.out).items() if "/" in name}

    def states(self) -> dict[str, tuple[int, int]]:
        """What changes when a file is written, however it is."""
        told = {name: (self.out / name).stat() for name in self.images()}
        return {name: (each.st_ino, each.st_ctime_ns) for name, each in told.items()}

    def put(self, member: str, data: bytes = b"x") -> Path:
        path = self.out / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def mill(tmp_path) -> Mill:
    return Mill(tmp_path)


def image_folder(root: Path) -> tuple[list[str], int]:
    """The classes and the count of images as torchvision.datasets.ImageFolder finds them."""
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    found = {
        name: [file for _, _, inside in os.walk(root / name, followlinks=True) for file in inside]
        for name in classes
    }
    assert all(found.values())  # it stops at a class without images
    return classes, sum(map(len, found.values()))


def test_an_export_is_the_image_folder_of_the_package_with_its_hand_off(mill):
    mill.package(photos(100))
    status, said = mill.run()
    assert status == 0
    assert "export: 100 images in out; 100 written" in said
    found = files(mill.out)
    assert {name: data for name, data in found.items() if "/" in name} == photos(100)
    assert found[MANIFEST] == (mill.folder / MANIFEST).read_bytes()
    assert found["README.md"] == b"# Faces\n"
    told = json.loads(found["arcface.json"])
    assert (told["classes"], told["num_image"]) == image_folder(mill.out)
    assert set(found) - set(photos(100)) == {MANIFEST, "README.md", "arcface.json", "arcface.py"}


def test_pinned_labels_without_images_travel_with_an_export(mill):
    mill.package(photos(4))
    labels = mill.folder / label_maps.FILE
    labels.write_text('["id00000", "id00001", "later"]')
    mill.run()
    assert imagemill.open(mill.out).num_labels == 3
    labels.unlink()
    mill.run()
    assert not (mill.out / label_maps.FILE).exists()
    assert imagemill.open(mill.out).num_labels == 2


def test_statistics_are_over_every_label_of_every_split(mill):
    rows = [("train", "a")] * 2 + [("train", "b")] * 5 + [("test", "a")]
    said = statistics.text(pl.DataFrame(rows, ["split", "label"], orient="row"))
    assert [line.split() for line in said.splitlines()] == [
        ["split", "labels", "images", "least", "mean", "median", "most"],
        ["test", "1", "1", "1", "1.0", "1.0", "1"],
        ["train", "2", "7", "2", "3.5", "3.5", "5"],
        [],
        ["images", "labels", "share"],
        ["1", "1", "33.3", "%"],
        ["2", "1", "33.3", "%"],
        ["5-8", "1", "33.3", "%"],
    ]


@pytest.mark.parametrize(
    ("count", "name"), [(1, "1"), (2, "2"), (3, "3-4"), (4, "3-4"), (5, "5-8"), (1025, "1025-2048")]
)
def test_a_count_lies_in_the_range_of_its_power_of_two(count, name):
    assert statistics.distribution(pl.Series([count]))["images"].to_list() == [name]


# Again, and after a kill


def test_a_second_export_writes_nothing(mill):
    mill.package(photos(100))
    mill.export()
    before = mill.states(), files(mill.out)
    status, said = mill.run()
    assert status == 0
    assert "100 images are there already" in said
    assert (mill.states(), files(mill.out)) == before


def test_only_what_is_missing_or_wrong_is_written_again(mill):
    mill.package(photos(100))
    mill.export()
    before = mill.states()
    mill.put("id00001/2.jpg", b"cut")
    mill.put("id00001/3.jpg", photo(1000))  # as long
    (mill.out / "id00002/4.jpg").unlink()
    shutil.rmtree(mill.out / "id00003")
    wrong = {f"id{n // 2:05}/{n}.jpg" for n in (2, 3, 4, 6, 7)}
    mill.export()
    assert mill.images() == photos(100)
    assert {name for name, state in mill.states().items() if before[name] == state} == {
        name for name in photos(100) if name not in wrong
    }


def test_a_copy_without_time_stamps_is_read_and_believed(mill):
    mill.package(photos(100))
    mill.export()
    os.utime(mill.out / "id00001/2.jpg")
    before = {name: inode for name, (inode, _) in mill.states().items()}
    mill.export()
    assert {name: inode for name, (inode, _) in mill.states().items()} == before
    expected = stamp(packaged.find(mill.root, "faces").contents.row(2, named=True)["packaged"])
    assert (mill.out / "id00001/2.jpg").stat().st_mtime_ns == expected


def test_a_file_with_the_right_length_and_time_stamp_is_trusted_unless_checked(mill):
    mill.package(photos(100))
    mill.export()
    path = mill.out / "id00001/2.jpg"
    time = path.stat().st_mtime_ns
    path.write_bytes(photo(1000))
    os.utime(path, ns=(time, time))
    mill.export()
    assert path.read_bytes() == photo(1000)
    assert mill.run("--check")[0] == 0
    assert path.read_bytes() == photo(2)


def test_an_export_that_is_killed_again_and_again_leaves_whole_files_and_goes_on(mill):
    expected = photos(6000)
    mill.package(expected)
    chance = random.Random(11)
    kills, before = 0, dict[str, tuple[int, int]]()
    for _ in range(5):
        process = subprocess.Popen(
            [IMAGEMILL, "export", "faces", "--to", "out"], cwd=mill.root, stderr=subprocess.DEVNULL
        )
        stop = len(before) + chance.randrange(50, 900)
        while process.poll() is None and written(mill.out) < stop:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() != 0
        there = mill.images()
        assert {name: expected[name] for name in there} == there
        after = mill.states()
        assert {name: after[name] for name in before} == before
        assert not (mill.out / MANIFEST).exists() or there == expected
        before = after
    assert kills >= 2  # the others were quicker
    mill.export()
    assert mill.images() == expected
    after = mill.states()
    assert {name: after[name] for name in before} == before
    assert not list(mill.out.glob(".imagemill*"))


def written(out: Path) -> int:
    """About how many files are there: a folder has two."""
    return 2 * len(list(out.glob("id*"))) if out.exists() else 0


def test_while_an_export_is_not_complete_there_is_no_manifest(mill):
    mill.package(photos(40))
    mill.export()
    for member in mill.images():
        (mill.out / member).unlink()
    damage(min(mill.folder.glob("*.tar")))
    refused(mill.export)
    assert not (mill.out / MANIFEST).exists()


def test_two_exports_to_one_folder_do_not_run_at_once(mill):
    mill.package(photos(4))
    mill.out.mkdir()
    handle = os.open(mill.out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert "another export is filling" in refused(mill.export)
    os.close(handle)
    mill.export()


# What else lies there


def test_an_export_over_an_older_one_leaves_nothing_of_it(mill):
    mill.package(photos(40))
    mill.export()
    after = {key: data for key, data in photos(44).items() if not key.startswith("id00001/")}
    after["id00002/4.jpg"] = photo(99)
    mill.package(after)
    status, said = mill.run()
    assert status == 0
    assert "removed 2 images of an earlier export" in said
    assert mill.images() == after
    assert not (mill.out / "id00001").exists()


def test_an_older_export_without_time_stamps_is_known_by_its_manifest(mill):
    mill.package(photos(40))
    mill.export()
    for member in mill.images():
        os.utime(mill.out / member)
    mill.package(photos(38))
    mill.export()
    assert mill.images() == photos(38)


def test_what_somebody_changed_since_an_older_export_is_not_removed(mill):
    mill.package(photos(40))
    mill.export()
    mill.put("id00019/39.jpg", photo(1000))
    mill.package(photos(38))
    before = files(mill.out)
    assert "holds id00019/39.jpg: not of this dataset" in refused(mill.export)
    assert files(mill.out) == before


def link(mill: Mill) -> None:
    mill.out.mkdir()
    (mill.root / "elsewhere").mkdir()
    (mill.out / "id00001").symlink_to(mill.root / "elsewhere")


FOREIGN: dict[str, tuple[Callable[[Mill], object], str]] = {
    "a class": (lambda mill: mill.put("other/a.jpg"), "other/a.jpg"),
    "a class of hidden name": (lambda mill: mill.put(".cache/a.PNG"), ".cache/a.PNG"),
    "an image in a class": (lambda mill: mill.put("id00001/deep/er/z.webp"), "id00001/deep/er/z"),
    "a shadow of macOS": (lambda mill: mill.put("id00001/._2.jpg"), "id00001/._2.jpg"),
    "a class without images": (lambda mill: mill.put("logs/run.txt"), "logs/"),
    "a link to another folder": (link, "id00001/"),
}


@pytest.mark.parametrize(("plant", "name"), FOREIGN.values(), ids=FOREIGN)
def test_what_image_folder_would_take_in_stops_an_export_before_it_writes(mill, plant, name):
    mill.package(photos(40))
    plant(mill)
    before = files(mill.out)
    status, said = mill.run()
    assert status == 1
    assert f"out holds {name}" in said
    assert "nothing was written. Delete them, or choose another folder." in said
    assert files(mill.out) == before


def test_what_image_folder_does_not_look_at_is_left_alone(mill):
    mill.package(photos(4))
    for name in ("id00001/.DS_Store", "id00001/notes.txt", "train.log", "a.jpg"):
        mill.put(name)
    mill.export()
    for name in ("id00001/.DS_Store", "id00001/notes.txt", "train.log", "a.jpg"):
        assert (mill.out / name).read_bytes() == b"x"


def test_stale_files_of_recordio_stop_an_export_or_are_removed(mill):
    mill.package({"train/a/1.jpg": photo(1), "test/a/2.jpg": photo(2), "test/property/3.jpg": b"3"})
    for name in ("train.rec", "train/train.rec", "train/train.idx", "train/property"):
        mill.put(name)
    status, said = mill.run()
    assert status == 1
    assert "out holds train.rec, train/train.rec, train/train.idx, train/property, which" in said
    assert "--stale remove" in said
    assert len(files(mill.out)) == 4
    assert mill.run("--stale", "remove")[0] == 0
    assert not [name for name in files(mill.out) if Path(name).name in RECORDIO]
    assert len(mill.images()) == 3


def test_classes_that_differ_by_the_case_of_letters_stay_apart(mill):
    mill.package({"Ann/1.jpg": photo(1), "ann/1.jpg": photo(2)})
    mill.export()
    assert mill.images() == {"Ann/1.jpg": photo(1), "ann/1.jpg": photo(2)}


def test_the_package_itself_is_no_place_to_export_to(mill):
    mill.package(photos(4))
    mill.out = mill.folder / "out"
    assert "lies in the package itself" in refused(mill.export)


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(mill, monkeypatch):
    mill.package(photos(4))
    monkeypatch.setattr(filling, "SPARE", 10**18)
    assert "4 images need 1,000,000,000.0 GB of disk" in refused(mill.export)
    assert files(mill.out) == {}


def test_a_file_that_cannot_be_written_is_named(mill):
    mill.package(photos(4))
    mill.put("id00001")
    assert f"export: {mill.out / 'id00001'}" in refused(mill.export)


# A package that is not whole


def damage(pack: Path, at: int = 600) -> None:
    data = bytearray(pack.read_bytes())
    data[at] ^= 1
    pack.write_bytes(data)


def test_a_damaged_pack_is_named_with_what_mends_it(mill):
    mill.package(photos(100))
    pack = sorted(mill.folder.glob("*.tar"))[1]
    damage(pack)
    status, said = mill.run()
    assert status == 1
    assert f"{pack.relative_to(mill.root)} is damaged at byte 512, in id" in said
    assert (
        f"Delete {pack.relative_to(mill.root)} and fetch it with `dvc pull package@faces`" in said
    )


@pytest.mark.parametrize("left", [100, 1024, 5000])
def test_a_pack_that_is_cut_short_is_named(mill, left):
    mill.package(photos(100))
    pack = min(mill.folder.glob("*.tar"))
    pack.write_bytes(pack.read_bytes()[:left])
    said = refused(mill.export)
    assert f"{pack} is damaged" in said
    assert "`dvc pull package@faces`" in said
    assert not mill.out.exists()


def test_missing_packs_are_counted_and_fetched_with_dvc_pull(mill):
    mill.package(photos(100))
    there = sorted(mill.folder.glob("*.tar"))
    there[0].unlink()
    there[3].unlink()
    said = refused(mill.export)
    held = sum(len(pack_members(path)) for path in mill.folder.glob("*.tar"))
    assert f"those that are there hold {held} of its 100 images" in said
    assert "Fetch the rest with `dvc pull package@faces`" in said
    for path in mill.folder.glob("*.tar"):
        path.unlink()
    assert "holds no packs. Fetch them with `dvc pull package@faces`" in refused(mill.export)


def pack_members(path: Path) -> list[str]:
    import tarfile

    with tarfile.open(path) as tar:
        return tar.getnames()


def test_members_of_long_names_are_found_in_their_packs(mill):
    label = "日本" * 40
    mill.package({**photos(20), f"{label}/1.jpg": photo(1), f"{label}/2.jpg": photo(2)})
    mill.export()
    assert mill.images()[f"{label}/2.jpg"] == photo(2)
    max(mill.folder.glob("*.tar"), key=lambda path: pack_members(path)[-1]).unlink()
    assert "lacks packs" in refused(mill.export)


def test_a_dataset_that_is_not_built_says_how_to_get_it(mill):
    said = refused(mill.export)
    assert "data/faces/package is not built" in said
    assert "`dvc repro package@faces`" in said
    (mill.root / "data/face/package").mkdir(parents=True)
    assert "did you mean face?" in refused(mill.export)


def test_a_dataset_that_others_built_is_fetched(mill):
    (mill.root / "dvc.lock").write_text("schema: '2.0'\nstages: {package@faces: {cmd: x}}\n")
    said = refused(mill.export)
    assert "is built, and not here. Fetch it with `dvc pull package@faces`" in said


def test_other_forms_of_a_package_are_told_from_packs(mill):
    (mill.folder.parent / "hdf5").mkdir(parents=True)
    (mill.root / "dvc.lock").write_text("schema: '2.0'\nstages: {package@faces: {cmd: x}}\n")
    assert "holds hdf5 only" in refused(mill.export)
    assert "`faces: [package=[imagefolder,hdf5]]`" in refused(mill.export)
    mill.package(photos(4))
    for pack in mill.folder.glob("*.tar"):
        pack.unlink()
    (mill.folder / "id00000").mkdir()
    assert "holds real folders, not packs" in refused(mill.export)


def test_packs_that_the_manifest_does_not_name_do_no_harm(mill):
    mill.package(photos(40))
    member = packs.Member("zzz/1.jpg", "0" * 64, 1)
    packs.write(packs.Pack((member,)), mill.folder, lambda _: b"x")
    mill.export()
    assert mill.images() == photos(40)
