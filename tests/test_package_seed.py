"""Where the loop of the user's notes loses rows and labels, and that a package does not.

The loop is theirs, cut to what writes: pixels tell the label, so that a wrong one is seen.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import train_test_split

from tests import make
from tests.packaging import HDF5, STANDARD, Build

LABELS = ("dress", "hat", "shoe")
EACH = 90  # photos of a label: no chunk of 100 ends where a label does
CHUNK, SIDE, COPIES = 100, 128, 5


def level(label: int) -> int:
    """The grey of photos of a label."""
    return 40 + 80 * label


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photos a label, and a file that is none."""
    for number, label in enumerate(LABELS):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for n in range(EACH):
            grey = Image.new("L", (SIDE, SIDE), level(number) + n % 10)
            grey.save(tmp_path / "photos" / label / f"{n:03}.jpg", quality=95)
    (tmp_path / "photos" / "a readme").write_text("")
    return tmp_path / "photos"


def seed_loop(image_dir: Path, output_file: Path, stratify: Any = None) -> None:
    data: Any = []
    labels: Any = []
    label_map = {}
    for label, catalog_dir in enumerate(sorted(image_dir.iterdir())):
        if not catalog_dir.is_dir():
            continue
        label_map[label] = catalog_dir.name
        for image_path in sorted(catalog_dir.iterdir()):
            img: Any = Image.open(image_path).convert("L")
            img = img.resize((128, 128))
            data.append(np.array(img).reshape((128, 128, 1)))
            labels.append(label)
            if len(data) >= CHUNK:
                data = np.array(data).reshape(-1, 128, 128, 1)
                labels = np.array(labels)
                train_data, test_data, train_labels, test_labels = train_test_split(
                    data, labels, test_size=0.2, stratify=stratify or labels, random_state=0
                )
                more: Any = []
                more_labels = []
                for img, label in zip(train_data, train_labels, strict=True):  # noqa: PLW2901
                    for _ in range(COPIES):
                        more.append(img)
                        more_labels.append(label)
                more, more_labels = np.array(more), np.array(more_labels)  # type: ignore[assignment]
                with h5py.File(output_file, "a") as f:
                    for name, rows in (
                        ("train_images", more),
                        ("train_labels", more_labels),
                        ("test_images", test_data),
                        ("test_labels", test_labels),
                    ):
                        if name in f:
                            # f[name].resize(f[name].shape[0] + rows.shape[0], axis=0)
                            f[name][-rows.shape[0] :] = rows
                        else:
                            shape = (None, *rows.shape[1:])
                            f.create_dataset(name, data=rows, maxshape=shape, chunks=True)
                data = []
                labels = []
    with h5py.File(output_file, "a") as f:
        lines = [f"{label},{catalog_id}" for label, catalog_id in label_map.items()]
        f.create_dataset("label_map", data=np.array(lines, dtype="S"))


def shown(images: Any) -> Any:
    """The number of the label that each row's pixels tell."""
    return (images[:].reshape(len(images), -1).mean(1) - 40) // 80


def test_the_loop_as_it_is_written_does_not_run(photos, tmp_path):
    with pytest.raises(ValueError, match="stratify"):
        seed_loop(photos, tmp_path / "seed.h5", stratify=True)


def test_the_loop_keeps_the_rows_of_one_chunk_and_gives_some_another_label(photos, tmp_path):
    seed_loop(photos, tmp_path / "seed.h5")
    with h5py.File(tmp_path / "seed.h5") as file:
        assert len(file["train_images"]) == 80 * COPIES  # of 270 photos: 216 * 5
        assert len(file["test_images"]) == 20  # of 54
        numbers = [int(line.split(b",")[0]) for line in file["label_map"][:]]
        assert numbers == [1, 2, 3]  # the file that is no folder was counted
        train = file["train_labels"][:] - 1
        assert (train != shown(file["train_images"])).any()


def test_a_package_of_the_same_photos_has_every_row_under_its_label(photos, tmp_path):
    rows = [
        {
            "key": f"{label}/{path.name}",
            "data": path.read_bytes(),
            "label": label,
            "split": "test" if n % 5 == 0 else "train",
        }
        for label in LABELS
        for n, path in enumerate(sorted((photos / label).iterdir()))
    ]
    still = {**STANDARD, **dict.fromkeys(("rotate", "translate", "noise"), 0.0)}
    build = Build(tmp_path / "build")
    raw = {**HDF5, "width": SIDE, "height": SIDE, "mode": "L", "filter": "bicubic"}
    build.write(rows, make.INLINE, {"augment": {**still, "multiplier": COPIES}}, hdf5=raw)
    with h5py.File(build.out / "hdf5/dataset.h5") as file:
        assert file["train_images"].shape == (216 * COPIES, SIDE, SIDE, 1)
        assert file["test_images"].shape == (54, SIDE, SIDE, 1)
        assert [line.decode() for line in file["label_map"]] == ["0,dress", "1,hat", "2,shoe"]
        assert not file["test_copies"][:].any()
        for split in ("train", "test"):
            assert (file[f"{split}_labels"][:] == shown(file[f"{split}_images"])).all()
            samples = [each.decode() for each in file[f"{split}_samples"]]
            named = [LABELS.index(each.split("/")[1]) for each in samples]
            assert file[f"{split}_labels"][:].tolist() == named
        assert not set(file["train_samples"][:]) & set(file["test_samples"][:])
