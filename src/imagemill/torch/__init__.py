"""Packages as PyTorch reads them: a map-style and an iterable dataset, and a faster loader."""

from importlib.util import find_spec

if find_spec("torch") is None:
    raise ImportError("imagemill.torch needs PyTorch, which is not installed: pip install torch")

from imagemill.torch.datasets import Dataset, IterableDataset, collate
from imagemill.torch.loader import Loader
from imagemill.torch.sampler import Sampler

__all__ = ["Dataset", "IterableDataset", "Loader", "Sampler", "collate"]
