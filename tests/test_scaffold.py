"""`imagemill init` writes a config that builds without editing."""

import json
import shutil
from pathlib import Path

import pytest

from imagemill.errors import BuildError
from imagemill.scaffold import init
from imagemill.tables import MANIFEST
from tests.conftest import Build, Project, fill, make_project
from tests.draw import photo_bytes
from tests.servers import KEY, SECRET, S3Server
from tests.test_parquet import shard

SHAPES = {
    "labels": (
        {f"{label}/{n}.png": 10 * i + n for i, label in enumerate("abc") for n in range(3)},
        {"label": {"a", "b", "c"}},
    ),
    "splits and labels": (
        {
            f"{split}/{label}/{n}.png": 100 * s + 10 * i + n
            for s, split in enumerate(("train", "test"))
            for i, label in enumerate("ab")
            for n in range(2)
        },
        {"split": {"train", "test"}, "label": {"a", "b"}},
    ),
    "identities": (
        {f"s{person}/{n}.png": 10 * person + n for person in range(20) for n in range(2)},
        {"identity": {f"s{person}" for person in range(20)}},
    ),
    "a folder above the labels": (
        {
            f"batch{b}/{label}/{n}.png": 100 * b + 10 * i + n
            for b in range(2)
            for i, label in enumerate("ab")
            for n in range(2)
        },
        {"label": {"a", "b"}},
    ),
    "faces by name": (
        {f"{person}_face.png": person for person in range(4)},
        {"identity": {str(person) for person in range(4)}},
    ),
    "numbered names": (
        {
            f"{label}_{n}.png": 10 * i + n
            for i, label in enumerate(("cat", "dog"))
            for n in range(3)
        },
        {"label": {"cat", "dog"}},
    ),
    "names that tell nothing": (
        {f"{name}.png": seed for seed, name in enumerate("xyz")},
        {"label": {"things"}},
    ),
}


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    project = make_project(tmp_path / "project")
    (project.root / "params.yaml").write_text("# Mine.\ndatasets: {}  # none yet\n")
    return project


@pytest.mark.parametrize(("photos", "told"), SHAPES.values(), ids=SHAPES)
def test_a_folder_of_this_shape_builds_as_guessed(
    empty: Project, build: Build, photos: dict[str, int], told: dict[str, set[str]]
) -> None:
    fill(empty.root / "somewhere", photos)
    (empty.root / "somewhere" / "notes.txt").write_text("not an image")
    init("things", "somewhere", empty.root)
    build(empty, "things")
    manifest = MANIFEST.read(empty.root / "data/things/leaks")
    assert len(manifest) == len(photos)
    assert manifest["verdict"].unique().to_list() == ["keep"]
    for column, values in told.items():
        assert set(manifest[column]) == values


def test_the_dataset_is_entered_beside_the_comments_of_params(empty: Project) -> None:
    fill(empty.root / "somewhere", {"a/1.png": 1})
    init("things", "somewhere", empty.root)
    text = (empty.root / "params.yaml").read_text()
    assert "# Mine." in text
    assert "things: []" in text


@pytest.mark.parametrize(
    ("name", "address", "message"),
    [
        ("things", "nowhere", "no such file or folder"),
        ("no name", "somewhere", "letters, digits and _"),
        ("things", "barren", "no file in it looks like an image"),
        ("things", "notes.txt", "neither a folder"),
        ("taken", "somewhere", "is there already"),
    ],
)
def test_what_cannot_be_guessed_is_said(
    empty: Project, name: str, address: str, message: str
) -> None:
    fill(empty.root / "somewhere", {"a/1.png": 1})
    (empty.root / "barren").mkdir()
    (empty.root / "notes.txt").write_text("hello")
    empty.conf("dataset/taken.yaml", "")
    with pytest.raises(BuildError, match=message):
        init(name, address, empty.root)


def test_a_coco_folder_builds_as_guessed(empty: Project, build: Build) -> None:
    fill(empty.root / "scenes/images", {f"{n}.jpg": n for n in range(4)})
    said = {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in range(4)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + n % 2, "bbox": [0, 0, 9, 9], "area": 81}
            for n in range(4)
        ],
    }
    (empty.root / "scenes/instances_all.json").write_text(json.dumps(said))
    init("scenes", "scenes", empty.root)
    build(empty, "scenes")
    assert kept_labels(empty, "scenes") == {"cat": 2, "dog": 2}


def test_parquet_shards_build_as_guessed(empty: Project, build: Build) -> None:
    images = [photo_bytes(n) for n in range(4)]
    shard(empty.root / "shards/train-0.parquet", images, labels=[0, 1, 0, 1])
    init("rows", "shards", empty.root)
    build(empty, "rows")
    assert sum(kept_labels(empty, "rows").values()) == 4
    assert len(kept_labels(empty, "rows")) == 2


def test_an_archive_builds_as_guessed(empty: Project, build: Build) -> None:
    photos = {f"{label}/{n}.png": 10 * i + n for i, label in enumerate("ab") for n in (0, 1)}
    fill(empty.root / "loose", photos)
    shutil.make_archive(str(empty.root / "pets"), "zip", empty.root / "loose")
    init("pets", "pets.zip", empty.root)
    build(empty, "pets")
    assert kept_labels(empty, "pets") == {"a": 2, "b": 2}


def test_a_bucket_builds_as_guessed(
    empty: Project, build: Build, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    client = s3_server.client()
    client.create_bucket(Bucket="scaffold")
    for n in range(4):
        label = "ab"[n % 2]
        client.put_object(Bucket="scaffold", Key=f"set/{label}/{n}.png", Body=photo_bytes(n))
    init("cloud", "s3://scaffold/set", empty.root)
    build(empty, "cloud")
    assert kept_labels(empty, "cloud") == {"a": 2, "b": 2}


def kept_labels(project: Project, dataset: str) -> dict[str, int]:
    manifest = MANIFEST.read(project.root / "data" / dataset / "leaks").filter(verdict="keep")
    return dict(manifest.group_by("label").len().iter_rows())
