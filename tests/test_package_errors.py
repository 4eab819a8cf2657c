"""What goes wrong while packaging is said in a line, and leaves the last good package whole."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from imagemill import package
from imagemill.errors import BuildError
from imagemill.tables import MANIFEST
from tests import draw, make
from tests.packaging import ALL, FOLDER, HDF5, SHARDS, Build, config, photos


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


@contextmanager
def quota(most: int) -> Iterator[None]:
    """Let no file grow beyond ``most`` bytes: EFBIG, where a disk that is full gives ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", [name for name in ALL if name != "hdf5"])
def test_a_quota_that_is_used_up_leaves_the_last_good_package(build, name):
    build.write(photos(6), **{name: ALL[name]})
    before = build.files()
    big = {"big.png": make.file(draw.photo(1, 300, 300))}
    given = build.given({**photos(6), **big})
    with (
        quota(100_000),
        pytest.raises(BuildError, match=r"no room on the disk of .*bytes are free"),
    ):
        build.write(given, **{name: ALL[name]})
    assert build.files() == before
    build.write(given, **{name: ALL[name]})
    assert build.files() != before


RAW = {**HDF5, "width": 100, "height": 100, "mode": "RGB"}
HDF5_KINDS = {
    "raw": {"store": "raw"},
    "gzip": {"compression": "gzip"},
    "lzf": {"compression": "lzf"},
    "encoded": {"store": "encoded"},
}


@pytest.mark.parametrize("kind", HDF5_KINDS.values(), ids=HDF5_KINDS)
def test_a_quota_that_an_hdf5_file_exceeds_leaves_the_last_one(build, kind):
    settings = {**RAW, **kind}
    build.write(photos(6), hdf5=settings)
    before = build.files()
    given = build.given(many())
    with quota(1_500_000), pytest.raises(BuildError, match="no room on the disk of"):
        build.write(given, hdf5=settings)
    assert build.files() == before


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Build]:
    """A build whose package lies on a disk of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=3000k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here, which only root may")
    try:
        build = Build(tmp_path / "build")
        build.out = disk / "package"
        build.out.mkdir()
        yield build
    finally:
        subprocess.run(["umount", str(disk)], check=True)


SMALL: dict[str, tuple[str, dict[str, object]]] = {
    **{name: (name, settings) for name, settings in ALL.items() if name != "hdf5"},
    "unpacked": ("imagefolder", {**FOLDER, "unpacked": True}),
    "raw": ("hdf5", RAW),
    "gzip": ("hdf5", {**RAW, "compression": "gzip"}),
    "lzf": ("hdf5", {**RAW, "compression": "lzf"}),
    "encoded": ("hdf5", {**HDF5, "store": "encoded"}),
}


@pytest.mark.parametrize(("name", "settings"), SMALL.values(), ids=SMALL)
def test_a_small_disk_that_is_full_leaves_the_last_good_package(small, name, settings):
    small.write(photos(6), **{name: settings})
    before = small.files()
    with pytest.raises(BuildError, match="no room on the disk of") as caught:
        small.write({**photos(6), **many()}, **{name: settings})
    assert "\n" not in str(caught.value)
    assert "bytes are free" in str(caught.value)
    assert small.files() == before
    small.write(photos(7), **{name: settings})
    assert small.files() != before


def many() -> dict[str, bytes]:
    """Photos of four megabytes together."""
    return {f"{n}.png": make.file(draw.photo(n, 90, 90)) for n in range(400)}


def test_an_unreadable_image_is_named_by_its_hash(build):
    with pytest.raises(BuildError, match=f"image {make.sha(b'no image')} cannot be read"):
        build.write({"a.jpg": b"no image"}, hdf5=HDF5)


def test_a_label_without_a_number_is_refused_and_pinned_ones_keep_theirs():
    rows = [{"key": f"{n}", "label": label} for n, label in enumerate(("dog", "eel", "cat"))]
    manifest = make.frame(MANIFEST, *rows)
    with pytest.raises(BuildError, match=r"1 labels have no number, first eel. `package.labels`"):
        package.contents(manifest, None, ["dog", "cat"])
    kept = package.contents(manifest, None, ["dog", "cat", "eel", "fox"]).frame()
    assert dict(kept.select("label", "class").rows()) == {"dog": 0, "cat": 1, "eel": 2}


def test_a_label_that_is_pinned_twice_is_refused_with_the_config():
    with pytest.raises(ValidationError, match="cat stands twice; a label has one number"):
        config({}, labels=["cat", "dog", "cat"])


def test_a_sample_without_a_label_is_refused():
    with pytest.raises(BuildError, match="labels have no number, first None"):
        package.contents(make.frame(MANIFEST, {"key": "a", "label": None}))


def labelled(*labels: str) -> list[dict[str, object]]:
    return [
        {"key": key, "data": data, "label": label}
        for label, (key, data) in zip(labels, photos(len(labels)).items(), strict=True)
    ]


def test_a_label_map_that_changed_since_the_last_package_is_shown_as_a_difference(build, capsys):
    build.write(labelled("cat", "eel"), webdataset=SHARDS)
    assert "label map" not in capsys.readouterr().err
    build.write(labelled("cat", "dog"), webdataset=SHARDS)
    said = capsys.readouterr().err
    assert "warning: package: webdataset: the label map has changed" in said
    assert "- 1,eel\n  + 1,dog" in said
    build.write(labelled("cat", "dog"), webdataset=SHARDS)
    assert "label map" not in capsys.readouterr().err


def test_pinned_labels_keep_the_map_as_it_was(build, capsys):
    pinned = {"labels": ["cat", "eel", "dog"]}
    build.write(labelled("cat", "eel", "dog"), more=pinned, webdataset=SHARDS)
    build.write(labelled("cat", "dog", "dog"), more=pinned, webdataset=SHARDS)
    assert "label map" not in capsys.readouterr().err


def test_a_number_that_only_a_label_without_images_had_is_warned_of_too(build, capsys):
    rows = labelled("cat", "cat")
    build.write(rows, more={"labels": ["cat", "eel"]}, webdataset=SHARDS)
    build.write(rows, more={"labels": ["cat", "dog", "eel"]}, webdataset=SHARDS)
    assert "- 1,eel\n  + 1,dog\n  + 2,eel" in capsys.readouterr().err


def test_a_pinned_label_without_an_image_keeps_its_place_in_every_label_map(build):
    import datasets
    import h5py

    pinned = {"labels": ["cat", "eel", "dog"]}
    build.write(labelled("cat", "dog"), more=pinned, hdf5=HDF5, parquet=SHARDS)
    with h5py.File(build.out / "hdf5/dataset.h5") as file:
        assert file["label_map"][:].tolist() == [b"0,cat", b"1,eel", b"2,dog"]
        assert sorted(file["train_labels"][:].tolist()) == [0, 2]
    cache = str(build.root / "cache")
    read = datasets.load_dataset(str(build.out / "parquet"), split="train", cache_dir=cache)
    assert read.features["label"].names == pinned["labels"]
    assert sorted(read["label"]) == [0, 2]
