"""The figures of an image are what their definitions say."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from imagemill.measure.figures import figures, judged, sharpness
from imagemill.measure.functions import header
from imagemill.measure.jpeg_quality import jpeg_quality
from imagemill.measure.picture import Picture
from tests import draw, make
from tests.crops import photographs

MAKE, MODEL, ARTIST, GPS, EXIF, TAKEN, OWNER = 271, 272, 315, 34853, 34665, 36867, 42032


def figured(image: Image.Image) -> dict[str, float]:
    return figures(make.picture(image, "PPM"))


def test_grey_and_colour_files_of_one_grey_picture_have_the_same_figures():
    grey = draw.photo(1, 300, 260).convert("L")
    ours = {"quality", "mode", "bytes"}
    one, other = make.measured(grey), make.measured(grey.convert("RGB"))
    assert {k: v for k, v in one.items() if k not in ours} == {
        k: v for k, v in other.items() if k not in ours
    }


def test_figures_of_drawn_images_are_what_their_definitions_say():
    black = figured(Image.new("L", (50, 40), 0))
    assert black == dict.fromkeys(black, 0)
    assert list(black) == ["sharpness", "brightness", "contrast", "entropy", "saturation"]
    board = np.indices((40, 50)).sum(axis=0) % 2 * 255
    found = figured(Image.fromarray(board.astype(np.uint8)))
    assert found == {
        "sharpness": 1020**2,
        "brightness": 0.5,
        "contrast": 0.5,
        "entropy": 1.0,
        "saturation": 0,
    }
    assert figured(Image.new("L", (2, 90), 9))["sharpness"] == 0
    even = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert figured(even)["entropy"] == 8


@pytest.mark.parametrize("shape", [(3, 3), (3, 400), (400, 3), (64, 65), (512, 512)])
def test_sharpness_is_the_variance_of_the_laplacian_in_every_second_row(shape):
    v = np.random.default_rng(1).integers(0, 256, shape)
    laplacian = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:] - 4 * v[1:-1, 1:-1]
    assert sharpness(v.astype(np.uint8)) == pytest.approx(laplacian[::2].var(), rel=1e-12)


def test_figures_of_photographs_are_those_that_numpy_gives():
    for image in photographs()[::10]:
        grey = np.asarray(judged(image), np.float64)
        found = figured(image)
        assert found["brightness"] == pytest.approx(grey.mean() / 255, rel=1e-9)
        assert found["contrast"] == pytest.approx(grey.std() / 255, rel=1e-6)
        assert found["entropy"] == pytest.approx(judged(image).entropy(), rel=1e-6)


@pytest.mark.parametrize(
    ("side", "left"),
    [
        (30, 30),
        (383, 383),
        (384, 192),
        (500, 250),
        (767, 383),
        (769, 192),
        (1600, 267),
        (4000, 250),
    ],
)
def test_quality_is_judged_at_a_common_size(side, left):
    image = draw.photo(1, side, 8)
    assert max(judged(image).size) == left
    assert judged(image).mode == "L"


def test_every_second_pixel_of_a_photo_is_looked_at():
    image = draw.photo(1, 500, 401).convert("L")
    every = np.asarray(image)[1:400:2, 1::2]
    assert (np.asarray(judged(image)) == every).all()
    assert figures(Picture(None, image, 0))["sharpness"] == pytest.approx(sharpness(every))


def test_a_larger_copy_is_as_sharp():
    image = draw.photo(1, 512, 384).convert("L")
    large = image.resize((2048, 1536), Image.Resampling.NEAREST)
    assert figured(large) == figured(image)


def test_a_large_photo_is_not_sharp_for_its_grain():
    grain = np.random.default_rng(1).normal(128, 5, (3000, 4000)).clip(0, 255).astype(np.uint8)
    large = Image.fromarray(grain)
    assert figures(Picture(None, large, 0))["sharpness"] < 10
    assert sharpness(grain[:512, :512]) > 400


def test_blur_is_told_from_the_same_photos_without():
    whole = [image for image in photographs() if min(image.size) >= 300][::3]
    soft = [image.filter(ImageFilter.GaussianBlur(2)) for image in whole]
    left = [
        figured(blurred)["sharpness"] / figured(image)["sharpness"]
        for blurred, image in zip(soft, whole, strict=True)
    ]
    assert np.median(left) < 0.1
    assert max(left) < 1


def test_saturation_is_that_of_hsv():
    assert figured(Image.new("RGB", (30, 30), (200, 100, 50)))["saturation"] == pytest.approx(
        0.75, abs=1e-5
    )
    for image in photographs():
        hsv = np.asarray(make.opened(make.file(image, "PPM")).small.convert("HSV"))
        assert figured(image)["saturation"] == pytest.approx(hsv[..., 1].mean() / 255, abs=0.003)


def test_saturation_of_the_small_form_is_near_that_of_the_whole_picture():
    apart = [
        abs(np.asarray(image.convert("HSV"))[..., 1].mean() / 255 - figured(image)["saturation"])
        for image in photographs()[::4]
    ]
    print(f"saturation: {np.median(apart):.4f} from that of all pixels, at most {max(apart):.3f}")
    assert np.median(apart) < 0.005
    assert max(apart) < 0.2  # of a dark picture's noise


@pytest.mark.parametrize(
    ("side", "aspect"), [((60, 60), 1), ((80, 40), 2), ((40, 80), 2), ((30, 20), 1.5)]
)
def test_aspect_is_the_longer_side_over_the_shorter(side, aspect):
    assert header(make.picture(draw.photo(1, *side)))["aspect"] == aspect


# Quality of JPEGs


def estimated(image: Image.Image, **options: object) -> int:
    return header(make.picture(image, "JPEG", **options))["quality"]


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_quality_that_a_photo_was_saved_with_is_found_exactly(subsampling, optimize):
    options = {"subsampling": subsampling, "optimize": optimize}
    photo = photographs()[0].resize((96, 96))
    for image in (photo, photo.convert("L")):
        for quality in range(10, 101):
            assert estimated(image, quality=quality, **options) == quality
        assert abs(estimated(image, quality=5, **options) - 5) <= 1
        assert estimated(image, quality=80, progressive=True, **options) == 80


@pytest.mark.parametrize(
    ("preset", "least", "most"),
    [("web_low", 10, 60), ("web_high", 75, 92), ("low", 60, 92), ("maximum", 93, 100)],
)
def test_tables_of_another_editor_get_the_nearest_quality(preset, least, most):
    assert least <= estimated(draw.photo(1), quality=preset) <= most


def test_only_a_jpeg_has_a_quality():
    assert header(make.picture(draw.photo(1), "PNG"))["quality"] is None
    assert header(make.picture(draw.photo(1), "WEBP", quality=80))["quality"] is None
    assert jpeg_quality(()) is None


# EXIF


def tagged(**tags: str) -> Image.Exif:
    exif = Image.Exif()
    known = {"make": MAKE, "model": MODEL, "artist": ARTIST}
    for name, value in tags.items():
        if name in known:
            exif[known[name]] = value
    exif.get_ifd(EXIF)[OWNER] = "Jane Doe"
    if "taken" in tags:
        exif.get_ifd(EXIF)[TAKEN] = tags["taken"]
    exif.get_ifd(GPS)[1] = "N"
    exif.get_ifd(GPS)[2] = (52.0, 31.0, 12.0)
    return exif


def told(form: str, **tags: str) -> dict[str, object]:
    return header(make.picture(draw.photo(1), form, exif=tagged(**tags)))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_camera_and_time_are_those_that_pillow_wrote(form):
    tags = {"make": "FUJIFILM", "model": "X-T5", "taken": "2024:02:03 04:05:06"}
    found = told(form, artist="Jane Doe", **tags)
    assert (found["camera"], found["taken"]) == ("FUJIFILM X-T5", "2024:02:03 04:05:06")
    assert (found["exif"], found["gps"]) == (True, True)
    assert not any("Jane" in str(value) for value in found.values())


def test_the_camera_of_a_tiff_is_told():
    found = told("TIFF", make="FUJIFILM", model="X-T5")
    assert (found["camera"], found["exif"]) == ("FUJIFILM X-T5", True)


@pytest.mark.parametrize(
    ("tags", "camera"),
    [
        ({"make": "Canon", "model": "Canon EOS 5D"}, "Canon EOS 5D"),
        ({"make": "Canon"}, "Canon"),
        ({"model": "Pixel 9"}, "Pixel 9"),
        ({"make": "  Nikon \n", "model": "Z\x01 8"}, "Nikon Z 8"),
        ({"make": " ", "model": "\x00hidden"}, None),
        ({}, None),
    ],
)
def test_a_camera_is_named_once_and_printably(tags, camera):
    found = told("JPEG", **tags)
    assert (found["camera"], found["taken"]) == (camera, None)


def test_a_text_without_end_is_cut():
    assert len(told("JPEG", model="x" * 50_000)["camera"]) <= 100


def test_a_file_without_exif_names_no_camera():
    found = header(make.picture(draw.photo(1), "JPEG"))
    assert (found["camera"], found["taken"]) == (None, None)


def test_damaged_exif_names_what_is_whole_and_costs_no_picture():
    block = tagged(make="Canon", taken="2024:02:03 04:05:06").tobytes()
    for end in range(len(block)):
        target = io.BytesIO()
        draw.photo(1, 20, 20).save(target, "JPEG", exif=block[:end])
        found = header(make.opened(target.getvalue()))
        assert found["camera"] in (None, *("Canon"[: n + 1] for n in range(5)))
        assert found["taken"] is None or "2024:02:03 04:05:06".startswith(found["taken"])


def test_a_picture_is_made_small_by_whole_numbers_and_knows_its_true_extent():
    assert Picture(None, draw.photo(1, 400, 500), 0).small.size == (100, 125)  # type: ignore[arg-type]
    odd = Picture(None, draw.photo(1, 401, 385), 0)  # type: ignore[arg-type]
    assert odd.small.size == (101, 97)
    assert odd.extent == (401 / 4, 385 / 4)
    long = Picture(None, draw.photo(1, 4000, 100), 0)  # type: ignore[arg-type]
    assert long.small.size == (98, 100)
