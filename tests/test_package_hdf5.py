"""An HDF5 file holds every image under its label, in any store and of any number of processes."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from imagemill.errors import BuildError
from imagemill.package import hdf5
from imagemill.tables import CONTENTS
from tests import make
from tests.packaging import HDF5, Build, pets
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
    monkeypatch.setattr(hdf5, "BATCH_BYTES", 40 * 16 * 12 * 3)  # several for each worker
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
