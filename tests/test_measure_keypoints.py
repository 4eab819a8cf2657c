"""Keypoints are found again where a picture is cut, turned or mirrored."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Transpose

from imagemill.errors import BuildError
from imagemill.measure import Config
from imagemill.measure.keypoints import Sift, look
from tests import draw, make
from tests.crops import photographs

SIFT = Sift(kind="sift", most=64)
PHOTOS = [image for image in photographs()[:27] if min(image.size) >= 300]


def found(image: Image.Image, most: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes, mirrored hashes and places of an image's keypoints."""
    (row,) = Sift(kind="sift", most=most)([look(make.picture(image))])
    hashes, mirrored = (np.frombuffer(row[name], "<u8") for name in ("hashes", "mirrored"))
    return hashes, mirrored, np.frombuffer(row["places"], "<f2").reshape(-1, 4)


def share(one: np.ndarray, other: np.ndarray) -> float:
    """How many of the hashes are within 6 bits of one of the others."""
    if not len(one) or not len(other):
        return 0.0
    return float((np.bitwise_count(one[:, None] ^ other).min(axis=1) <= 6).mean())


def test_every_keypoint_has_two_hashes_and_a_place_in_the_image():
    for image in PHOTOS:
        hashes, mirrored, places = found(image)
        assert 0 < len(hashes) == len(mirrored) == len(places) <= 64
        sides = np.array(image.size) / max(image.size)
        assert ((places[:, :2] >= 0) & (places[:, :2] <= sides + 0.02)).all()
        assert (places[:, 2] > 0).all()


def test_keypoints_are_found_again_in_a_crop_and_in_a_turned_copy():
    crops, turns = [], []
    for image in PHOTOS:
        hashes, (width, height) = found(image)[0], image.size
        crops.append(
            share(found(image.crop((width // 10, height // 10, width, height)))[0], hashes)
        )
        turns.append(share(found(image.transpose(Transpose.ROTATE_90))[0], hashes))
    assert np.median(crops) > 0.3
    assert np.median(turns) > 0.6


def test_the_mirrored_hash_is_near_that_of_the_mirrored_image():
    ours, others = [], []
    for image in PHOTOS:
        hashes, mirrored, _ = found(image)
        theirs = found(image.transpose(Transpose.FLIP_LEFT_RIGHT))[0]
        ours.append(share(theirs, mirrored))
        others.append(share(theirs, hashes))
    assert np.median(ours) > 0.6
    assert np.median(others) < 0.1


def test_hashes_of_unlike_pictures_are_seldom_near():
    hashes = [found(image)[0] for image in PHOTOS[:10]]
    shares = [share(hashes[n], hashes[n - 1]) for n in range(10)]
    assert np.mean(shares) < 0.05


def test_the_ones_of_most_contrast_are_kept():
    few, many = found(PHOTOS[0], 8), found(PHOTOS[0], 64)
    for one, other in zip(few, many, strict=True):
        assert (one == other[:8]).all()


def digest() -> str:
    """Tell the keypoints of all photos apart from others."""
    return make.sha(b"".join(part.tobytes() for photo in PHOTOS for part in found(photo)))


def test_they_do_not_depend_on_what_the_processor_can_do():
    code = "from tests.test_measure_keypoints import digest; print(digest())"
    plain = {**os.environ, "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,FP16,AVX,SSE4.2,SSE4.1"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=plain, stdout=subprocess.PIPE, text=True, check=True
    )
    assert told.stdout.strip() == digest()


@pytest.mark.parametrize("side", [(1, 1), (3, 500), (96, 96), (40, 40)])
def test_small_long_and_flat_images_have_few_or_none(side):
    assert len(found(Image.new("RGB", side, (9, 9, 9)))[0]) == 0
    assert len(found(draw.photo(1, *side))[0]) <= 64


def test_what_is_missing_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("imagemill.measure.keypoints.find_spec", lambda _: None)
    with pytest.raises(BuildError, match=r"pip install 'imagemill\[keypoints\]'"):
        SIFT.fingerprint()


def test_none_takes_no_settings():
    given = {"max_pixels": 9, "max_bytes": 9, "embedder": None}
    assert Config(**given, keypoints={"kind": "none"}).keypoints is None
    with pytest.raises(ValueError, match=r"override /keypoints@measure\.keypoints: sift"):
        Config(**given, keypoints={"kind": "none", "most": 3})
