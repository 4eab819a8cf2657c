"""Packages opened on a training machine, with NumPy and Pillow alone.

Nothing here imports what builds packages: neither DVC, Hydra nor Polars. ``imagemill-readers`` is
a distribution of these modules only.
"""

from imagemill.readers.errors import LabelsChanged, PackageError, WorkerError
from imagemill.readers.package import Item, Package, opened

__all__ = ["Item", "LabelsChanged", "Package", "PackageError", "WorkerError", "opened"]
