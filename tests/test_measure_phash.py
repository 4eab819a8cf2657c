"""The perceptual hashes are those of the imagehash library."""

import imagehash
import numpy as np
import pytest
from PIL import Image

from imagemill.measure import phash
from imagemill.measure.functions import FUNCTIONS
from imagemill.measure.prints import textures
from imagemill.measure.resample import shrunk
from imagemill.tables import TRANSFORMS
from tests import draw, make
from tests.crops import photographs
from tests.test_match import turned

LANCZOS = Image.Resampling.LANCZOS


def printed(images: list[Image.Image]) -> list[dict[str, object]]:
    return list(FUNCTIONS["prints"].values(make.picture(image, "PPM") for image in images))


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return photographs()


@pytest.fixture(scope="module")
def hashed(photos: list[Image.Image]) -> list[dict[str, object]]:
    return printed(photos)


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((32, 32), LANCZOS))


def hashes(image: Image.Image) -> list[int]:
    """Hashes of a 32x32 image."""
    levels = np.asarray(image, np.float64)
    return phash.hashes(phash.low(levels, image.size)[None])[0]


def theirs(image: Image.Image, side: int = 8) -> int:
    return int(str(imagehash.phash(image, hash_size=side)), 16)


def test_the_hash_is_that_of_imagehash(photos, hashed):
    apart = [(theirs(i) ^ h["phash"][0]).bit_count() for i, h in zip(photos, hashed, strict=True)]
    share, equal = np.mean(np.array(apart) <= 2), np.mean(np.array(apart) == 0)
    print(f"phash: {len(apart)} photos, {share:.1%} within 2 bits of imagehash, {equal:.1%} equal")
    assert share >= 0.99
    assert max(apart) <= 4


def test_the_256_bit_hash_is_that_of_imagehash(photos, hashed):
    ours = [int.from_bytes(each["phash256"]) for each in hashed]
    apart = [(theirs(i, 16) ^ o).bit_count() for i, o in zip(photos, ours, strict=True)]
    share, equal = np.mean(np.array(apart) <= 8), np.mean(np.array(apart) == 0)
    print(
        f"phash256: {share:.1%} within 8 bits of imagehash, {equal:.1%} equal, at most {max(apart)}"
    )
    assert {len(each["phash256"]) for each in hashed} == {32}
    assert share >= 0.95
    assert np.mean(apart) < 3


def test_the_hash_of_a_32x32_image_is_exactly_that_of_imagehash(photos):
    tiny = [Image.fromarray(small(image)) for image in photos]
    assert [hashes(image)[0] for image in tiny] == [theirs(image) for image in tiny]


@pytest.mark.parametrize("number", range(len(TRANSFORMS)))
def test_the_other_hashes_are_those_of_the_turned_images(photos, hashed, number):
    pairs = list(zip(photos, hashed, strict=True))[::4]
    apart = [
        (found["phash"][number] ^ theirs(turned(image, TRANSFORMS[number]))).bit_count()
        for image, found in pairs
    ]
    assert np.mean([bits <= 2 for bits in apart]) >= 0.99


def test_the_hashes_of_a_turned_thumbnail_are_exactly_its_turned_hashes(photos):
    for image in photos[::20]:
        thumb = Image.fromarray(small(image))
        assert [hashes(turned(thumb, name))[0] for name in TRANSFORMS] == hashes(thumb)


def test_a_symmetric_image_has_the_same_hash_as_its_mirror_image():
    half = np.asarray(draw.photo(1, 16, 32).convert("L"))
    found = hashes(Image.fromarray(np.concatenate([half, half[:, ::-1]], axis=1)))
    assert found[TRANSFORMS.index("none")] == found[TRANSFORMS.index("flip")]


def test_hashes_do_not_depend_on_the_images_beside(photos, hashed):
    assert [printed([image])[0] for image in photos[:40]] == hashed[:40]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (33, 31), (95, 97), (192, 300)])
def test_images_of_every_shape_have_prints(shape):
    (found,) = printed([draw.photo(1, *shape)])
    assert len(found["thumb"]) == 48 * 48
    assert len(found["colours"]) == 8 * 8 * 3


@pytest.mark.parametrize("side", [32, 48, 64])
def test_a_small_picture_is_resampled_as_pillow_does_along_the_longer_side_first(photos, side):
    for image in photos[::10]:
        grey = image.convert("L").reduce(2)
        wide = grey.width >= grey.height
        first = grey.resize((side, grey.height) if wide else (grey.width, side), LANCZOS)
        ours = shrunk(np.asarray(grey, np.float64), grey.size, side)
        assert np.abs(ours - np.asarray(first.resize((side, side), LANCZOS))).max() <= 1


def test_thumbnails_are_near_those_of_the_whole_picture(photos, hashed):
    for image, found in list(zip(photos, hashed, strict=True))[::10]:
        colours = np.asarray(image.resize((8, 8), Image.Resampling.BOX), int)
        apart = np.abs(np.frombuffer(found["colours"], np.uint8).reshape(8, 8, 3) - colours)
        assert apart.mean() < 1.5
        grey = image.convert("L").resize((48, 48), LANCZOS)
        thumb = np.frombuffer(found["thumb"], np.uint8).reshape(48, 48)
        assert np.abs(np.asarray(grey, int) - thumb).mean() < 2.5


def test_texture_is_the_standard_deviation_of_the_thumbnail(hashed):
    thumbs = np.stack([np.frombuffer(each["thumb"], np.uint8) for each in hashed])
    assert [each["texture"] for each in hashed] == pytest.approx(thumbs.std(axis=1))
    assert textures(thumbs[:0]).shape == (0,)


def test_prints_tell_what_is_compared_of_an_image_and_nothing_else(photos):
    image = photos[0]
    (one, same), other = (
        printed([image.convert("L"), image.convert("L").convert("RGB")]),
        printed([image])[0],
    )
    assert one["prints"] == same["prints"]
    assert other["prints"] != one["prints"]
    assert len(one["prints"]) == 16
