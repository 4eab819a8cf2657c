"""Packages as PyTorch reads them: a map-style and an iterable dataset, and a faster loader."""

from imagemill.torch.datasets import Dataset, IterableDataset, collate
from imagemill.torch.loader import Loader

__all__ = ["Dataset", "IterableDataset", "Loader", "collate"]
