"""Models of timm; the tests are skipped where it is not installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagemill.errors import BuildError
from tests import draw
from tests.test_embed import half_bytes, settings

NEEDED = "pip install 'imagemill[torch]'"
torch: Any = pytest.importorskip("torch", reason=NEEDED)
timm: Any = pytest.importorskip("timm", reason=NEEDED)


def weights(path: Path, model: str = "resnet18", **options: Any) -> Path:
    """Write the weights of a model as it starts out, with its classifier."""
    torch.manual_seed(0)
    torch.save(timm.create_model(model, pretrained=False, **options).state_dict(), path)
    return path


@pytest.mark.parametrize(("pool", "width"), [("none", 512), ("gem", 512), ("mean", 512)])
def test_any_model_of_timm_runs_with_weights_from_a_file(
    tmp_path: Path, pool: str, width: int
) -> None:
    path = weights(tmp_path / "w.pth")
    embedder = settings("timm", model="resnet18", weights=str(path), pool=pool, side=64)
    rows = embedder.load()([draw.photo(1), draw.photo(2)])
    assert rows.shape == (2, width)
    assert embedder.fingerprint()["model"]


def test_the_mean_of_the_last_map_is_the_vector_of_a_residual_network(tmp_path: Path) -> None:
    path = str(weights(tmp_path / "w.pth"))
    rows = [
        settings("timm", model="resnet18", weights=path, pool=pool, side=64).load()([draw.photo(1)])
        for pool in ("none", "mean")
    ]
    assert np.abs(rows[0] - rows[1]).max() < 1e-5


def test_weights_may_be_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    given = torch.load(weights(tmp_path / "w.pth"), weights_only=True)
    save_file(given, tmp_path / "w.safetensors")
    both = [
        settings("timm", model="resnet18", weights=str(tmp_path / name), side=64)
        for name in ("w.pth", "w.safetensors")
    ]
    assert half_bytes(both[0], [draw.photo(1)]) == half_bytes(both[1], [draw.photo(1)])


def of_another(path: Path) -> Path:
    return weights(path, "resnet34")


def narrower(path: Path) -> Path:
    return weights(path, "resnet18", in_chans=1)


def program(path: Path) -> Path:
    """Write a file whose reading would run code."""
    torch.save(print, path)
    return path


def cut(path: Path) -> Path:
    path.write_bytes(weights(path).read_bytes()[:5000])
    return path


def test_safetensors_that_are_cut_say_so(tmp_path: Path) -> None:
    path = cut(tmp_path / "w.safetensors")
    with pytest.raises(BuildError, match=r"w\.safetensors: not a file of weights alone"):
        settings("timm", model="resnet18", weights=str(path)).load()


@pytest.mark.parametrize(
    ("write", "changed", "said"),
    [
        (weights, {"model": "resnet181"}, "measure.embedder.model: timm has no resnet181; did you"),
        (weights, {"model": "resnet34"}, "not the weights of this model: no weights for layer1.2"),
        (narrower, {}, "not the weights of this model: .*size mismatch for conv1.weight"),
        (program, {}, "measure.embedder.weights: .*w.pth: not a file of weights alone"),
        (cut, {}, "measure.embedder.weights: .*w.pth: not a file of weights alone"),
        (lambda path: path, {}, "measure.embedder.weights: .*w.pth: no file"),
        (weights, {"device": "cuda"}, "measure.embedder.device: torch cannot use the GPU here"),
        (weights, {"model": "vit_tiny_patch16_224", "pool": "gem"}, "not the weights of this"),
    ],
)
def test_weights_that_do_not_fit_say_so(
    tmp_path: Path, write: Any, changed: dict[str, Any], said: str
) -> None:
    if changed.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("torch can use a GPU here")
    path = str(write(tmp_path / "w.pth"))
    with pytest.raises(BuildError, match=said) as caught:
        settings("timm", **{"model": "resnet18", "weights": path, "side": 64, **changed}).load()
    assert "\n" not in str(caught.value)


def test_a_model_without_a_map_has_none_to_pool(tmp_path: Path) -> None:
    path = str(weights(tmp_path / "w.pth", "vit_tiny_patch16_224"))
    with pytest.raises(BuildError, match=r"measure.embedder.pool: .*\(1, 197, 192\)"):
        settings("timm", model="vit_tiny_patch16_224", weights=path, pool="gem").load()
