"""Run a torch model: on a GPU where there is one, on a CPU with one thread."""

import ast
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import JsonValue

from imagemill.embed.device import GROUP, Device, chosen
from imagemill.embed.installed import folder, model_file, module, sha256, versions
from imagemill.embed.pixels import Pixels
from imagemill.embed.vectors import Floats, Network, Pool, Power, pooled
from imagemill.errors import BuildError

VERSION = 1  # raise it when the code here, or in the modules it uses, gives other values


class TorchModel(Pixels):
    """What every model of torch has."""

    weights: str
    """File of the weights: relative to the project, or ``package://name/rest``. Nothing is ever
    fetched."""
    pool: Pool
    """none: the model's own vector; mean, gem: how its last map of features is pooled."""
    power: Power
    """Of each number before the vector gets its length; 0.5 is their root, 1 leaves them."""
    device: Device

    def _parts(self, *packages: str) -> dict[str, JsonValue]:
        """Return the fingerprint; torch itself need not be imported for it."""
        return {
            **self.model_dump(mode="json", exclude={"weights", "device"}),
            "version": VERSION,
            "model": sha256([model_file("weights", self.weights)]),
            "runs_on": self._device(),
            **versions("torch", *packages, "numpy", "PIL"),
        }

    def _device(self) -> Literal["cpu", "cuda"]:
        return chosen(self.device, usable=_for_cuda(folder("torch")))

    def _state(self) -> dict[str, Any]:
        """Return the weights by name; raises ``BuildError`` where the file has none."""
        path = model_file("weights", self.weights)
        read = _safetensors if path.suffix == ".safetensors" else _unpickled
        found = read(path, self.weights)
        inner = found.get("state_dict", found.get("model", found))
        return {name.removeprefix("module."): value for name, value in inner.items()}

    def _fill(self, model: Any) -> None:
        """Give a model its weights. Those of a classifier that it lacks may be left over."""
        try:
            missing = model.load_state_dict(self._state(), strict=False).missing_keys
        except RuntimeError as error:  # a shape that differs
            raise BuildError(self._unfit(" ".join(str(error).split())[:200])) from error
        if missing:
            raise BuildError(self._unfit(f"no weights for {', '.join(missing[:3])}"))

    def _unfit(self, why: str) -> str:
        return f"measure.embedder.weights: {self.weights}: not the weights of this model: {why}"

    def _network(self, model: Any, forward: Callable[[Any], Any]) -> Network:
        """Return ``model`` ready to run; ``forward`` is the part of it to run."""
        torch, device = module("torch"), self._device()
        if device == "cuda" and not torch.cuda.is_available():
            raise BuildError(
                "measure.embedder.device: torch cannot use the GPU here; install a torch that is "
                "built for this driver's CUDA, or set measure.embedder.device to cpu"
            )
        _be_repeatable(torch)
        model.eval().to(device)

        def run(batch: Floats) -> Floats:
            with torch.inference_mode():
                found = forward(torch.from_numpy(batch).to(device)).float().cpu().numpy()
            rows = pooled(np.asarray(found, np.float32), self.pool)
            if rows is None:
                raise BuildError(
                    f"measure.embedder.pool: the model gives {found.shape}, of which "
                    f"`pool: {self.pool}` makes no vector; use another of none, mean, gem"
                )
            return rows

        group = GROUP[device]
        width = run(np.zeros((group, 3, self.side, self.side), np.float32)).shape[1]
        return Network(self._array, run, group, width, self.power)

    def _array(self, image: Image.Image) -> Floats:
        return np.ascontiguousarray(self.array(image).transpose(2, 0, 1))


def _be_repeatable(torch: Any) -> None:
    """Give the same bits each time: one thread, and on a GPU neither TF32 nor a race of kernels."""
    torch.set_num_threads(1)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _unpickled(path: Path, shown: str) -> dict[str, Any]:
    try:
        found = module("torch").load(path, map_location="cpu", weights_only=True)
    except (EOFError, OSError, RuntimeError, ValueError, UnpicklingError) as error:
        raise _unreadable(shown, error) from error
    if not isinstance(found, dict):
        raise BuildError(f"measure.embedder.weights: {shown}: holds no weights by name")
    return found


def _safetensors(path: Path, shown: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = module("safetensors.torch").load_file(path)
    except module("safetensors").SafetensorError as error:
        raise _unreadable(shown, error) from error
    return found


def _unreadable(shown: str, error: Exception) -> BuildError:
    first = str(error).splitlines()[0] if str(error) else "it ends early"
    return BuildError(f"measure.embedder.weights: {shown}: not a file of weights alone: {first}")


def _for_cuda(package: Path) -> bool:
    """Tell whether an installed torch is built for CUDA, from the version file it ships."""
    tree = ast.parse((package / "version.py").read_text())
    values = {
        each.target.id: each.value
        for each in tree.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    found = values.get("cuda")
    return isinstance(found, ast.Constant) and found.value is not None
