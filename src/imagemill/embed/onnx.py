"""Any model in an ONNX file, run by onnxruntime."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import JsonValue

from imagemill.embed import graph
from imagemill.embed.device import GROUP, Device, chosen
from imagemill.embed.installed import built, model_file, module, sha256, versions
from imagemill.embed.pixels import Pixels
from imagemill.embed.vectors import Floats, Network, Pool, Power, pooled
from imagemill.errors import BuildError

VERSION = 1  # raise it when the code here, or in the modules it uses, gives other values

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}

_PROVIDERS: dict[str, list[Any]] = {
    "cpu": ["CPUExecutionProvider"],
    # Neither of its usual ways: to try what is fastest today, and to round to 19 bits.
    "cuda": [
        ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}),
        "CPUExecutionProvider",
    ],
}


class Onnx(Pixels):
    """A model file, how it wants its pixels, and which of its tensors is the vector."""

    kind: Literal["onnx"]
    path: str
    """Relative to the project, or ``package://name/rest`` in an installed package."""
    layout: Literal["NCHW", "NHWC"]
    """Order of the input's axes: channels first, or last."""
    input: str | None
    """Name of the input; null: the model's first."""
    output: str | None
    """Name of any tensor of the graph, an output of the model or not; null: its first output."""
    pool: Pool
    """none: the tensor is a vector already; mean, gem: how its map is pooled."""
    power: Power
    """Of each number before the vector gets its length; 0.5 is their root, 1 leaves them."""
    device: Device

    def fingerprint(self) -> dict[str, JsonValue]:
        """Return all that could change a vector."""
        path = model_file("path", self.path)
        beside = [path.parent / each for each in graph.companions(_content(path, self.path))]
        for each in beside:
            if not each.is_file():
                raise BuildError(
                    f"measure.embedder.path: {self.path}: some of its weights are in the file "
                    f"{each}, which is not there; put it there"
                )
        return {
            **self.model_dump(mode="json", exclude={"path", "device"}),
            "version": VERSION,
            "model": sha256([path, *beside]),
            "runs_on": self._device(),
            "by": " ".join(built("onnxruntime")),
            **versions("numpy", "PIL"),
        }

    def load(self) -> Network:
        """Read the model; raises ``BuildError`` where it does not fit these settings."""
        path, device = model_file("path", self.path), self._device()
        session = _session(path, self.path, self.output, device)
        given = self._input(session)
        fixed = given.shape[0] if isinstance(given.shape[0], int) else 0
        output = self.output or session.get_outputs()[0].name
        run, group = _runner(session, output, given, self), fixed or GROUP[device]
        width = run(self._blank(group)).shape[1]
        return Network(self._array, run, group, width, self.power)

    def _device(self) -> Literal["cpu", "cuda"]:
        return chosen(self.device, usable=built("onnxruntime")[0] == "onnxruntime-gpu")

    def _array(self, image: Any) -> Floats:
        pixels = self.array(image)
        return pixels if self.layout == "NHWC" else pixels.transpose(2, 0, 1)

    def _blank(self, group: int) -> Floats:
        channels = 1 if self.channels == "L" else 3
        last = (self.side, self.side, channels)
        first = (channels, self.side, self.side)
        return np.zeros((group, *(last if self.layout == "NHWC" else first)), np.float32)

    def _input(self, session: Any) -> Any:
        """Return the input to feed; raises ``BuildError`` where it takes something else."""
        inputs = {each.name: each for each in session.get_inputs()}
        name = self.input or next(iter(inputs))
        if name not in inputs:
            raise BuildError(
                f"measure.embedder.input: {self.path} has no input {name}; it has "
                f"{', '.join(inputs)}"
            )
        wanted = self._blank(1).shape
        given = inputs[name].shape
        fits = len(given) == len(wanted) and all(
            not isinstance(has, int) or has == want
            for has, want in zip(given[1:], wanted[1:], strict=True)
        )
        if not fits or inputs[name].type not in _DTYPES:
            raise BuildError(
                f"measure.embedder: {self.path}: the input {name} takes {_shape(given)} of "
                f"{inputs[name].type}, but these settings give {_shape(['n', *wanted[1:]])}; "
                "set `side`, `channels` and `layout` to what it takes"
            )
        return inputs[name]


def _content(path: Path, shown: str) -> bytes:
    content = path.read_bytes()
    try:
        graph.tensors(content)
    except ValueError as error:
        raise BuildError(f"measure.embedder.path: {shown}: not an ONNX model: {error}") from error
    return content


def _session(path: Path, shown: str, output: str | None, device: str) -> Any:
    """Open the model with one thread, and ``output`` among its outputs."""
    ort = module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # of a GPU that is not there we speak ourselves
    folder = "session.model_external_initializers_file_folder_path"
    options.add_session_config_entry(folder, str(path.parent))
    content = _content(path, shown)
    try:
        session = ort.InferenceSession(content, options, providers=_PROVIDERS[device])
        if output not in (None, *(each.name for each in session.get_outputs())):
            more = graph.exposed(content, _known(output or "", shown, content))
            session = ort.InferenceSession(more, options, providers=_PROVIDERS[device])
    except _refusals() as error:
        first = str(error).splitlines()[0]
        raise BuildError(f"measure.embedder.path: {shown}: onnxruntime refuses it: {first}") from (
            error
        )
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise BuildError(
            "measure.embedder.device: onnxruntime cannot use the GPU here; install CUDA and cuDNN "
            "as `onnxruntime-gpu` asks for them, or set measure.embedder.device to cpu"
        )
    return session


def _known(output: str, shown: str, content: bytes) -> str:
    """Return ``output`` where the graph has it; raises ``BuildError`` with names like it."""
    names = graph.tensors(content)
    if output in names:
        return output
    near = get_close_matches(output, names, n=5, cutoff=0.4) or names[-5:]
    raise BuildError(
        f"measure.embedder.output: {shown} has no tensor {output}; near it: {', '.join(near)}"
    )


def _runner(session: Any, output: str, given: Any, settings: Onnx) -> Callable[[Floats], Floats]:
    """Return what runs a batch and gives its vectors."""
    dtype = _DTYPES[given.type]

    def run(batch: Floats) -> Floats:
        try:
            found = session.run([output], {given.name: batch.astype(dtype, copy=False)})[0]
        except _refusals() as error:
            first = str(error).splitlines()[0]
            raise BuildError(
                f"measure.embedder: {settings.path} refuses {_shape(batch.shape)}: {first}"
            ) from error
        rows = pooled(np.asarray(found, np.float32), settings.pool)
        if rows is None or len(rows) != len(batch):
            raise BuildError(_unfit(output, np.shape(found), settings))
        return rows

    return run


def _unfit(output: str, shape: tuple[int, ...], settings: Onnx) -> str:
    hint = (
        "set `pool` to gem or mean, or name another tensor in `output`"
        if settings.pool == "none" and len(shape) == 4
        else "name another tensor in `output`, or change `pool`"
    )
    return (
        f"measure.embedder.output: {settings.path}: the tensor {output} is {_shape(shape)} for an "
        f"image, of which `pool: {settings.pool}` makes no vector; {hint}"
    )


def _shape(axes: Any) -> str:
    return "(" + ", ".join(str(each) if each is not None else "n" for each in axes) + ")"


def _refusals() -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises; most of its errors have no base class of their own."""
    state = module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = (each for each in vars(state).values() if isinstance(each, type))
    return (ValueError, *(each for each in own if issubclass(each, Exception)))
