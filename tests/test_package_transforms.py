"""What transforms and augmentation make of pixels, boxes and rows: once, and the same anywhere."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from imagemill import package
from imagemill.about import About
from imagemill.config import instantiate
from imagemill.errors import BuildError, ConfigError
from imagemill.images import Limits
from imagemill.package import augment, card, rendering, transforms
from imagemill.package.geometry import Frame, turned
from imagemill.package.shelf import Shelf
from imagemill.tables import CONTENTS, MANIFEST
from tests import draw, make
from tests.packaging import ABOUT, SHARDS, STANDARD, TRANSFORMS, Build, config, pets, photos

RESIZE = f"{TRANSFORMS}Resize"

NEVER = dict.fromkeys(("flip", "rotate", "translate", "blur", "noise"), 0.0)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


def resize(width: int, height: int, how: str) -> transforms.Resize:
    return transforms.Resize.model_validate({"width": width, "height": height, "how": how})


@pytest.mark.parametrize(
    ("how", "side"), [("exact", (60, 60)), ("fit", (60, 40)), ("fill", (60, 60))]
)
def test_an_image_is_resized_in_the_way_that_is_asked_for(how, side):
    image = draw.photo(1, 90, 60)
    assert resize(60, 60, how)(image).size == side
    assert resize(60, 60, how).affine(90, 60).side == side


def marked(width: int, height: int, x: int, y: int) -> Image.Image:
    """A dark image with a bright square of 9 pixels around one point."""
    image = Image.new("L", (width, height))
    image.paste(255, (x - 4, y - 4, x + 5, y + 5))
    return image


def centre(image: Image.Image) -> tuple[float, float]:
    """Where the brightness of an image has its centre."""
    levels = np.asarray(image, np.float64)
    ys, xs = np.mgrid[: image.height, : image.width] + 0.5
    return float((xs * levels).sum() / levels.sum()), float((ys * levels).sum() / levels.sum())


STEPS = {
    "exact": [resize(120, 40, "exact")],
    "fit": [resize(40, 40, "fit")],
    "fill": [resize(70, 70, "fill")],
    "crop": [transforms.CentreCrop(width=70, height=30)],
    "several": [resize(120, 100, "fill"), transforms.CentreCrop(width=80, height=90)],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_point_goes_where_its_pixels_go(steps):
    image = marked(90, 60, 50, 31)
    made = transforms.Transforms(tuple(steps))
    frame = made.affine(90, 60)
    assert made(image).size == frame.side
    assert centre(made(image)) == pytest.approx(frame.point(50.5, 31.5), abs=0.3)


@pytest.mark.parametrize("copy", range(1, 12))
def test_a_point_goes_where_an_augmented_copys_pixels_go(copy):
    image = marked(90, 60, 50, 31)
    chosen = augment.Config.model_validate({**STANDARD, "noise": 0.0})
    drawn, _ = augment.draw(chosen, "d", copy)
    moved = augment.derive(image, chosen, "d", copy)
    assert moved.size == image.size
    assert centre(moved) == pytest.approx(drawn.affine(90, 60).point(50.5, 31.5), abs=0.3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_point_of_stored_pixels_goes_where_turning_upright_takes_it(orientation):
    from PIL import ImageOps

    image = marked(90, 60, 50, 31)
    image.getexif()[274] = orientation
    upright = ImageOps.exif_transpose(image)
    frame = turned(orientation, 90, 60)
    assert upright.size == frame.side
    assert centre(upright) == pytest.approx(frame.point(50.5, 31.5), abs=0.01)


def test_a_box_outside_the_picture_is_gone_and_one_across_its_edge_is_cut():
    crop = transforms.CentreCrop(width=40, height=40).affine(100, 40)
    assert crop.box((0, 0, 20, 20)) is None
    assert crop.box((20, 10, 20, 20)) == (0, 10, 10, 20)
    assert crop.outline([20, 10, 40, 10, 40, 30]) == [0, 20, 0, 10, 10, 10, 10, 30]
    assert crop.outline([0, 0, 9, 0, 9, 9]) == []


def test_two_maps_after_one_another_are_one():
    first, then = resize(50, 30, "fill").affine(90, 60), turned(6, 50, 30)
    x, y = first.point(7, 11)
    assert first.then(then).point(7, 11) == pytest.approx(then.point(x, y))
    assert isinstance(first.then(then), Frame)


# Transforms of a package


def packaged(build: Build) -> dict[str, Image.Image]:
    found = {}
    for path in (build.out / "webdataset").rglob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                if not member.name.endswith(".cls"):
                    found[member.name] = Image.open(io.BytesIO(tar.extractfile(member).read()))
    return found


SQUARE = [
    {"_target_": RESIZE, "width": 20, "height": 20, "how": "exact"},
    {"_target_": f"{TRANSFORMS}Convert", "mode": "L"},
]
JPEG = {"_target_": f"{TRANSFORMS}Encode", "format": "JPEG", "quality": 80}


def test_images_are_packaged_after_all_transforms_in_their_order(build):
    build.write(photos(5), more={"transforms": [*SQUARE, JPEG]}, webdataset=SHARDS)
    for image in packaged(build).values():
        assert (image.size, image.mode, image.format) == ((20, 20), "L", "JPEG")


def test_pngs_come_of_transforms_where_none_says_how_to_write(build):
    files = photos(3)
    build.write(files, more={"transforms": SQUARE}, webdataset=SHARDS)
    expected = {
        f"train/cat/{key.removesuffix('.png')}.png": np.asarray(
            Image.open(io.BytesIO(data)).resize((20, 20), Image.Resampling.LANCZOS).convert("L")
        ).tolist()
        for key, data in files.items()
    }
    assert {name: np.asarray(image).tolist() for name, image in packaged(build).items()} == expected


def inverted(image: Image.Image, by: int) -> Image.Image:
    """A user's own transform."""
    CALLS.append(by)
    return image.point(lambda level: by - level)


def broken(image: Image.Image) -> Any:
    return np.asarray(image)


CALLS: list[int] = []
OWN = {"_target_": "tests.test_package_transforms.inverted", "_partial_": True, "by": 255}


def test_a_callable_of_ones_own_is_a_transform_and_what_it_made_is_remembered(build):
    files = photos(4)
    CALLS.clear()
    build.write(files, more={"transforms": [OWN]}, webdataset=SHARDS)
    (image,) = [each for name, each in packaged(build).items() if "/000." in name]
    original = np.asarray(Image.open(io.BytesIO(files["000.png"])))
    assert (np.asarray(image) == 255 - original).all()
    assert len(CALLS) == 4
    build.write({**files, **photos(1, 70)}, more={"transforms": [OWN]}, webdataset=SHARDS)
    assert len(CALLS) == 5
    build.write(files, more={"transforms": [{**OWN, "by": 254}]}, webdataset=SHARDS)
    assert len(CALLS) == 9


def test_what_was_remembered_may_be_deleted_at_any_time(build):
    import shutil

    build.write(photos(4), more={"transforms": [OWN]}, webdataset=SHARDS)
    before = build.files()
    shutil.rmtree(next((build.root / "memo").glob("*/packs")))
    build.write(photos(4), more={"transforms": [OWN]}, webdataset=SHARDS)
    assert build.files() == before


def test_a_transform_that_gives_no_image_is_named(build):
    said = [{"_target_": "tests.test_package_transforms.broken", "_partial_": True}]
    with pytest.raises(BuildError, match=r"package.transforms\[0\]: gave ndarray; it must give"):
        build.write(photos(1), more={"transforms": said}, webdataset=SHARDS)


def failing(image: Image.Image) -> Image.Image:
    raise KeyError(image.mode)


@pytest.mark.parametrize("engine", [make.INLINE, make.workers(2)], ids=["here", "workers"])
def test_a_transform_that_fails_is_named_with_its_error_and_its_line(build, engine):
    said = [{"_target_": "tests.test_package_transforms.failing", "_partial_": True}]
    with pytest.raises(
        BuildError,
        match=r"^package.transforms\[0\]: raised KeyError: 'RGB' "
        r"\(test_package_transforms.py, line \d+\)",
    ):
        build.write(photos(1), engine, more={"transforms": said}, webdataset=SHARDS)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"_target_": f"{TRANSFORMS}Resise"}, "no transform Resise; did you mean Resize?"),
        (
            {"_target_": RESIZE, "width": 0, "height": 9, "how": "fit"},
            "Resize.width: .* to 1",
        ),
        ({"_target_": RESIZE, "width": 9, "height": 9, "how": "fits"}, "Resize.how: .*'fit'"),
        ({"width": 9}, "needs `_target_`"),
    ],
)
def test_a_wrong_transform_is_refused_with_the_config(step, said):
    with pytest.raises(ValidationError, match=said):
        config({}, transforms=[step])


def test_a_transform_that_cannot_be_imported_is_named():
    with pytest.raises(ConfigError, match=r"^package.transforms\[1\]: no.such.thing cannot"):
        instantiate.each([OWN, {"_target_": "no.such.thing"}], "package.transforms")


# Augmentation


def test_five_rows_come_of_each_training_image_and_one_of_any_other(build):
    rows = [row for row in pets(30) if row["split"]]
    build.write(rows, more={"augment": STANDARD}, webdataset=SHARDS, parquet=SHARDS)
    for name in ("webdataset", "parquet"):
        listed = CONTENTS.read(build.out / name)
        for row in rows:
            copies = listed.filter(sample=f"album/{row['key']}")
            expected = [0, 1, 2, 3, 4] if row["split"] == "train" else [0]
            assert copies["copy"].sort().to_list() == expected
            assert set(copies["split"]) == {row["split"]}
            assert set(copies["label"]) == {row["label"]}
            assert copies.filter(copy=0)["packaged"].item() == make.sha(row["data"])
        assert listed.filter(split="test")["copy"].max() == 0


@pytest.mark.parametrize(
    ("length", "copies", "images"),
    [(6000, 1, 512), (6000, 5, 102), (1 << 20, 4, 1), (8 << 20, 5, 1)],
)
def test_a_batch_holds_as_many_images_as_what_is_made_of_them_allows(length, copies, images):
    shelf = Shelf(Path(), Path(), Limits(max_pixels=1, max_bytes=1))
    making = package.recipe(config({}), ())
    members = [(f"{n}", "pack", 0, length, "PNG", 9, 9, list(range(copies))) for n in range(1500)]
    held = [batch.members for batch in rendering.batches(shelf, making, iter(members))]
    assert {len(each) for each in held[:-1]} == {images}
    assert [member for each in held for member in each] == members


def test_a_copy_depends_on_its_image_alone(build, tmp_path):
    more = {"augment": STANDARD}
    build.write(photos(9), more=more, parquet=SHARDS)
    other = Build(tmp_path / "other")
    other.write(photos(3, 6), make.workers(2), more, parquet=SHARDS)
    every = CONTENTS.read(build.out / "parquet").select("digest", "copy", "packaged").rows()
    some = CONTENTS.read(other.out / "parquet").select("digest", "copy", "packaged").rows()
    assert len(some) == 15
    assert set(some) <= set(every)


@pytest.mark.parametrize("name", NEVER)
def test_every_operation_does_what_it_says(name):
    image = draw.photo(3, 40, 30)
    chosen = augment.Config.model_validate({**STANDARD, **NEVER, name: 1.0, "max_kernel": 9})
    made = [np.asarray(augment.derive(image, chosen, "d", n), np.int16) for n in range(1, 9)]
    original = np.asarray(image, np.int16)
    if name == "flip":
        assert all((each == original[:, ::-1]).all() for each in made)
    elif name == "noise":
        noise = np.stack(made) - original
        assert abs(noise.mean()) < 3
        assert 18 < noise.std() < 27  # levels are cut at 0 and 255
    else:
        assert len({each.tobytes() for each in made}) > 3
    same = augment.Config.model_validate({**STANDARD, **NEVER})
    assert (np.asarray(augment.derive(image, same, "d", 1)) == original).all()


def test_about_half_of_the_copies_have_each_operation():
    chosen = augment.Config.model_validate(STANDARD)
    drawn = [augment.draw(chosen, f"{n}", 1)[0] for n in range(2000)]
    assert 900 < sum(each.mirrored for each in drawn) < 1100
    assert 900 < sum(each.noisy for each in drawn) < 1100
    turned_ones = [each.degrees for each in drawn if each.degrees]
    assert 900 < len(turned_ones) < 1100
    assert -20 <= min(turned_ones) < -19.5
    assert 19.5 < max(turned_ones) <= 20
    assert {each.right for each in drawn} == set(range(-10, 11))
    assert {each.kernel for each in drawn} == {1, 2, 3, 4, 5}


def test_the_card_says_how_many_images_were_derived_and_how_to_tell_them_apart():
    splits = ["train", "train", "test"]
    rows = make.frame(MANIFEST, *({"key": str(n), "split": s} for n, s in enumerate(splits)))
    chosen = augment.Config.model_validate({**STANDARD, "multiplier": 5})
    about = About.model_validate(ABOUT)
    text = card.render(about, rows, chosen)
    line = "- Derived from them by augmentation: 8, 4 of each image of train; their `copy` in "
    assert f"{line}manifest.parquet is not 0" in text.splitlines()
    for none in (None, chosen.model_copy(update={"multiplier": 1})):
        assert "Derived" not in card.render(about, rows, none)


def test_a_split_that_no_image_is_in_is_not_augmented_in_silence(build):
    with pytest.raises(BuildError, match="no image is in the split training; those that exist: tr"):
        build.write(photos(2), more={"augment": {**STANDARD, "splits": ["training"]}})


def test_copies_have_names_of_their_own():
    rows = [{"key": "x", "split": "train"}, {"key": "x_aug1", "split": "train"}]
    chosen = augment.Config.model_validate({**STANDARD, "multiplier": 2})
    kept = package.contents(make.frame(MANIFEST, *rows), chosen).frame()
    assert kept.select("folder", "name").is_unique().all()
    assert len(kept) == 4
