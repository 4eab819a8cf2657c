"""Faces by dlib; the tests are skipped where it is not installed."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tests import draw
from tests.test_embed import half_bytes, photographs, settings

NEEDED = "pip install 'imagemill[faces]'"
pytest.importorskip("dlib", reason=NEEDED)
pytest.importorskip("face_recognition_models", reason=NEEDED)


def astronaut() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut())


def test_a_face_is_found_wherever_it_is() -> None:
    """The same person from a tight crop, a mirrored, a dark and a padded photo."""
    photo = astronaut()
    others = [
        photo.crop((120, 0, 360, 260)),
        ImageOps.mirror(photo),
        ImageEnhance.Brightness(photo).enhance(0.6),
        ImageOps.expand(photo, 80, "white"),
    ]
    model = settings("face_dlib").load()
    rows = model([photo, *others])
    assert rows.shape == (5, 128)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert (rows @ rows[0]).min() > 0.95
    strangers = model(photographs()[1:])
    assert (strangers @ rows[0]).max() < (rows @ rows[0]).min()


def test_the_whole_image_counts_where_no_face_is_found_or_asked_for() -> None:
    found, whole = (settings("face_dlib", face=face) for face in ("found", "whole"))
    without = draw.photo(1)
    assert half_bytes(found, [without]) == half_bytes(whole, [without])
    assert half_bytes(found, [astronaut()]) != half_bytes(whole, [astronaut()])
    assert found.fingerprint() != whole.fingerprint()


def test_faces_give_the_same_bits_in_any_order() -> None:
    photos = [astronaut(), draw.photo(1), draw.photo(2)]
    embedder = settings("face_dlib")
    once = half_bytes(embedder, photos)
    assert half_bytes(embedder, photos[::-1])[::-1] == once
