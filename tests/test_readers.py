"""A package opens on a training machine: each row with its label, in any order, in every format."""

import json
import os
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imagemill
from imagemill.errors import BuildError
from imagemill.readers import LabelsChanged, PackageError, extents, hdf5, parquet
from imagemill.readers.pixels import Look
from tests import make
from tests.crops import photographs
from tests.packaging import Build
from tests.training import COUNT, FORMATS, NAMES, SIDE, built, by_sample, pixels, rows


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packages")
    return {name: built(root, name) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_every_row_of_every_format_has_its_label_and_its_pixels(packages, name):
    package = imagemill.open(packages[name])
    known = by_sample()
    assert len(package) == COUNT
    assert package.label_map == NAMES
    assert sorted(package.samples) == sorted(known)
    for item, sample in zip(package, package.samples, strict=True):
        assert item.name == known[sample]["label"] == NAMES[item.label]
        assert (np.asarray(item.image.convert("RGB")) == pixels(known[sample])).all()


@pytest.mark.parametrize("name", FORMATS)
def test_splits_are_those_of_the_manifest_in_every_format(packages, name):
    package = imagemill.open(packages[name])
    expected = Counter(row["split"] for row in rows())
    assert package.splits == expected
    assert list(package.splits) == ["train", "test"]
    known = by_sample()
    for split, count in expected.items():
        part = package[split]
        assert len(part) == count
        assert {known[sample]["split"] for sample in part.samples} == {split}
        assert part.counts == {
            label: sum(r["label"] == label and r["split"] == split for r in rows())
            for label in NAMES.values()
        }


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_read_in_any_order_and_again(packages, name):
    package = imagemill.open(packages[name])["train"]
    order = [5, 60, 5, 0, 41, -1]
    known = by_sample()
    for item, sample in zip(package.take(order), package[order].samples, strict=True):
        assert (np.asarray(item.image.convert("RGB")) == pixels(known[sample])).all()
    assert package[-1].label == package.labels[-1]
    with pytest.raises(IndexError):
        package[len(package)]


def test_rows_are_chosen_by_a_list_a_slice_or_a_mask(packages):
    package = imagemill.open(packages["hdf5"])
    zeros = package.labels == 0
    assert len(package[zeros]) == len(package.take(zeros)) == np.count_nonzero(zeros)
    assert {item.label for item in package.take(zeros)} == {0}
    assert len(package[[]]) == len(package.take([])) == 0
    assert package[[]].counts == dict.fromkeys(NAMES.values(), 0)
    assert package[::-2].samples == package.samples[::-2]
    assert package[np.int32(-3)].label == package.labels[-3]


@pytest.mark.parametrize("name", FORMATS)
def test_a_package_that_was_sent_to_another_process_reads_the_same(packages, name):
    package = imagemill.open(packages[name])
    package[0].image.load()
    copy = pickle.loads(pickle.dumps(package))
    assert copy[7].image.tobytes() == package[7].image.tobytes()
    assert copy.samples == package.samples


def test_a_sample_is_drawn_once_each_and_alike_for_a_seed(packages):
    package = imagemill.open(packages["hdf5"])
    found = [item.image.tobytes() for item in package.sample(50, seed=1)]
    assert found == [item.image.tobytes() for item in package.sample(50, seed=1)]
    assert found != [item.image.tobytes() for item in package.sample(50, seed=2)]
    assert len(package.sample(1000)) == COUNT


def test_weights_make_each_label_count_the_same(packages):
    package = imagemill.open(packages["hdf5"])[:40]
    counts = np.bincount(package.labels)
    assert package.weights * counts == pytest.approx([40 / 3] * 3)
    assert package.weights[package.labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("name", ["hdf5", "webdataset", "imagefolder", "mds", "parquet"])
def test_a_pinned_label_without_an_image_has_its_number_and_no_weight(tmp_path, name):
    labels = ["none", *NAMES.values(), "never"]
    package = imagemill.open(built(tmp_path, name, labels=labels))
    assert package.num_labels == 5
    assert package.label_map == dict(enumerate(labels))
    assert package.counts["never"] == 0
    assert package.weights[[0, 4]].tolist() == [0, 0]
    assert set(package.labels.tolist()) == {1, 2, 3}


def test_rows_without_a_split_are_the_split_all(tmp_path):
    plain = [{**row, "split": None} for row in rows()[:20]]
    for name in ("hdf5", "webdataset", "imagefolder", "folders"):
        assert imagemill.open(built(tmp_path, name, plain)).splits == {"all": 20}


def test_derived_copies_are_marked(tmp_path):
    from tests.packaging import STANDARD

    path = built(tmp_path, "hdf5", rows()[:12], augment={**STANDARD, "multiplier": 3})
    package = imagemill.open(path)
    assert Counter(package["train"].copies.tolist()) == {0: 9, 1: 9, 2: 9}
    assert set(package["test"].copies.tolist()) == {0}


def test_a_notebook_shows_a_sheet_and_counts_with_all_names_escaped(packages, tmp_path):
    package = imagemill.open(packages["webdataset"])
    sheet = package.grid(10, side=50)
    assert sheet.width > 4 * 50
    assert Image.open(BytesIO(package._repr_png_())).format == "PNG"
    assert "91 images of 3 labels; train 68, test 23" in repr(package)
    renamed = [{**row, "label": f"<b>{row['label']}"} for row in rows()[:5]]
    html = imagemill.open(built(tmp_path, "hdf5", renamed))._repr_html_()
    assert "&lt;b&gt;cat" in html
    assert "<b>" not in html


FORMS: dict[str, dict[str, Any]] = {
    "coarse": {"quality": 30},
    "progressive": {"quality": 88, "subsampling": 2, "progressive": True},
    "fine": {"quality": 97, "subsampling": 0, "optimize": True},
    "restarts": {"quality": 80, "restart_marker_rows": 1},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("form", FORMS)
def test_a_jpeg_is_decoded_to_the_bit_as_pillow_opens_it(form, mode):
    for photo in photographs()[::40]:
        data = make.file(photo.convert(mode), "JPEG", **FORMS[form])
        plain = Image.open(BytesIO(data)).convert("RGB")
        assert Look().image(data).tobytes() == plain.tobytes()
        assert Look().image(memoryview(data)).tobytes() == plain.tobytes()
        small = Look(size=(20, 30)).image(data)
        assert small.size == (30, 20)
        near = np.asarray(small, int) - np.asarray(
            plain.resize((30, 20), Image.Resampling.BILINEAR), int
        )
        assert np.abs(near).mean() < 4
        with pytest.raises((ValueError, OSError)):
            Look().image(data[: len(data) // 2]).load()


# Labels that changed since training


def renamed(tmp_path: Path) -> Path:
    """A later package: a label more, which comes first."""
    more = [{**rows()[0], "key": "new", "label": "ant"}, *rows()[1:]]
    return built(tmp_path / "later", "hdf5", more)


def test_labels_that_changed_since_training_are_warned_of_with_the_difference(packages, tmp_path):
    before = imagemill.open(packages["hdf5"])
    with pytest.warns(LabelsChanged) as caught:
        later = imagemill.open(renamed(tmp_path), labels=before.label_map)
    lines = str(caught[0].message).splitlines()
    assert lines[1:] == ["  - 1,cat", "  + 1,ant", "  - 2,dog, big", "  + 2,cat", "  + 3,dog, big"]
    assert later.label_map[1] == "ant"
    assert caught[0].filename == __file__


def test_labels_keep_their_earlier_numbers_where_that_is_asked_for(packages, tmp_path):
    before = imagemill.open(packages["hdf5"])
    path = renamed(tmp_path)
    with pytest.warns(LabelsChanged, match="1 labels are new .* 3,ant"):
        later = imagemill.open(path, labels=before, renumber=True)
    assert later.label_map == {**NAMES, 3: "ant"}
    names = [imagemill.open(path).label_map[n] for n in imagemill.open(path).labels.tolist()]
    assert [later.label_map[n] for n in later.labels.tolist()] == names


def test_a_label_map_is_taken_in_every_form_in_which_people_store_one(packages, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(NAMES))
    forms = [
        NAMES,
        {label: number for number, label in NAMES.items()},
        list(NAMES.values()),
        tmp_path / "labels.json",
        str(packages["webdataset"]),
        packages["webdataset"] / "labels.json",
        {0: "1.5"},
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in forms:
            imagemill.open(packages["hdf5"], labels=given)
    with pytest.raises(PackageError, match="is no number with a label"):
        imagemill.open(packages["hdf5"], labels={"x": "y"})


# Errors


def test_a_folder_that_is_no_package_is_told_with_what_to_do(tmp_path):
    with pytest.raises(BuildError, match="no such folder"):
        imagemill.open(tmp_path / "none")
    with pytest.raises(BuildError, match=r"holds no package .*dvc pull"):
        imagemill.open(tmp_path)


def test_the_folder_around_a_package_opens_where_there_is_one_format(packages, tmp_path):
    path = built(tmp_path, "hdf5")
    assert len(imagemill.open(path.parent)) == COUNT
    assert len(imagemill.open(path.parent.parent)) == COUNT
    assert len(imagemill.open(path / "dataset.h5")) == COUNT
    (path.parent / "other").symlink_to(packages["webdataset"])
    with pytest.raises(PackageError, match="holds hdf5, other: open one of them"):
        imagemill.open(path.parent)


def test_a_split_that_is_not_there_is_told_with_the_nearest(packages):
    with pytest.raises(PackageError, match=r"no split trian; did you mean train\?"):
        imagemill.open(packages["hdf5"])["trian"]


@pytest.mark.parametrize("name", ["hdf5", "hdf5 encoded", "hdf5 gzip", "webdataset", "parquet"])
def test_a_package_that_is_built_anew_is_never_read_with_old_places(tmp_path, name):
    path = built(tmp_path, name)
    package = imagemill.open(path)
    for file in path.rglob("*.*"):
        os.utime(file, ns=(1, 1))
    with pytest.raises(PackageError, match="has changed since"):
        package.take([0])


@pytest.mark.parametrize("name", FORMATS)
def test_where_rows_are_from_is_never_read_of_another_build(tmp_path, name):
    build = Build(tmp_path)
    path = build.out / next(iter(FORMATS[name]))
    build.write(rows()[:60], **FORMATS[name])
    package, known = imagemill.open(path), imagemill.open(path)
    samples = known.samples
    build.write(rows()[20:], **FORMATS[name])
    with pytest.raises(PackageError, match=r"has changed since|is gone since"):
        package.samples  # noqa: B018 (it is read now)
    assert known.samples == samples


@pytest.mark.parametrize("name", ["folders", "parquet", "hdf5 gzip"])
def test_threads_read_one_package_at_once(tmp_path, monkeypatch, name):
    monkeypatch.setattr(extents, "MOST", 2)
    monkeypatch.setattr(parquet, "HELD", 1)
    monkeypatch.setattr(hdf5, "HELD", 1)
    package = imagemill.open(built(tmp_path, name))
    known = [item.image.tobytes() for item in package]
    order = np.random.RandomState(0).randint(0, COUNT, 3000).tolist()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda row: package[row].image.tobytes(), order))
    assert found == [known[row] for row in order]


@pytest.mark.parametrize("name", ["mds", "webdataset", "imagefolder"])
def test_a_shard_that_is_gone_or_cut_short_is_named(tmp_path, name):
    path = built(tmp_path, name)
    package = imagemill.open(path)
    shards = sorted(p for p in path.rglob("*") if p.suffix in (".mds", ".tar"))
    shards[0].unlink()
    with pytest.raises(PackageError, match=f"{shards[0].name} is gone since"):
        list(package)
    for shard in shards[1:]:
        shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(PackageError, match=f"{shards[0].name} is missing"):
        imagemill.open(path)
    (path / "checksums.txt").unlink()
    with pytest.raises(BuildError, match=r"has changed|is no|is cut short|no pack begins"):
        list(imagemill.open(path))


INDICES = {"mds": "index.json", "litdata": "index.json", "recordio": "train.idx"}


@pytest.mark.parametrize("name", ["webdataset", "parquet", "imagefolder", "coco", *INDICES])
def test_a_package_that_lacks_a_file_is_not_opened_as_a_smaller_one(tmp_path, name):
    path = built(tmp_path, name)
    kind = INDICES.get(name) or ("*-*.parquet" if name == "parquet" else "*.tar")
    gone = sorted(path.rglob(kind))[-1]
    gone.unlink()
    with pytest.raises(PackageError, match=f"{gone.name} is missing, which checksums.txt lists"):
        imagemill.open(path)


def test_a_manifest_alone_is_no_package(tmp_path):
    path = built(tmp_path, "hdf5")
    (path / "dataset.h5").unlink()
    with pytest.raises(PackageError, match="hdf5 holds no package of imagemill"):
        imagemill.open(path)


@pytest.mark.parametrize("name", ["webdataset", "parquet", "mds", "litdata", "recordio"])
def test_a_split_may_be_left_out(tmp_path, name):
    path = built(tmp_path, name)
    for file in [*path.glob("test/*"), *path.glob("test-*")]:
        file.unlink()
    assert imagemill.open(path).splits == {"train": 68}


@pytest.mark.parametrize("content", [b"", b"PAR1 no more PAR1"])
def test_a_shard_in_parquet_that_is_damaged_is_named(tmp_path, content):
    path = built(tmp_path, "parquet")
    shard = sorted(path.glob("train-*"))[0]
    shard.write_bytes(content)
    with pytest.raises(PackageError, match=f"{shard.name} cannot be read as a shard in Parquet"):
        imagemill.open(path)


def test_an_image_that_is_damaged_is_named_by_its_row(tmp_path):
    path = built(tmp_path, "hdf5 encoded") / "dataset.h5"
    package = imagemill.open(path)
    extents = package.contents.source
    with path.open("r+b") as file:
        file.seek(int(extents.offset[4]))
        file.write(b"\xff\xd8\xff" + bytes(int(extents.length[4]) - 3))
    with pytest.raises(PackageError, match="image 4 cannot be decoded"):
        imagemill.open(path).take([4])


# Imports


def imported(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has imported after ``code``."""
    text = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_imagemill_alone_imports_next_to_nothing():
    assert {m for m in imported("import imagemill") if m.startswith("imagemill")} == {"imagemill"}
    assert not imported("import imagemill") & {"numpy", "PIL", "h5py", "torch"}


@pytest.mark.parametrize("name", FORMATS)
def test_reading_a_package_imports_nothing_that_builds_one(packages, name):
    code = f"import imagemill; imagemill.open({str(packages[name])!r}).sample(3)[0].image.load()"
    heavy = {"dvc", "hydra", "polars", "pandas", "omegaconf", "pydantic", "boto3", "torch"}
    modules = imported(code)
    assert not modules & heavy
    assert name.startswith("hdf5") == ("h5py" in modules)
    assert {SIDE[0]} == {item.image.width for item in imagemill.open(packages[name]).sample(3)}
