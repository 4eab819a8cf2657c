"""A network takes the background away, and is asked once for each image."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagemill.errors import BuildError
from imagemill.package.background import RemoveBackground
from tests import make, onnx_file
from tests.packaging import TRANSFORMS, Build

SIDE = 16


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network of one layer that takes what is red for the foreground."""
    path = tmp_path / "red.onnx"
    path.write_bytes(network([8.0, -8.0, -8.0]))
    return path


def network(colours: list[float]) -> bytes:
    """A 1 x 1 convolution over the channels, and a sigmoid."""
    nodes = [onnx_file.node("Conv", ["x", "w"], "sum"), onnx_file.node("Sigmoid", ["sum"], "mask")]
    weights = [onnx_file.weight("w", colours, 1, 3, 1, 1)]
    return onnx_file.model(nodes, onnx_file.given("x", 1, 3, SIDE, SIDE), ["mask"], weights)


def settings(model: Path, **more: object) -> dict[str, object]:
    usual = {"side": SIDE, "mean": [0.0] * 3, "std": [1.0] * 3, "level": 255, "content": None}
    return {"model": str(model), **usual, **more}


def remover(model: Path, **more: object) -> RemoveBackground:
    return RemoveBackground.model_validate(settings(model, **more))


def shirt() -> Image.Image:
    """A red square in the middle of green."""
    image = Image.new("RGB", (64, 48), (20, 180, 40))
    image.paste((210, 20, 20), (16, 12, 48, 36))
    return image


def test_what_the_network_takes_for_background_becomes_one_level(model):
    pixels = np.asarray(remover(model)(shirt())).astype(int)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels[20:28, 28:36] - (210, 20, 20)).max() < 8
    assert pixels[:4, :4].min() > 247
    grey = remover(model, level=0)(shirt().convert("L"))
    assert grey.mode == "L"


def test_a_mask_is_remembered_by_the_image_and_the_network(model, tmp_path):
    first = remover(model).remembering(tmp_path / "memo")
    mask = np.asarray(first.mask(shirt()))
    (file,) = (tmp_path / "memo").rglob("*.sqlite")
    with sqlite3.connect(file) as masks:
        masks.execute("UPDATE masks SET mask = ?", (make.file(Image.new("L", (64, 48), 7)),))
    assert (np.asarray(first.mask(shirt())) == 7).all()  # from the memo
    model.with_name("other.onnx").write_bytes(network([-8.0, 8.0, -8.0]))
    other = remover(model.with_name("other.onnx")).remembering(tmp_path / "memo")
    assert np.asarray(other.mask(shirt()))[0, 0] > mask[0, 0]


def test_a_package_has_images_without_background_however_many_work_on_it(model, tmp_path):
    step = {"_target_": f"{TRANSFORMS}RemoveBackground", **settings(model)}
    rows = {f"{n}.png": make.file(shirt().rotate(n)) for n in range(12)}
    one, two = Build(tmp_path / "one"), Build(tmp_path / "two")
    one.write(rows, more={"transforms": [step]})
    two.write(rows, make.workers(2), more={"transforms": [step]})
    assert one.files() == two.files()


def test_a_network_that_is_missing_or_another_is_said(model, tmp_path):
    with pytest.raises(BuildError, match=r"gone.onnx cannot be read .*put the ONNX file there"):
        remover(tmp_path / "gone.onnx")(shirt())
    with pytest.raises(BuildError, match="is not the file that the config was made with"):
        remover(model, content="0" * 64)(shirt())
