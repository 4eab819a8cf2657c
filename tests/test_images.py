"""Reading, judging and writing pixels: every mode, every orientation, every way to be broken."""

import io
import pickle
import random
import re
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.Image import Transpose

from imagemill import images
from imagemill.images import Limits, Unreadable, pixels
from tests import draw, make

LIMITS = Limits(max_pixels=1_000_000, max_bytes=1_000_000)
ICC = b"a colour profile, opaque to this package" * 10
GPS, ORIENTATION, ARTIST = 34853, 274, 315
STRIPPABLE = ("JPEG", "PNG", "WEBP")


def photo(width: int = 61, height: int = 47, seed: int = 7) -> Image.Image:
    """Smooth colours with a noisy patch, so that no two corners look alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (20, 20, 3))
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns * 4, rows * 5, (rows + columns) * 2], axis=-1) % 256
    pixels[5:25, 10:30] = noise
    return Image.fromarray(pixels.astype(np.uint8))


def save(image: Image.Image, form: str, **options: Any) -> bytes:
    target = io.BytesIO()
    # Copies, because Pillow leaves the encoder's settings on the images it wrote.
    if "append_images" in options:
        options["append_images"] = [frame.copy() for frame in options["append_images"]]
    image.copy().save(target, form, **options)
    return target.getvalue()


def exif(orientation: int, artist: str = "") -> bytes:
    """An EXIF block with a place."""
    block = Image.Exif()
    block[ORIENTATION] = orientation
    block[ARTIST] = artist
    block.get_ifd(GPS)[1] = "N"
    return block.tobytes()


def read(data: bytes) -> Image.Image:
    return images.read(data, LIMITS)[1]


def header(data: bytes) -> images.Header:
    return images.header(data, LIMITS)


def refusal(work: Callable[..., object], *arguments: object) -> Unreadable | None:
    """What a call ends with, if not with a result."""
    try:
        work(*arguments)
    except Unreadable as error:
        return error
    return None


def reason(data: bytes, limits: Limits = LIMITS) -> str | None:
    refused = refusal(images.read, data, limits)
    return refused.reason if refused else None


def apart(one: Image.Image, other: Image.Image) -> int:
    """Largest difference of a level; images of unlike mode or size are as far as can be."""
    if (one.mode, one.size) != (other.mode, other.size):
        return 256
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


def on_white(image: Image.Image) -> Image.Image:
    levels = np.asarray(image).astype(float)
    share = levels[..., -1:] / 255
    mixed = np.rint(levels[..., :-1] * share + 255 * (1 - share)).astype(np.uint8)
    return Image.fromarray(mixed.squeeze())


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, bits: int, colour: int, *extra: bytes, rows: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = head + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(tags: dict[int, tuple[int, int, int]], *, after: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF of one directory: tag to (type, count, value)."""
    records = b"".join(struct.pack("<HHLL", tag, *rest) for tag, rest in sorted(tags.items()))
    start = struct.pack("<2sHLH", b"II", 42, 8, len(tags))
    return start + records + struct.pack("<L", following) + after


def grey_tiff(bits: int, pixels: bytes, **tags: tuple[int, int, int]) -> bytes:
    more = {int(tag[1:]): value for tag, value in tags.items()}
    start = 8 + 2 + 12 * len({256, 257, 258, 262, 273, 279} | more.keys()) + 4
    base = {256: (4, 1, 4), 257: (4, 1, 1), 258: (3, 1, bits), 262: (3, 1, 1)}
    return tiff(base | {273: (4, 1, start), 279: (4, 1, len(pixels))} | more, after=pixels)


def padding(image: Image.Image) -> set[int]:
    """What Pillow keeps beside the three colours of each pixel."""
    return set(image.tobytes("raw", "RGBX")[3::4]) if image.mode == "RGB" else set()


PHOTO = photo()
GREY = PHOTO.convert("L")
ALPHA = GREY.transpose(Transpose.FLIP_LEFT_RIGHT)
RGBA = Image.merge("RGBA", (*PHOTO.split(), ALPHA))
LA = Image.merge("LA", (GREY, ALPHA))
PALETTE = PHOTO.quantize(32)
DEEP = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)
FRAMES = [photo(seed=1), photo(seed=2)]


# Orientation

STORED = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("form", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 100, "subsampling": 0}, 8),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 8),
    ],
)
def test_every_orientation_reads_upright(
    orientation: int, form: str, options: dict[str, Any], tolerance: int
) -> None:
    turn = STORED[orientation]
    stored = PHOTO.transpose(turn) if turn is not None else PHOTO
    found, pixels = images.read(save(stored, form, exif=exif(orientation), **options), LIMITS)
    assert apart(pixels, PHOTO) <= tolerance
    assert padding(pixels) == {255}
    assert (found.width, found.height) == PHOTO.size
    assert (found.orientation, found.exif, found.gps) == (orientation, True, True)


def test_a_compressed_tiff_is_turned_once() -> None:
    stored = PHOTO.transpose(Transpose.ROTATE_90)
    data = save(stored, "TIFF", compression="tiff_lzw", tiffinfo={ORIENTATION: 6})
    assert apart(read(data), PHOTO) == 0


@pytest.mark.parametrize(
    "block", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"nonsense", b"II*\0\x08"]
)
def test_a_damaged_exif_block_says_nothing(block: bytes) -> None:
    data = save(PHOTO, "JPEG", exif=b"Exif\0\0" + block)
    assert (header(data).orientation, reason(data)) == (1, None)


def test_an_orientation_that_does_not_exist_is_upright() -> None:
    assert header(save(PHOTO, "PNG", exif=exif(9))).orientation == 1


# Modes


@pytest.mark.parametrize(
    ("data", "mode", "expected", "tolerance"),
    [
        (save(PHOTO, "JPEG", quality=100, subsampling=0), "RGB", PHOTO, 8),
        (save(GREY, "JPEG", quality=100), "L", GREY, 3),
        (save(PHOTO.convert("CMYK"), "JPEG", quality=100), "CMYK", PHOTO, 12),
        (save(PHOTO.convert("CMYK"), "TIFF"), "CMYK", PHOTO, 0),
        (save(PHOTO.convert("YCbCr"), "TIFF"), "YCbCr", PHOTO, 3),
        (save(PHOTO, "PNG"), "RGB", PHOTO, 0),
        (save(GREY.convert("RGB"), "PNG"), "RGB", GREY.convert("RGB"), 0),
        (save(GREY, "PNG"), "L", GREY, 0),
        (save(LA, "PNG"), "LA", on_white(LA), 1),
        (save(RGBA, "PNG"), "RGBA", on_white(RGBA), 1),
        (save(RGBA, "WEBP", lossless=True, exact=True), "RGBA", on_white(RGBA), 1),
        (save(RGBA, "TIFF"), "RGBA", on_white(RGBA), 1),
        (save(LA, "TIFF"), "LA", on_white(LA), 1),
        (save(PALETTE, "PNG"), "P", PALETTE.convert("RGB"), 0),
        (save(PALETTE, "GIF"), "P", PALETTE.convert("RGB"), 0),
        (save(PALETTE, "BMP"), "P", PALETTE.convert("RGB"), 0),
        (save(PALETTE.convert("PA"), "TIFF"), "PA", PALETTE.convert("RGB"), 0),
        (save(GREY.convert("1"), "PNG"), "1", GREY.convert("1").convert("L"), 0),
        (save(GREY.convert("1"), "PPM"), "1", GREY.convert("1").convert("L"), 0),
        (
            save(GREY.convert("1"), "TIFF", compression="group4"),
            "1",
            GREY.convert("1").convert("L"),
            0,
        ),
        (save(DEEP, "PNG"), "I;16", GREY, 0),
        (save(DEEP, "TIFF"), "I;16", GREY, 0),
        (save(DEEP, "TIFF", compression="tiff_lzw"), "I;16", GREY, 0),
        (save(DEEP, "PPM"), "I", GREY, 0),
        (save(PHOTO, "BMP"), "RGB", PHOTO, 0),
        (save(PHOTO, "PPM"), "RGB", PHOTO, 0),
        (save(GREY, "PPM"), "L", GREY, 0),
        (save(PHOTO, "TIFF", big_tiff=True), "RGB", PHOTO, 0),
        (save(PHOTO, "AVIF", quality=100, subsampling="4:4:4"), "RGB", PHOTO, 8),
    ],
)
def test_every_stored_mode_reads_as_grey_or_rgb(
    data: bytes, mode: str, expected: Image.Image, tolerance: int
) -> None:
    found, pixels = images.read(data, LIMITS)
    assert found.mode == mode
    assert apart(pixels, expected) <= tolerance
    assert pixels.info == {}
    assert type(pixels) is Image.Image
    assert padding(pixels) <= {255}


def test_a_transparent_palette_entry_shows_white() -> None:
    data = save(PALETTE, "PNG", transparency=5)
    expected = np.asarray(PALETTE.convert("RGB")).copy()
    expected[np.asarray(PALETTE) == 5] = 255
    assert apart(read(data), Image.fromarray(expected)) == 0
    assert header(data).alpha


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # Four grey levels in a byte: 0, 1, 2, 3; level 1 is transparent.
        (png(4, 1, 2, 0, chunk(b"tRNS", b"\0\1"), rows=b"\0\x1b"), [0, 255, 170, 255]),
        (png(2, 1, 8, 0, chunk(b"tRNS", b"\0\x09"), rows=b"\0\x09\x0a"), [255, 10]),
        (png(2, 1, 16, 0, chunk(b"tRNS", b"\1\2"), rows=b"\0\1\2\1\3"), [255, 1]),
        (png(2, 1, 1, 0, chunk(b"tRNS", b"\0\0"), rows=b"\0\x40"), [255, 255]),
    ],
)
def test_a_transparent_grey_is_compared_as_stored(data: bytes, expected: list[int]) -> None:
    assert np.asarray(read(data)).ravel().tolist() == expected


def test_a_transparent_rgb_colour_shows_white() -> None:
    data = png(2, 1, 8, 2, chunk(b"tRNS", b"\0\1\0\2\0\3"), rows=b"\0\1\2\3\1\2\4")
    assert np.asarray(read(data)).tolist() == [[[255, 255, 255], [1, 2, 4]]]


def test_grey_with_alpha_in_16_bits_stays_grey() -> None:
    data = png(2, 1, 16, 4, rows=b"\0\x80\0\xff\xff\x80\0\0\0")
    assert (header(data).mode, header(data).bits) == ("LA", 16)
    assert (read(data).mode, np.asarray(read(data)).ravel().tolist()) == ("L", [128, 255])


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bits_are_scaled_over_the_full_range_and_rounded(order: str) -> None:
    levels = np.array([[0, 128, 129, 32767, 32768, 65406, 65407, 65535]], dtype=order)
    expected = [0, 0, 1, 127, 128, 254, 255, 255]
    data = save(Image.fromarray(levels), "TIFF")
    assert np.asarray(read(data)).ravel().tolist() == expected


def test_a_dim_16_bit_image_stays_dim() -> None:
    assert np.asarray(read(save(DEEP.point(lambda level: level / 64), "PNG"))).max() == 4


def test_12_bits_are_scaled_by_their_own_range() -> None:
    packed = bytes.fromhex("000 fff 800 7ff".replace(" ", ""))
    assert np.asarray(read(grey_tiff(12, packed))).ravel().tolist() == [0, 255, 128, 127]


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0, None), (65535, None), (65536, "unsupported_mode"), (-1, "unsupported_mode")],
)
def test_integers_are_read_as_16_bits_or_not_at_all(level: int, expected: str | None) -> None:
    assert reason(save(Image.new("I", (3, 3), level), "TIFF")) == expected


@pytest.mark.parametrize(
    "data",
    [
        save(GREY.convert("F"), "TIFF"),
        save(GREY.convert("F"), "PPM"),
        grey_tiff(16, b"\0" * 8, t262=(3, 1, 0)),
        png(1, 1, 16, 2, chunk(b"tRNS", b"\0" * 6), rows=b"\0" * 7),
    ],
)
def test_what_has_no_agreed_meaning_is_an_unsupported_mode(data: bytes) -> None:
    assert reason(data) == "unsupported_mode"


# Frames


@pytest.mark.parametrize(("form", "tolerance"), [("GIF", 40), ("PNG", 0), ("WEBP", 0)])
def test_an_animation_reads_as_its_first_frame(form: str, tolerance: int) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    first = PHOTO.quantize(256).convert("RGB") if form == "GIF" else PHOTO
    data = save(PHOTO, form, save_all=True, append_images=FRAMES, duration=40, **options)
    found, pixels = images.read(data, LIMITS)
    assert apart(pixels, first) <= tolerance
    assert (found.frames, found.animated) == (3, True)
    assert not images.meets_contract(found)


def test_an_animated_png_reads_as_its_default_image() -> None:
    data = save(PHOTO, "PNG", save_all=True, default_image=True, append_images=FRAMES)
    assert apart(read(data), PHOTO) == 0
    assert header(data).frames == 2


def test_pages_are_counted_but_not_an_animation() -> None:
    found = header(save(PHOTO, "TIFF", save_all=True, append_images=FRAMES))
    assert (found.frames, found.animated) == (3, False)


def test_several_pictures_in_a_jpeg_read_as_the_first() -> None:
    data = save(PHOTO, "MPO", save_all=True, append_images=FRAMES)
    found, pixels = images.read(data, LIMITS)
    assert (found.format, found.frames) == ("JPEG", 1)
    assert apart(pixels, read(save(PHOTO, "JPEG"))) == 0


def test_thousands_of_frames_are_counted_without_decoding_one() -> None:
    frame = save(Image.new("P", (8, 8)), "GIF")
    body = frame[frame.index(b",", 13) : -1]
    assert header(frame[:-1] + body * 9_999 + b";").frames == 10_000


# Broken files

WHOLE: dict[str, bytes] = {
    "jpeg": save(PHOTO, "JPEG"),
    "jpeg progressive": save(PHOTO, "JPEG", progressive=True),
    "jpeg optimised": save(PHOTO, "JPEG", optimize=True),
    "jpeg restarts": save(PHOTO, "JPEG", restart_marker_blocks=3),
    "jpeg grey": save(GREY, "JPEG"),
    "jpeg cmyk": save(PHOTO.convert("CMYK"), "JPEG"),
    "jpeg exif": save(PHOTO, "JPEG", exif=exif(6), icc_profile=ICC, comment=b"hello"),
    "mpo": save(PHOTO, "MPO", save_all=True, append_images=FRAMES),
    "png": save(PHOTO, "PNG"),
    "png palette": save(PALETTE, "PNG", transparency=3),
    "png 16": save(DEEP, "PNG"),
    "png exif": save(PHOTO, "PNG", exif=exif(6), icc_profile=ICC),
    "apng": save(PHOTO, "PNG", save_all=True, append_images=FRAMES),
    "gif": save(PHOTO, "GIF"),
    "gif animated": save(PHOTO, "GIF", save_all=True, append_images=FRAMES),
    "webp": save(PHOTO, "WEBP"),
    "webp lossless": save(RGBA, "WEBP", lossless=True),
    "webp exif": save(RGBA, "WEBP", exif=exif(6), icc_profile=ICC),
    "webp animated": save(PHOTO, "WEBP", save_all=True, append_images=FRAMES),
    "bmp": save(PHOTO, "BMP"),
    "bmp palette": save(PALETTE, "BMP"),
    "tiff": save(PHOTO, "TIFF"),
    "tiff exif": save(PHOTO, "TIFF", exif=exif(6)),
    "tiff big": save(PHOTO, "TIFF", big_tiff=True, compression="tiff_lzw"),
    "tiff ycbcr": save(PHOTO.convert("YCbCr"), "TIFF", compression="zstd"),
    "tiff deflate": save(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
    "tiff jpeg": save(PHOTO, "TIFF", compression="jpeg"),
    "tiff packbits": save(GREY, "TIFF", compression="packbits"),
    "tiff fax": save(GREY.convert("1"), "TIFF", compression="group4"),
    "tiff pages": save(PHOTO, "TIFF", save_all=True, append_images=FRAMES),
    "ppm": save(PHOTO, "PPM"),
    "pgm 16": save(DEEP, "PPM"),
    "avif": save(PHOTO, "AVIF"),
    "avif animated": save(PHOTO, "AVIF", save_all=True, append_images=FRAMES),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_file_ends_as_a_reason_or_as_the_same_pixels(name: str) -> None:
    data = WHOLE[name]
    whole = read(data)
    for end in [*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 12, len(data))]:
        why = reason(data[:end])
        assert why in (None, "empty", "not_an_image", "truncated", "corrupt")
        assert why or apart(read(data[:end]), whole) == 0


@pytest.mark.parametrize(
    "name", ["jpeg", "jpeg optimised", "jpeg restarts", "jpeg grey", "jpeg cmyk"]
)
def test_a_cut_jpeg_that_was_given_an_end_marker_is_truncated(name: str) -> None:
    data = WHOLE[name]
    scan = data.rindex(b"\xff\xda") + 20
    for end in range(scan, len(data) - 14, 7):
        assert reason(data[:end] + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize(
    "tags",
    [
        {"t259": (3, 1, 8), "t279": (4, 1, 999)},
        {"t273": (4, 1, 999)},
        {"t529": (5, 3, 999)},
    ],
    ids=["strip", "offset", "coefficients"],
)
def test_a_tiff_that_points_past_its_end_is_truncated(
    tags: dict[str, tuple[int, int, int]],
) -> None:
    assert reason(grey_tiff(8, b"\0" * 4, **tags)) == "truncated"


def test_a_progressive_jpeg_without_its_last_scan_is_truncated() -> None:
    data = WHOLE["jpeg progressive"]
    assert reason(data[: data.rindex(b"\xff\xda")] + b"\xff\xd9") == "truncated"


def damaged(data: bytes, random_: random.Random) -> bytes:
    """A few bits flipped, half of the time near the start, where the structure is."""
    changed = bytearray(data)
    for _ in range(random_.choice((1, 1, 4, 16))):
        reach = random_.choice((64, len(data)))
        changed[random_.randrange(reach)] ^= 1 << random_.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("name", WHOLE)
def test_flipped_bits_raise_nothing_but_unreadable(name: str) -> None:
    random_ = random.Random(name)
    for _ in range(60):
        data = damaged(WHOLE[name], random_)
        with warnings.catch_warnings(action="error"):
            refused = [refusal(images.read, data, LIMITS)]
            refused += [refusal(images.strip_metadata, data, form) for form in STRIPPABLE]
        for error in filter(None, refused):
            assert error.reason in images.REASONS
            assert error.detail.isprintable()
            assert " at 0x" not in error.detail


JPEGS = {
    **{name: data for name, data in WHOLE.items() if name.startswith("jpeg")},
    "jpeg halved across": save(PHOTO, "JPEG", subsampling=1),
    "jpeg stored as rgb": save(PHOTO, "JPEG", keep_rgb=True),
    "jpeg of a pixel": save(PHOTO.resize((1, 1)), "JPEG"),
    "jpeg turned": save(PHOTO, "JPEG", exif=exif(6)),
    "jpeg with a profile": save(PHOTO, "JPEG", icc_profile=ICC),
}


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_that_is_not_opened_has_the_header_and_pixels_of_one_that_is(
    name: str, monkeypatch
) -> None:
    random_ = random.Random(name)
    files = [JPEGS[name], *(damaged(JPEGS[name], random_) for _ in range(100))]
    first = [outcome(data) for data in files]
    monkeypatch.setattr(pixels, "_quickly", lambda *_: None)
    assert first == [outcome(data) for data in files]


def outcome(data: bytes) -> object:
    """What is declared, and all four bytes of each pixel; or why there is nothing."""
    try:
        header, image = images.read(data, LIMITS)
    except Unreadable as error:
        return error.reason, error.detail
    return header, image.mode, image.size, image.convert("RGBX").tobytes()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"\0", "not_an_image"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
        (b"Not found\n", "not_an_image"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "not_an_image"),
        (b"%PDF-1.7\n", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
        (b"8BPS\0\1" + b"\0" * 40, "not_an_image"),
        (save(PHOTO, "ICO"), "not_an_image"),
        (save(PHOTO, "JPEG2000"), "not_an_image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1", "not_an_image"),
        (b"BMW is a maker of cars", "not_an_image"),
        (b"P6 is a format", "not_an_image"),
        (b"\xff\xd8\xff\xd9", "corrupt"),
        (WHOLE["png"].replace(b"IDAT", b"IDaT"), "corrupt"),
        (WHOLE["png"][:-16] + b"\0" + WHOLE["png"][-15:], "corrupt"),
    ],
)
def test_what_is_no_image_says_so(data: bytes, expected: str) -> None:
    assert reason(data) == expected


def test_a_finding_survives_the_way_between_processes() -> None:
    error = pickle.loads(
        pickle.dumps(Unreadable("corrupt", "<io object at 0x7f12>\n on two lines"))
    )
    assert (error.reason, error.detail) == ("corrupt", "<io object> on two lines")


# Limits and bombs


def test_limits_are_inclusive() -> None:
    data, (width, height) = WHOLE["png"], PHOTO.size
    assert reason(data, Limits(width * height, len(data))) is None
    assert reason(data, Limits(width * height - 1, len(data))) == "too_many_pixels"
    assert reason(data, Limits(width * height, len(data) - 1)) == "too_many_bytes"


def huge_gif(side: int) -> bytes:
    """One frame that is far larger than the screen it declares."""
    return b"GIF89a\1\0\1\0\0\0\0," + struct.pack("<4HB", 0, 0, side, side, 0) + b"\2\0;"


def test_only_our_own_limit_counts() -> None:
    with warnings.catch_warnings(action="error"):
        assert images.header(huge_gif(40_000), Limits(2**31, 10**6)).width == 40_000


def _webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(body)) + body for name, body in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _scans(count: int) -> bytes:
    data = WHOLE["jpeg progressive"]
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


BOMBS: dict[str, tuple[bytes, str]] = {
    "png": (png(60_000, 60_000, 8, 6), "too_many_pixels"),
    "webp": (
        _webp((b"VP8X", b"\2\0\0\0" + b"\xff\x3f\0" * 2), (b"ANIM", b"\0" * 6)),
        "too_many_pixels",
    ),
    "gif": (huge_gif(2**16 - 1), "too_many_pixels"),
    "bmp": (
        WHOLE["bmp"][:18] + struct.pack("<ii", 2**30, 2**30) + WHOLE["bmp"][26:],
        "too_many_pixels",
    ),
    "ppm": (b"P6 999999 999999 255\n", "too_many_pixels"),
    "tiff": (grey_tiff(8, b"\0" * 4, t256=(4, 1, 2**20), t257=(4, 1, 2**20)), "too_many_pixels"),
    "tiff tile": (
        grey_tiff(8, b"\0" * 4, t259=(3, 1, 8), t322=(4, 1, 2**16), t323=(4, 1, 2**14)),
        "corrupt",
    ),
    "tiff tags": (grey_tiff(8, b"\0" * 4, t273=(4, 2**24, 8)), "corrupt"),
    "jpeg scans": (_scans(5_000), "corrupt"),
    "jpeg segments": (b"\xff\xd8" + b"\xff\xfe\0\2" * 200_000 + b"\xff\xd9", "corrupt"),
    "png chunks": (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"") * 80_000 * 2, "corrupt"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    data, expected = BOMBS[name]
    with pytest.raises(Unreadable) as refused:
        images.header(data, Limits(100_000_000, 10_000_000))
    assert refused.value.reason == expected


def test_bombs_are_refused_without_the_memory_they_declare() -> None:
    declared = {name: data for name, (data, why) in BOMBS.items() if why == "too_many_pixels"}
    script = (
        "import pickle, resource, sys\n"
        "from imagemill import images\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for data in pickle.load(sys.stdin.buffer):\n"
        "    try: images.read(data, images.Limits(100_000_000, 10_000_000))\n"
        "    except images.Unreadable: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, input=pickle.dumps([*declared.values()]), check=True, capture_output=True
    )
    assert int(done.stdout) < 20_000  # KiB; the smallest of them would take 1 GiB


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(30_000_000), 9)),
        chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(30_000_000), 9)),
    ],
)
def test_compressed_metadata_is_never_expanded(extra: bytes) -> None:
    assert reason(png(1, 1, 8, 0, extra, rows=b"\0\x05")) is None


def test_directories_that_loop_are_read_once() -> None:
    start = 8 + 2 + 12 * 6 + 4
    tags = {256: (4, 1, 4), 257: (4, 1, 1), 258: (3, 1, 8), 262: (3, 1, 1), 273: (4, 1, start)}
    data = tiff(tags | {279: (4, 1, 4)}, after=b"\1\2\3\4", following=8)
    assert header(data).frames == 1
    assert np.asarray(read(data)).ravel().tolist() == [1, 2, 3, 4]


def test_exif_directories_that_loop_are_harmless() -> None:
    block = tiff({ORIENTATION: (3, 1, 6), 34665: (4, 1, 8), GPS: (4, 1, 8)}, following=8)
    found = header(save(PHOTO, "JPEG", exif=b"Exif\0\0" + block))
    assert (found.orientation, found.gps) == (6, True)


# Metadata


def private(form: str) -> bytes:
    """An upright file with everything that must go, and an ICC profile, which must stay."""
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"comment": b"SECRET", "xmp": b"<x>SECRET</x>"},
        "PNG": {},
        "WEBP": {"lossless": True, "xmp": b"<x>SECRET</x>"},
    }
    data = save(PHOTO, form, exif=exif(1, "SECRET"), icc_profile=ICC, **options[form])
    if form == "PNG":
        end = data.index(b"IDAT") - 4
        data = (
            data[:end] + chunk(b"tEXt", b"Author\0SECRET") + chunk(b"prVt", b"SECRET") + data[end:]
        )
    if form == "JPEG":
        hidden = b"\xff\xed\0\x16Photoshop 3.0\0SECRET" + b"\xff\xe7\0\x08SECRET"
        data = data[:2] + hidden + data[2:]
    return data + b"\0SECRET trailer"


@pytest.mark.parametrize("form", STRIPPABLE)
def test_stripping_removes_what_is_private_and_nothing_else(form: str) -> None:
    data = private(form)
    assert header(data).gps
    assert images.meets_contract(header(data))
    bare = images.strip_metadata(data, form)
    found = header(bare)
    assert (found.exif, found.gps, found.icc) == (False, False, True)
    assert b"SECRET" not in bare
    assert Image.open(io.BytesIO(bare)).info["icc_profile"] == ICC
    assert apart(read(bare), read(data)) == 0
    assert images.strip_metadata(bare, form) == bare


@pytest.mark.parametrize("form", STRIPPABLE)
def test_stripped_files_read_the_same_in_plain_pillow(form: str) -> None:
    data = private(form)
    whole, bare = (Image.open(io.BytesIO(b)) for b in (data, images.strip_metadata(data, form)))
    assert np.array_equal(np.asarray(whole), np.asarray(bare))


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "jpeg restarts", "jpeg cmyk"])
def test_stripping_a_jpeg_keeps_its_scans_byte_for_byte(name: str) -> None:
    data = WHOLE[name]
    first = data.index(b"\xff\xda")
    assert images.strip_metadata(data + b"video", "JPEG").endswith(data[first:])


def test_the_thumbnail_inside_a_jfif_header_goes() -> None:
    data = WHOLE["jpeg"]
    thumbnail = b"\xff\xe0" + struct.pack(">H", 16 + 3) + data[6:18] + b"\1\1" + b"\1\2\3"
    assert images.strip_metadata(data[:2] + thumbnail + data[20:], "JPEG") == data


def test_secondary_pictures_in_a_jpeg_go() -> None:
    bare = images.strip_metadata(WHOLE["mpo"], "JPEG")
    assert b"MPF" not in bare
    assert bare.count(b"\xff\xd8\xff") == 1


def test_a_stripped_webp_does_not_announce_what_it_lost() -> None:
    data = private("WEBP")
    flags = data.index(b"VP8X") + 8
    assert (data[flags] & 0x0C, images.strip_metadata(data, "WEBP")[flags] & 0x0C) == (0x0C, 0)


def test_a_chunk_of_odd_length_keeps_its_padding() -> None:
    data = save(PHOTO, "WEBP", icc_profile=b"odd")
    assert images.strip_metadata(data, "WEBP") == data


@pytest.mark.parametrize("form", ["GIF", "TIFF", "BMP", "AVIF", "PPM"])
def test_other_formats_cannot_be_stripped(form: str) -> None:
    with pytest.raises(ValueError, match="encode it anew"):
        images.strip_metadata(b"", form)


# The contract and writing


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (WHOLE["jpeg"], True),
        (WHOLE["jpeg progressive"], True),
        (WHOLE["jpeg grey"], True),
        (WHOLE["png"], True),
        (WHOLE["webp"], True),
        (WHOLE["mpo"], True),
        (WHOLE["jpeg cmyk"], False),
        (WHOLE["jpeg exif"], False),
        (WHOLE["png palette"], False),
        (WHOLE["png 16"], False),
        (png(1, 1, 4, 0), False),
        (png(1, 1, 8, 0, chunk(b"tRNS", b"\0\0")), False),
        (save(RGBA, "PNG"), False),
        (WHOLE["apng"], False),
        (WHOLE["bmp"], False),
        (WHOLE["tiff"], False),
        (WHOLE["avif"], False),
    ],
)
def test_only_upright_opaque_8_bit_stills_meet_the_contract(data: bytes, expected: bool) -> None:
    assert images.meets_contract(header(data)) is expected


@pytest.mark.parametrize("image", [PHOTO, GREY], ids=["RGB", "L"])
@pytest.mark.parametrize(("form", "tolerance"), [("JPEG", 25), ("PNG", 0), ("WEBP", 0)])
def test_what_is_encoded_reads_back(image: Image.Image, form: str, tolerance: int) -> None:
    data = images.encode(image, form, 95)
    expected = image.convert("RGB") if form == "WEBP" else image
    assert apart(read(data), expected) <= tolerance
    assert images.meets_contract(header(data))


@pytest.mark.parametrize("form", STRIPPABLE)
def test_equal_pixels_give_equal_bytes_without_metadata(form: str) -> None:
    laden = PHOTO.copy()
    laden.info = {
        "icc_profile": ICC,
        "comment": b"SECRET",
        "exif": exif(6),
        "dpi": (9, 9),
    }
    data = images.encode(laden, form, 90)
    assert data == images.encode(photo(), form, 90)
    assert images.strip_metadata(data, form) == data
    assert laden.info["icc_profile"] == ICC


def test_a_jpeg_keeps_chroma_at_full_resolution() -> None:
    data = images.encode(PHOTO, "JPEG", 90)
    frame = data.index(b"\xff\xc0")
    assert data[frame + 11] == 0x11


@pytest.mark.parametrize("quality", [90, 95, 100])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_noise_is_encoded_though_it_takes_more_bytes_than_pillow_allows(
    mode: str, quality: int
) -> None:
    shape = (400, 300, 3) if mode == "RGB" else (400, 300)
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8))
    before = ImageFile.MAXBLOCK
    data = images.encode(noise, "JPEG", quality)
    assert before == ImageFile.MAXBLOCK
    difference = np.asarray(Image.open(io.BytesIO(data))).astype(int) - np.asarray(noise)
    assert np.abs(difference).mean() < (20 if mode == "RGB" else 6)  # colours beyond YCbCr's


@pytest.mark.parametrize(
    ("image", "form", "quality"),
    [(RGBA, "PNG", 90), (PHOTO, "GIF", 90), (PHOTO, "JPEG", 0), (PHOTO, "JPEG", 101)],
)
def test_what_cannot_be_encoded_says_so(image: Image.Image, form: str, quality: int) -> None:
    with pytest.raises(ValueError, match=r"cannot encode|quality"):
        images.encode(image, form, quality)


def test_decoders_name_their_versions_in_one_line() -> None:
    line = images.decoders()
    assert "\n" not in line
    for name in (
        "pillow",
        "libjpeg_turbo",
        "zlib",
        "webp",
        "avif",
        "libtiff",
        "littlecms2",
        "simplejpeg",
    ):
        assert re.search(rf"\b{name}=\d", line)


def test_every_reason_has_a_sentence() -> None:
    assert all(re.fullmatch(r"[A-Z].*\.", sentence) for sentence in images.REASONS.values())


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("side", [(112, 112), (31, 9), (8, 65)])
def test_a_ready_jpeg_has_the_pixels_that_pillow_gives_it(side, progressive, subsampling):
    options = {"quality": 80, "subsampling": subsampling, "progressive": progressive}
    for mode in ("L", "RGB"):
        data = make.file(draw.photo(3, *side).convert(mode), "JPEG", **options)
        plain = Image.open(io.BytesIO(data))
        assert images.decode_ready(data, side, "RGB").tobytes() == plain.convert("RGB").tobytes()
        plain = Image.open(io.BytesIO(data))
        plain.draft("L", None)
        assert images.decode_ready(data, side, "L").tobytes() == plain.convert("L").tobytes()


def test_a_ready_jpeg_that_was_damaged_since_is_unreadable_or_as_pillow_shows_it():
    data = make.file(draw.photo(1, 64, 64), "JPEG")
    with pytest.raises(images.Unreadable):
        images.decode_ready(data[:200], (64, 64), "L")
    warned = data[:-40] + data[-20:]  # of which libjpeg only warns
    assert images.decode_ready(warned, (64, 64), "RGB").shape == (64, 64, 3)
