"""imagemill: a declarative, config-driven build system for image datasets."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from imagemill.readers.numbering import Labels
    from imagemill.readers.package import Package

__version__ = "0.1.0"


def open(  # noqa: A001 (as ``gzip.open``, ``wave.open`` and ``PIL.Image.open`` are called)
    path: "str | Path", labels: "Labels | Package | None" = None, renumber: bool = False
) -> "Package":
    """Open a package of any format: a folder of it, or the folder around.

    ``labels`` is the ``label_map`` that a model was trained with, as it was stored: a dict, a list,
    a JSON file or the earlier package. Where a label has another number now, ``LabelsChanged`` is
    warned of with the difference; with ``renumber`` labels get the numbers of ``labels`` instead,
    and new ones come behind. Raises ``imagemill.errors.BuildError`` for what is no package.
    """
    opened: Package = import_module("imagemill.readers").opened(path, labels, renumber)
    return opened


def __getattr__(name: str) -> Any:
    """Import ``imagemill.torch`` where it is named, so that ``import imagemill`` is enough."""
    if name in ("torch", "readers"):
        return import_module(f"imagemill.{name}")
    raise AttributeError(f"module 'imagemill' has no attribute '{name}'")
