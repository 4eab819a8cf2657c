"""The hash of an image's pixels tells equal pictures from others."""

import numpy as np
import pytest
from PIL import Image
from xxhash import xxh3_128_hexdigest

from imagemill.measure.pixels import BAND, pixels
from tests import draw, make


def test_pixels_are_equal_for_equal_pictures_only():
    image = draw.photo(1, 20, 30)
    other = image.copy()
    other.putpixel((3, 3), (*other.getpixel((3, 3))[:2], other.getpixel((3, 3))[2] ^ 1))
    folded = Image.frombytes("RGB", (30, 20), image.tobytes())
    assert len({pixels(each) for each in (image, image.copy(), other, folded)}) == 3


def test_pixels_are_the_xxh3_of_size_and_rgb_with_255():
    image = draw.photo(1, 20, 30)
    levels = np.full((30, 20, 4), 255, np.uint8)
    levels[..., :3] = np.asarray(image)
    assert pixels(image) == xxh3_128_hexdigest(b"20x30:" + levels.tobytes())


def test_grey_has_the_pixels_of_its_equal_colours():
    grey = draw.photo(1, 20, 30).convert("L")
    assert pixels(grey) == pixels(grey.convert("RGB"))


def test_an_opaque_picture_has_the_same_pixels_however_it_is_stored():
    image = draw.photo(1, 40, 30)
    forms = {
        "PNG": image,
        "PPM": image,
        "BMP": image,
        "TIFF": image.convert("RGBA"),
        "WEBP": image.convert("RGBA"),
        "GIF": image.quantize(200),
    }
    options = {"WEBP": {"lossless": True}}
    found = {
        form: pixels(make.picture(each, form, **options.get(form, {})).image)
        for form, each in forms.items()
    }
    assert found.pop("GIF") == pixels(image.quantize(200).convert("RGB"))
    assert set(found.values()) == {pixels(image)}


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "side", [(BAND // 1000, 1001), (3001, 2011), (5_000_000, 1), (1, 9_000_000)]
)
def test_a_large_picture_is_hashed_in_parts_with_the_same_result(mode, side):
    width, height = side
    image = Image.effect_noise((1000, 1000), 60).resize(side, Image.Resampling.NEAREST)
    whole = xxh3_128_hexdigest(
        f"{width}x{height}:".encode() + image.convert("RGB").tobytes("raw", "RGBX")
    )
    assert pixels(image.convert(mode)) == whole
