"""An HDF5 file holds every image under its label, in any store and of any number of processes."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from xxhash import xxh3_128_hexdigest

from imagemill.arrays import FILTERS
from imagemill.errors import BuildError
from imagemill.package import found, hdf5, renditions
from imagemill.package.hdf5 import filling, layout
from imagemill.package.lots import Lot
from imagemill.tables import CONTENTS
from tests import draw, make
from tests.packaging import HDF5, STANDARD, Build, pets
from tests.test_package import opened


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


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


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos"])
def test_grey_images_that_are_resized_together_are_as_if_resized_alone(build, method):
    sides = [(40, 30)] * 9 + [(31, 40)] * 2 + [(16, 12)] * 6
    files = {}
    for n, side in enumerate(sides):
        image, kind = draw.photo(n, *side).convert("L"), ("png", "jpeg")[n % 2]
        files[f"{n:02}.{kind}"] = make.file(image, kind.upper())
    build.write(files, hdf5={**HDF5, "mode": "L", "filter": method, "chunk_images": 3})
    with h5py.File(build.out / "hdf5" / hdf5.FILE) as file:
        for sample, row in zip(file["train_samples"], file["train_images"], strict=True):
            image = opened(files[sample.decode().removeprefix("album/")])
            alone = image.resize((16, 12), FILTERS[method])
            assert (row[:, :, 0] == np.asarray(alone)).all()


def test_rows_of_an_hdf5_file_mix_the_labels_and_are_listed_as_they_stand(build):
    build.write(pets(60), hdf5=HDF5)
    listed = CONTENTS.read(build.out / "hdf5")
    with h5py.File(build.out / "hdf5" / hdf5.FILE) as file:
        labels = file["train_labels"][:].tolist()
        rows = {row["member"]: row for row in listed.iter_rows(named=True)}
        for n, image in enumerate(file["train_images"]):
            row = rows[f"train_images/{n}"]
            assert row["packaged"] == xxh3_128_hexdigest(image.tobytes())
            assert row["sample"].encode() == file["train_samples"][n]
    assert labels not in (sorted(labels), sorted(labels, reverse=True))


@pytest.mark.parametrize("store", ["raw", "encoded"])
def test_rows_are_the_same_however_many_are_looked_at_together(tmp_path, monkeypatch, store):
    more = {"augment": {**STANDARD, "multiplier": 3}}
    one, two = Build(tmp_path / "one"), Build(tmp_path / "two")
    one.write(pets(60), make.INLINE, more, hdf5={**HDF5, "store": store})
    monkeypatch.setattr(filling, "BATCH_BYTES", 5000)
    for module in (hdf5, filling, layout, found):
        monkeypatch.setattr(module, "AT_ONCE", 13)
    monkeypatch.setattr(renditions, "SAVED", 10)
    monkeypatch.setattr(Lot.slices, "__defaults__", (13,))
    for _ in range(2):  # nothing is remembered, then all is
        two.write(pets(60), make.INLINE, more, hdf5={**HDF5, "store": store})
        assert one.files() == two.files()
    shutil.rmtree(next((tmp_path / "two/memo").rglob("packs")))
    two.write(pets(60), make.INLINE, more, hdf5={**HDF5, "store": store})
    assert one.files() == two.files()


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
def test_equal_contents_give_equal_hdf5_files_on_every_engine(tmp_path, monkeypatch, compression):
    monkeypatch.setattr(filling, "BATCH_BYTES", 40 * 16 * 12 * 3)  # several for each worker
    one, two = Build(tmp_path / "one"), Build(tmp_path / "two")
    one.write(pets(300), hdf5={**HDF5, "compression": compression})
    two.write(pets(5), hdf5=HDF5)
    two.write(pets(300)[::-1], make.workers(2), hdf5={**HDF5, "compression": compression})
    assert one.files() == two.files()


def test_an_hdf5_file_that_reads_back_otherwise_is_refused(build):
    build.write(pets(), hdf5=HDF5)
    path = build.out / "hdf5" / hdf5.FILE
    assert hdf5.reread(path.parent, make.INLINE) == 20
    with h5py.File(path, "r+") as file:
        file["test_images"][1, 2, 3, 0] ^= 1
    with pytest.raises(BuildError, match="rows of test read back differ"):
        hdf5.reread(path.parent, make.INLINE)


def test_a_label_map_that_names_another_label_is_refused(build):
    build.write(pets(), hdf5=HDF5)
    path = build.out / "hdf5" / hdf5.FILE
    with h5py.File(path, "r+") as file:
        file["label_map"][1] = file["label_map"][0].replace(b"0,", b"1,")
    with pytest.raises(BuildError, match="the rows of label_map read back differ"):
        hdf5.reread(path.parent, make.INLINE)


@pytest.mark.parametrize("store", ["raw", "encoded"])
def test_the_checksum_of_a_file_that_was_hashed_while_it_was_filled_is_right(
    build, monkeypatch, store
):
    monkeypatch.setattr(filling, "BATCH_BYTES", 4000)
    build.write(pets(100), make.workers(2), hdf5={**HDF5, "store": store})
    said = (build.out / "hdf5/checksums.txt").read_text()
    assert f"{make.sha((build.out / 'hdf5/dataset.h5').read_bytes())}  dataset.h5" in said
