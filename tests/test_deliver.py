"""What is handed over is read by the cleaning guide's own code; people tag in bulk from Python."""

import csv
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagemill import collecting, reviews, tables
from imagemill.errors import BuildError
from imagemill.reviews import file
from imagemill.reviews.manifest import COLUMNS
from tests.audited import HEAD
from tests.conftest import Build, Project
from tests.draw import photo_bytes
from tests.test_coco import coco  # noqa: F401 (fixture)
from tests.test_parquet import NAMES, shard


def verdicts(project: Project, dataset: str = "pets") -> dict[str, tuple[str, str]]:
    found = tables.VERDICTS.read(project.root / "data" / dataset / "clean")
    return {row["sample"]: (row["verdict"], row["label"]) for row in found.iter_rows(named=True)}


def changed(project: Project, dataset: str = "pets") -> dict[str, tuple[str, str]]:
    return {k: v for k, v in verdicts(project, dataset).items() if v[0] != "keep"}


def read(project: Project, name: str, dataset: str = "pets") -> list[dict[str, str]]:
    path = project.root / "data" / dataset / "deliver/Manifests" / f"{dataset}_{name}.csv"
    with path.open(newline="") as sheet:
        return list(csv.DictReader(sheet))


def test_an_audit_rules_and_people_make_the_guides_manifests(
    audited: Project, build: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    build(audited, "pets")
    assert "audits/pets_vl_export.csv: 5 rows, 1 of them name no sample" in capfd.readouterr().err
    assert changed(audited) == {
        "pets/cat/0.png": ("relabel", "dog"),
        "pets/dog/0.png": ("remove", "dog"),
    }
    work = reviews.load("pets", audited.root)
    assert work.tag(work.filter("mislabel"), action="relabel", reviewer="Saeed", label="fox") == 2
    work.tag(["pets/dog/0.png"], tags=["outlier_valid", "keep"], action="keep", reviewer="Ann")
    assert work.save() == "reviews/pets.csv: 3 reviews added. Build again, and commit the file."
    build(audited, "pets")
    assert changed(audited) == dict.fromkeys(
        ["pets/cat/0.png", "pets/cat/1.png"], ("relabel", "fox")
    )
    tagged = read(audited, "tagged_manifest")
    assert list(tagged[0]) == list(COLUMNS)
    row = next(each for each in tagged if each["image_path"] == "pets/dog/0.png")
    assert row == {
        "image_id": "dog/0.png", "image_path": "pets/dog/0.png", "label": "dog",
        "vl_flag_type": "outlier", "vl_confidence": "0.99", "suggested_label": "", "reason": "",
        "user_tags": "outlier_valid,keep", "user_action": "keep", "new_label": "",
        "reviewer_name": "Ann", "notes": "",
    }  # fmt: skip
    rows = read(audited, "final_cleaning_manifest")
    final = {each["image_path"]: each["user_action"] for each in rows}
    assert final["pets/cat/1.png"] == "relabel"
    cleaned = audited.root / "data/pets/deliver/Cleaned_Datasets"
    assert (cleaned / "pets_removal_list.txt").read_text() == ""
    relabelled = json.loads((cleaned / "pets_relabel_map.json").read_text())
    assert relabelled == {"cat/0.png": "fox", "cat/1.png": "fox"}
    members = tables.CONTENTS.read(audited.root / "data/pets/package/imagefolder")["member"]
    assert "fox/0.png" in members.to_list()


def test_what_is_handed_over_lies_under_the_guides_names(audited: Project, build: Build) -> None:
    build(audited, "pets")
    said = collecting.collect(audited.root, ["pets"], audited.root / "out")
    assert said.startswith("11 files below")
    out = audited.root / "out"
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert names == {
        "Manifests/pets_vl_export.csv",
        "Manifests/pets_tagged_manifest.csv",
        "Manifests/pets_leaks_report.csv",
        "Manifests/pets_leaks_report_summary.txt",
        "Manifests/pets_final_cleaning_manifest.csv",
        "Summary_Reports/pets_cleaning_summary.txt",
        "Summary_Reports/comparison.csv",
        "Summary_Reports/comparison.txt",
        "Cleaned_Datasets/pets_removal_list.txt",
        "Cleaned_Datasets/pets_relabel_map.json",
        "Presentation/pets_slides.html",
    }
    summary = (audited.root / "out/Summary_Reports/pets_cleaning_summary.txt").read_text()
    assert "audit mislabel" in summary
    slides = (audited.root / "out/Presentation/pets_slides.html").read_text()
    for title in (
        "Number of issues found", "Breakdown by type of issue", "Leaks between train and test",
        "Impact on the size", "Example flagged images", "Cleaning methodology",
    ):  # fmt: skip
        assert title in slides
    with pytest.raises(BuildError, match="pet: not listed"):
        collecting.collect(audited.root, ["pet"], audited.root / "out")


GUIDE_LOADER = """
import json

# Load cleaning artifacts
with open('manifests/imagenet1k_removal_list.txt', 'r') as f:
    removal_ids = set(int(line.strip()) for line in f)

with open('manifests/imagenet1k_relabel_map.json', 'r') as f:
    relabel_map = json.load(f)

# Modify dataset class
class CleanedImageNetDataset(Dataset):
    def __init__(self, hf_dataset, removal_ids, relabel_map, transform=None):
        self.dataset = hf_dataset
        self.removal_ids = removal_ids
        self.relabel_map = relabel_map
        self.transform = transform

        # Filter valid indices
        self.valid_indices = [
            i for i in range(len(hf_dataset))
            if i not in removal_ids
        ]

    def __len__(self):
        return len(self.valid_indices)

    def __getitem__(self, idx):
        real_idx = self.valid_indices[idx]
        sample = self.dataset[real_idx]
        image = sample['image'].convert('RGB')

        # Use relabeled label if available, otherwise original
        label = self.relabel_map.get(str(real_idx), sample['label'])

        if self.transform:
            image = self.transform(image)

        return image, label
"""
"""The cleaning guide's own code, as it stands in its step 4.2."""

IMAGENET = """\
# @package _global_
# Rows of Parquet files in two splits, with an audit of one.
defaults:
  - /source@sources.train: parquet
  - /source@sources.val: parquet
  - /layout@sources.train.layout: table
  - /layout@sources.val.layout: table
  - /audit@clean.audits.visual_layer: visual_layer
  - override /clean: reviewed
  - override /leaks: given
about: {title: Drawn ImageNet}
sources:
  train:
    path: shards/train
    layout:
      join: {table: train, key: key, columns: {label: label}}
      constants: {split: train}
  val:
    path: shards/val
    layout:
      join: {table: val, key: key, columns: {label: label}}
      constants: {split: val}
clean:
  audits: {visual_layer: {path: audits/vl.csv, source: train}}
"""


class Dataset:
    """What torch's would be to the guide's code."""


def loaded(folder: Path, dataset: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """Run the guide's code on what was handed over."""
    code = GUIDE_LOADER.replace("manifests/", f"{folder}/")
    names: dict[str, Any] = {"Dataset": Dataset}
    exec(code, names)
    cleaned = names["CleanedImageNetDataset"](dataset, names["removal_ids"], names["relabel_map"])
    return [cleaned[at] for at in range(len(cleaned))]


def test_the_guides_loader_reads_the_lists_by_rows_of_parquet(
    project: Project, build: Build
) -> None:
    photos = [photo_bytes(seed) for seed in range(12)]
    labels = [0, 1, 2] * 4
    shard(project.root / "shards/train/a.parquet", photos, labels)
    shard(project.root / "shards/val/a.parquet", [photo_bytes(90), photos[3]], [0, 0])
    project.conf("dataset/imagenet1k.yaml", IMAGENET)
    project.datasets(imagenet1k=[])
    (project.root / "audits/vl.csv").write_text(
        HEAD + "0,,tench,mislabel,0.99,goldfish,\n11,,great white shark,outlier,0.99,,\n"
        "4,,goldfish,mislabel,0.95,,\n"
    )
    build(project, "imagenet1k")
    folder = project.root / "data/imagenet1k/deliver/Cleaned_Datasets"
    hub = [
        {"image": Image.open(BytesIO(data)), "label": label}
        for data, label in zip(photos, labels, strict=True)
    ]
    found = loaded(folder, hub)
    kept = [at for at in range(12) if at not in (4, 11)]
    assert [label for _, label in found] == [1 if at == 0 else labels[at] for at in kept]
    assert [image.tobytes() for image, _ in found] == [hub[at]["image"].tobytes() for at in kept]
    assert NAMES[1] == "goldfish"
    # A leak leaves the validation split, whose rows have the same numbers.
    assert (folder / "imagenet1k_val_removal_list.txt").read_text() == "1\n"
    assert (folder / "imagenet1k_train_removal_list.txt").read_text() == "4\n11\n"
    summary = next((folder.parent / "Summary_Reports").glob("*.txt")).read_text()
    assert "of source train alone, whose ids others have too" in summary


def test_cocos_images_and_annotations_are_cleaned(
    coco: Project,  # noqa: F811
    build: Build,
) -> None:
    build(coco, "coco")
    work = reviews.load("coco", coco.root, everything=True)
    work.tag(["train/000000000002.jpg"], action="remove", reviewer="Saeed")
    work.annotation("train/000000000001.jpg", 3, "relabel", label="person", reviewer="Saeed")
    work.annotation("train/000000000000.jpg", 0, "remove", reviewer="Saeed")
    work.save()
    build(coco, "coco")
    assert verdicts(coco, "coco")["train/000000000001.jpg"] == ("relabel", "person")
    annotated = tables.ANNOTATIONS.read(coco.root / "data/coco/clean")
    told = {
        row["id"]: (row["verdict"], row["category"], row["reason"])
        for row in annotated.filter(table="train.annotations").iter_rows(named=True)
    }
    assert told[0] == ("remove", "person", "removed_by_review")
    assert told[1] == ("keep", "person", None)
    assert told[3] == ("relabel", "person", None)
    assert told[4] == told[5] == ("remove", "person", "image_removed")
    folder = coco.root / "data/coco/deliver/Cleaned_Datasets"
    images = {int(line) for line in (folder / "coco_train_removal_list.txt").read_text().split()}
    assert images == {2, 5}  # one that nobody annotated
    boxes = (folder / "coco_train_annotation_removal_list.txt").read_text().split()
    assert boxes == ["0", "4", "5"]
    relabelled = json.loads((folder / "coco_train_annotation_relabel_map.json").read_text())
    assert relabelled == {"3": "person"}
    manifest = read(coco, "tagged_manifest", "coco")
    assert {each["image_id"] for each in manifest} == {"2"}


# Batch


def test_nothing_is_written_before_it_is_saved_and_two_may_save(
    audited: Project, build: Build
) -> None:
    build(audited, "pets")
    one, two = (reviews.load("pets", audited.root) for _ in range(2))
    one.tag(one.filter("mislabel", above=0.9), action="relabel", reviewer="Kushagra")
    two.tag(["cat/1.png"], action="remove", reviewer="Saeed")
    assert not file.path(audited.root, "pets").exists()
    two.save()
    one.save()
    build(audited, "pets")
    found = tables.REVIEWS.read(audited.root / "data/pets/clean")
    assert found["reviewer"].to_list() == ["Saeed", "Kushagra"]
    assert found["label"].to_list() == ["", "dog"]


@pytest.mark.parametrize(
    ("tagged", "message"),
    [
        ({"images": ["cow/1.png"]}, "1 images are not among the flagged ones: cow/1.png"),
        ({"action": "relabel", "images": ["dog/1.png"]}, "nothing suggests a label for 1 of the"),
        ({"action": "delete"}, "action: delete: no such action"),
        ({"tags": ["mislabeled"]}, "tags: mislabeled: no such tag; did you mean"),
        ({"reviewer": ""}, "reviewer: is empty"),
        ({"label": "dog"}, "label: 'dog', but the action is not relabel"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    audited: Project, build: Build, tagged: dict[str, Any], message: str
) -> None:
    build(audited, "pets")
    work = reviews.load("pets", audited.root)
    given: dict[str, Any] = {"images": ["cat/0.png"], "action": "keep", "reviewer": "Ann", **tagged}
    with pytest.raises(BuildError, match=message):
        work.tag(given.pop("images"), **given)
    assert work.save().startswith("reviews/pets.csv: 0 reviews added")


def test_a_flag_that_there_is_not_is_a_mistake(audited: Project, build: Build) -> None:
    with pytest.raises(BuildError, match="is not built up to its verdicts"):
        reviews.load("pets", audited.root)
    build(audited, "pets")
    with pytest.raises(BuildError, match="did you mean mislabel"):
        reviews.load("pets", audited.root).filter("mislabels")


# Attacks


def test_hostile_labels_and_notes_are_neither_script_nor_formula(
    audited: Project, build: Build
) -> None:
    script = "<script>alert(1)</script>"
    (audited.root / "audits/pets_vl_export.csv").write_text(
        HEAD + f"1,cat/0.png,cat,mislabel,0.95,{script},=HYPERLINK(1)\n"
        f"2,dog/0.png,dog,outlier,0.1,,{script}\n"
    )
    build(audited, "pets")
    work = reviews.load("pets", audited.root)
    formula = "=cmd|' /C calc'!A0"
    work.tag(["dog/0.png"], action="relabel", label=formula, reviewer="@ann", note=script)
    work.save()
    assert ",'=cmd|' /C calc'!A0,'@ann," in file.path(audited.root, "pets").read_text()
    build(audited, "pets")
    assert changed(audited) == {
        "pets/cat/0.png": ("relabel", script),
        "pets/dog/0.png": ("relabel", formula),
    }
    for page in ("index.html", "slides.html"):
        text = (audited.root / "data/pets/report" / page).read_text()
        assert script not in text
        assert "<script" not in text
    for path in (audited.root / "data/pets").rglob("*.csv"):
        for row in csv.reader(path.open(newline="")):
            assert not [cell for cell in row if cell[:1] in set("=+-@\t\r")], path
