"""Verify reads every image and names what is not as the manifest says."""

import os
import random
import subprocess
from pathlib import Path

import h5py
import pytest

from imagemill import packaged, packs, verify
from imagemill.exported import MANIFEST
from tests.conftest import Build, Project
from tests.publishing import photo, photos, refused
from tests.test_export import IMAGEMILL, Mill, damage


@pytest.fixture
def mill(tmp_path) -> Mill:
    made = Mill(tmp_path)
    made.package(photos(40))
    made.export()
    return made


def run(mill: Mill, address: str) -> tuple[int, str]:
    done = subprocess.run(
        [IMAGEMILL, "verify", address], cwd=mill.root, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


# A folder


def test_a_folder_that_is_as_its_manifest_says_is_well(mill):
    mill.put("id00001/notes.txt")
    status, said = run(mill, "out")
    assert (status, said.splitlines()[0]) == (0, "verify: out holds its 40 images of 20 labels")


def test_each_difference_of_a_folder_is_named_with_what_mends_it(mill):
    time = (mill.out / "id00001/2.jpg").stat().st_mtime_ns
    mill.put("id00001/2.jpg", photo(1000))
    os.utime(mill.out / "id00001/2.jpg", ns=(time, time))  # as the disk's own faults leave it
    mill.put("id00001/3.jpg", b"short")
    mill.put("id00001/theirs.jpg")
    mill.put("other/z.JPEG")
    (mill.out / "empty").mkdir()
    (mill.out / "id00002/4.jpg").unlink()
    mill.put("train.rec")
    mill.put("arcface.py", b"config.num_classes = 18_019\n")
    (mill.out / "arcface.json").unlink()
    status, said = run(mill, "out")
    assert status == 1
    assert said.splitlines() == [
        "missing: arcface.json",
        "checksum: arcface.py: not the figures of the manifest",
        "extra: empty: a folder without images, or a link",
        "checksum: id00001/2.jpg",
        "size: id00001/3.jpg: 5 bytes, not 700",
        "extra: id00001/theirs.jpg",
        "missing: id00002/4.jpg",
        "extra: other/z.JPEG",
        "extra: train.rec: insightface would read it in place of the images",
        "error: verify: out: 2 missing, 1 size, 2 checksum, 4 extra of 40 images; "
        "`imagemill export NAME --to out --check` writes what is missing or wrong; delete what is "
        "extra, or it is trained on.",
    ]


def test_what_verify_says_to_do_mends_a_folder(mill):
    time = (mill.out / "id00001/2.jpg").stat().st_mtime_ns
    mill.put("id00001/2.jpg", photo(1000))
    os.utime(mill.out / "id00001/2.jpg", ns=(time, time))
    (mill.out / "id00002/4.jpg").unlink()
    mill.put("arcface.py", b"config.num_classes = 18_019\n")
    mill.put("other/z.jpg").unlink()
    said = refused(lambda: verify.folder(mill.out))
    assert "1 missing, 2 checksum, 1 extra of 40 images" in said
    (mill.out / "other").rmdir()
    mill.export(check=True)
    assert "holds its 40 images" in verify.folder(mill.out)


def test_of_many_differences_the_first_are_named_and_the_rest_are_counted(mill):
    for member in mill.images():
        (mill.out / member).unlink()
    status, said = run(mill, "out")
    lines = said.splitlines()
    assert status == 1
    assert (len(lines), lines[20]) == (22, "... and 40 more")  # the folders are empty now
    assert "40 missing, 20 extra of 40 images" in lines[21]


@pytest.mark.parametrize("seed", range(3))
def test_any_byte_that_differs_is_found(mill, seed):
    chance = random.Random(seed)
    path = mill.out / chance.choice(sorted(mill.images()))
    damage(path, chance.randrange(700))
    assert "1 checksum of 40 images" in refused(lambda: verify.folder(mill.out))


def test_a_folder_without_a_manifest_is_no_complete_export(mill):
    (mill.out / MANIFEST).unlink()
    status, said = run(mill, "out")
    assert status == 1
    assert "out has no manifest.parquet: no export to it has come to its end" in said
    assert "`imagemill export NAME --to out`" in said
    assert "nowhere is not there" in run(mill, "nowhere")[1]


def test_a_manifest_that_cannot_be_read_is_named(mill):
    mill.put(MANIFEST, b"PAR1")
    assert "manifest.parquet is damaged or not of imagemill" in run(mill, "out")[1]


# A dataset


def test_the_packs_of_a_dataset_are_read_and_compared(mill):
    place = mill.folder.relative_to(mill.root)
    status, said = run(mill, "faces")
    assert (status, said.splitlines()[0]) == (
        0,
        f"verify: {place} holds its 40 images of 20 labels",
    )


def test_damaged_and_surplus_packs_of_a_dataset_are_named_with_what_mends_them(mill):
    first, second, *_ = sorted(mill.folder.glob("*.tar"))
    damage(first)
    damage(second, 2000)  # in the header of its second image
    member = packs.Member("zzz/1.jpg", "0" * 64, 1)
    packs.write(packs.Pack((member,)), mill.folder, lambda _: b"x")
    status, said = run(mill, "faces")
    assert status == 1
    assert f"checksum: {first.name}: id" in said
    assert ".jpg: at byte 512" in said
    assert f"checksum: {second.name}: its headers or its length" in said
    assert f"extra: {packs.Pack((member,)).name}: no pack of the manifest's" in said
    assert "2 checksum, 1 extra of 40 images; delete these packs; `dvc pull package@faces`" in said


def test_missing_packs_of_a_dataset_are_fetched(mill):
    min(mill.folder.glob("*.tar")).unlink()
    found = packaged.find(mill.root, "faces")
    assert "Fetch the rest with `dvc pull package@faces`" in refused(lambda: verify.package(found))


def test_every_format_of_a_dataset_is_verified(project: Project, build: Build, monkeypatch):
    project.datasets(
        pets=["package=[imagefolder,hdf5]", "package.formats.imagefolder.unpacked=true"]
    )
    build(project, "pets")
    said = verify.dataset(Path(), "pets").splitlines()
    assert said[::2] == [
        "verify: data/pets/package/hdf5 holds its 12 images",
        "verify: data/pets/package/imagefolder holds its 12 images of 2 labels",
    ]
    assert all("verifies: checked for leaks of" in each for each in said[1::2])
    with h5py.File("data/pets/package/hdf5/dataset.h5", "r+") as file:
        file["train_images"][1, 2, 3, 0] ^= 1
    assert "rows of train read back differ" in refused(lambda: verify.dataset(Path(), "pets"))
