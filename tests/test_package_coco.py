"""Boxes, outlines and masks of a COCO source are where the packaged pixels are."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as masks
from pycocotools.coco import COCO

from imagemill.errors import BuildError
from imagemill.package.annotations import SAID, Annotations
from imagemill.package.masks import decoded, encoded
from tests import make
from tests.packaging import ALL, TRANSFORMS, Build

WIDTH, HEIGHT = 90, 60
BOX = (30, 20, 24, 16)  # left, top, width, height of what is bright
AUGMENT: dict[str, Any] = {
    "splits": ["train"],
    "multiplier": 4,
    "seed": 0,
    "background": 0,
    "flip": 0.5,
    "rotate": 0.5,
    "translate": 1.0,
    "blur": 0.0,
    "noise": 0.0,
    "max_degrees": 20.0,
    "max_pixels": 10,
    "max_kernel": 1,
    "deviation": 0.0,
}


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


def bright() -> Image.Image:
    image = Image.new("L", (WIDTH, HEIGHT))
    left, top, width, height = BOX
    image.paste(255, (left, top, left + width, top + height))
    return image


def row(segmentation: Any, **more: Any) -> dict[str, Any]:
    x, y, w, h = BOX
    said = {"key": "a.png", "category": "lamp", "x": x, "y": y, "w": w, "h": h, "area": w * h}
    said |= {"iscrowd": False, "segmentation": json.dumps(segmentation)}
    return {**said, **more}


def annotated(*rows: dict[str, Any], side: tuple[int, int] = (WIDTH, HEIGHT)) -> Annotations:
    floats = {name: pl.col(name).cast(pl.Float64) for name in ("x", "y", "w", "h", "area")}
    said = pl.DataFrame(list(rows)).with_columns(**floats).select(*SAID)
    declared = pl.DataFrame({"key": ["a.png"], "width": [side[0]], "height": [side[1]]})
    return Annotations({"album": said}, {"album": declared})


def polygon() -> list[list[int]]:
    x, y, w, h = BOX
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def read(build: Build) -> list[tuple[np.ndarray, dict[str, Any], COCO]]:
    """Each packaged picture with its one annotation."""
    pictures = {}
    for path in (build.out / "coco").glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                data = tar.extractfile(member).read()
                pictures[member.name.removeprefix("images/")] = Image.open(io.BytesIO(data))
    coco = COCO(str(build.out / "coco/annotations/instances_train.json"))
    found = []
    for image in coco.loadImgs(coco.getImgIds()):
        (noted,) = coco.loadAnns(coco.getAnnIds(image["id"]))
        found.append((np.asarray(pictures[image["file_name"]]), noted, coco))
    return found


def overlap(levels: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of what is bright and a mask."""
    lit = levels > 127
    return float((lit & other).sum() / (lit | other).sum())


MOVES = {
    "as it is": [],
    "exact": [{"_target_": f"{TRANSFORMS}Resize", "width": 120, "height": 40, "how": "exact"}],
    "fill": [{"_target_": f"{TRANSFORMS}Resize", "width": 70, "height": 70, "how": "fill"}],
    "fit": [{"_target_": f"{TRANSFORMS}Resize", "width": 45, "height": 45, "how": "fit"}],
    "crop": [{"_target_": f"{TRANSFORMS}CentreCrop", "width": 50, "height": 60}],
}


@pytest.mark.parametrize("augmented", [None, AUGMENT], ids=["plain", "augmented"])
@pytest.mark.parametrize("steps", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("kind", ["polygon", "mask"])
def test_outlines_masks_and_boxes_follow_every_geometric_transform(build, kind, steps, augmented):
    lit = np.asfortranarray(np.asarray(bright()) > 0, np.uint8)
    compressed = masks.encode(lit)
    said = {"size": compressed["size"], "counts": compressed["counts"].decode()}
    build.annotations = annotated(row(polygon() if kind == "polygon" else said))
    build.measured = True
    rows = [{"key": "a.png", "data": make.file(bright()), "split": "train"}]
    build.write(rows, more={"transforms": steps, "augment": augmented}, coco=ALL["coco"])
    found = read(build)
    assert len(found) == (4 if augmented else 1)
    for levels, noted, coco in found:
        if levels.max() < 128:
            continue  # moved out of the picture
        assert overlap(levels, coco.annToMask(noted).astype(bool)) > 0.8
        ys, xs = np.nonzero(levels > 127)
        x, y, w, h = noted["bbox"]
        assert x <= xs.min() + 1
        assert y <= ys.min() + 1
        assert x + w >= xs.max() - 1
        assert y + h >= ys.max() - 1
        if augmented is None:
            assert (w, h) == pytest.approx((np.ptp(xs) + 1, np.ptp(ys) + 1), abs=1.5)
        assert coco.loadCats(noted["category_id"])[0]["name"] == "lamp"


TRIANGLE = [10, 5, 85, 30, 10, 55]


@pytest.mark.parametrize("kind", ["polygon", "mask"])
@pytest.mark.parametrize("steps", [MOVES["crop"], MOVES["fill"]], ids=["crop", "fill"])
def test_of_an_outline_that_is_cut_only_what_is_left_counts(build, kind, steps):
    image = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(image).polygon(TRIANGLE, 255)
    theirs = masks.encode(np.asfortranarray(np.asarray(image) > 0, np.uint8))
    rle = {"size": theirs["size"], "counts": theirs["counts"].decode()}
    said = [TRIANGLE] if kind == "polygon" else rle
    build.annotations = annotated(row(said, x=10, y=5, w=75, h=50, area=1875))
    build.measured = True
    rows = [{"key": "a.png", "data": make.file(image), "split": "train"}]
    build.write(rows, more={"transforms": steps}, coco=ALL["coco"])
    ((levels, noted, coco),) = read(build)
    assert overlap(levels, coco.annToMask(noted).astype(bool)) > 0.95
    assert noted["area"] == pytest.approx((levels > 127).sum(), rel=0.04)
    x, y, w, h = noted["bbox"]
    assert (x + w, y + h) <= levels.shape[::-1]


def test_an_outline_of_which_nothing_is_left_is_gone_though_its_box_reaches_in(build):
    corner = [[0, 0, 19, 0, 0, 50]]
    build.annotations = annotated(row(corner, x=0, y=0, w=30, h=50), row(polygon()))
    build.measured = True
    rows = [{"key": "a.png", "data": make.file(bright()), "split": "train"}]
    build.write(rows, more={"transforms": MOVES["crop"]}, coco=ALL["coco"])
    ((_, noted, _),) = read(build)
    assert noted["bbox"] == [10, 20, 24, 16]


@pytest.mark.parametrize(
    "said", [[[1, 2, 3]], ["x"], {"size": [60, 90]}, {"size": [6, 9], "counts": [3]}, 5]
)
def test_a_segmentation_that_is_none_is_named(build, said):
    build.annotations = annotated(row(said))
    build.measured = True
    rows = [{"key": "a.png", "data": make.file(bright()), "split": "train"}]
    with pytest.raises(BuildError, match=r"a\.png: a segmentation of lamp is neither polygons"):
        build.write(rows, more={"transforms": MOVES["crop"]}, coco=ALL["coco"])


def halved(image: Image.Image) -> Image.Image:
    """A user's own transform, which does not say where pixels go."""
    return image.reduce(2)


def test_a_callable_that_moves_pixels_and_does_not_say_where_is_refused(build):
    build.annotations = annotated(row(polygon()))
    build.measured = True
    rows = [{"key": "a.png", "data": make.file(bright()), "split": "train"}]
    step = {"_target_": "tests.test_package_coco.halved", "_partial_": True}
    with pytest.raises(BuildError, match=r"a\.png came out as 45 x 30, and its boxes for 90 x 60"):
        build.write(rows, more={"transforms": [step]}, coco=ALL["coco"])


def test_categories_have_the_numbers_of_labels_and_others_come_behind(build):
    build.annotations = annotated(row(polygon()), row([], category="bulb"))
    build.measured = True
    rows = [{"key": "a.png", "data": make.file(bright()), "split": "train", "label": "lamp"}]
    build.write(rows, more={"labels": ["vase", "lamp"]}, coco=ALL["coco"])
    said = json.loads((build.out / "coco/annotations/instances_train.json").read_text())
    assert {each["id"]: each["name"] for each in said["categories"]} == {
        1: "vase",
        2: "lamp",
        3: "bulb",
    }


@pytest.mark.parametrize(("declared", "turned"), [((60, 90), False), ((90, 60), True)])
def test_boxes_of_stored_pixels_are_turned_and_those_of_upright_ones_stay(build, declared, turned):
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: 90 x 60 as stored, 60 x 90 upright
    image = Image.new("L", (WIDTH, HEIGHT))
    image.paste(255, (30, 20, 54, 36))
    build.annotations = annotated(row([]), side=declared)
    build.measured = True
    data = make.file(image, "JPEG", exif=exif, quality=100)
    build.write([{"key": "a.png", "data": data, "split": "train"}], coco=ALL["coco"])
    ((levels, noted, _),) = read(build)
    assert levels.shape == (90, 60)
    ys, xs = np.nonzero(levels > 127)
    there = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    assert noted["bbox"] == (there if turned else list(BOX))


def test_an_image_that_nothing_is_noted_of_has_no_annotation(build):
    build.annotations = annotated(row([], key="another.png"))
    build.measured = True
    rows = [{"key": "a.png", "data": make.file(bright()), "split": "train"}]
    build.write(rows, coco=ALL["coco"])
    said = json.loads((build.out / "coco/annotations/instances_train.json").read_text())
    assert (len(said["images"]), said["annotations"]) == (1, [])


def test_masks_come_and_go_as_pycocotools_has_them():
    random = np.random.default_rng(1)
    for _ in range(30):
        lit = random.random(random.integers(1, 40, 2)) < random.random()
        theirs = masks.encode(np.asfortranarray(lit, np.uint8))
        text = {"size": theirs["size"], "counts": theirs["counts"].decode()}
        assert (decoded(text) > 0).tolist() == lit.tolist()
        assert (decoded(encoded(lit.astype(np.uint8))) > 0).tolist() == lit.tolist()
        again = masks.frPyObjects(encoded(lit.astype(np.uint8)), *lit.shape)
        assert masks.decode(again).astype(bool).tolist() == lit.tolist()
