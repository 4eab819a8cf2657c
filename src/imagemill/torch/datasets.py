"""Datasets for ``torch.utils.data.DataLoader``; any start method, any number of workers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import data

from imagemill.readers.contents import Rows
from imagemill.readers.errors import PackageError
from imagemill.readers.order import Order, Shuffle, Uneven, batches
from imagemill.readers.package import Package, opened
from imagemill.readers.pixels import Images, Look, Mode, Shape
from imagemill.readers.work import Transform
from imagemill.torch import tensors
from imagemill.torch.tensors import Tensor


class _Reader:
    """What both datasets and the loader are made from."""

    def __init__(
        self,
        package: Package | str | Path,
        mode: Mode | None,
        size: tuple[int, int] | None,
        transform: Transform | None,
        dtype: Any,
    ) -> None:
        self.package = package if isinstance(package, Package) else opened(package)
        self.transform, self.dtype = transform, dtype
        self.reader = Images(self.package.contents, Look(mode, size))
        self._shape: Shape | None = None

    @property
    def shape(self) -> Shape:
        """Height, width and channels that every image must have, for batches."""
        if self._shape is None:
            self._shape = self.reader.shape(self.package.rows)
        return self._shape

    def batch(self, positions: Rows) -> tuple[Any, Tensor]:
        """Return images and labels at positions of the package."""
        rows = self.package.rows[positions]
        labels = tensors.numbers(self.package.contents.labels[rows])
        if self.transform is None:
            held = np.empty((len(rows), *self.shape), np.uint8)
            self.reader.fill(rows, held)
            return tensors.images(held, self.dtype), labels
        images = [self.transform(image) for image in self.reader.images(rows)]
        return data.default_collate([tensors.given(each, self.dtype) for each in images]), labels

    def items(self, positions: Rows) -> list[tuple[Any, Tensor]]:
        """Return pairs of image and label, of images of any sizes."""
        rows = self.package.rows[positions]
        labels = tensors.numbers(self.package.contents.labels[rows])
        images = self.reader.images(rows)
        made = [self.transform(image) if self.transform else image for image in images]
        return [(tensors.given(each, self.dtype), labels[at]) for at, each in enumerate(made)]


class Dataset(data.Dataset[Any], _Reader):
    """Rows of a package by number: an image, float32 (channels, height, width) 0..1, and a label.

    ``mode`` is ``L`` or ``RGB``; ``size`` (height, width) to resize to; ``transform`` is given an
    image of PIL, as torchvision gives it. Without a transform images are tensors of ``dtype``:
    a floating type, or uint8 for pixels as stored.
    """

    def __init__(
        self,
        package: Package | str | Path,
        *,
        mode: Mode | None = None,
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        dtype: Any = torch.float32,
    ) -> None:
        _Reader.__init__(self, package, mode, size, transform, dtype)

    def __len__(self) -> int:
        return len(self.package)

    @property
    def num_labels(self) -> int:
        """One more than the largest number of a label."""
        return self.package.num_labels

    def __getitem__(self, at: int) -> tuple[Any, Tensor]:
        """Return image and label of a row."""
        if not -len(self) <= at < len(self):
            raise IndexError(f"{self.package.path}: row {at:,} of {len(self):,}")
        return self.items(np.array([at], np.int64))[0]

    def __getitems__(self, at: Sequence[int]) -> "Batch":
        """Return many rows at once, which ``DataLoader`` asks for; much faster with ``collate``."""
        positions = np.asarray(at, np.int64)
        if self.transform is not None:
            return Batch(self.items(positions))
        try:
            images, labels = self.batch(positions)
        except PackageError as error:  # images of several sizes: a collate of others may take them
            return Batch(self.items(positions), error)
        return Batch(zip(images, labels, strict=True), (images, labels))


class Batch(list[tuple[Any, Any]]):
    """Pairs of image and label; ``whole`` has them as two tensors, or says why they make none."""

    def __init__(
        self, pairs: Any, whole: tuple[Tensor, Tensor] | PackageError | None = None
    ) -> None:
        super().__init__(pairs)
        self.whole = whole


def collate(batch: Sequence[Any]) -> Any:
    """Return a batch as tensors: ``DataLoader(..., collate_fn=imagemill.torch.collate)``.

    What ``default_collate`` gives, without copying images once more. Raises ``PackageError`` for
    images of several sizes.
    """
    whole = batch.whole if isinstance(batch, Batch) else None
    if isinstance(whole, PackageError):
        raise whole
    return data.default_collate(list(batch)) if whole is None else whole


def ranked(rank: int | None, world: int | None) -> tuple[int, int]:
    """Return rank and world size: those given, those of ``torch.distributed``, or 0 and 1."""
    if (rank is None) != (world is None):
        raise PackageError("give both rank and world, or neither")
    if rank is not None and world is not None:
        return rank, world
    spread = torch.distributed
    if spread.is_available() and spread.is_initialized():
        return spread.get_rank(), spread.get_world_size()
    return 0, 1


def shuffled(shuffle: bool | Shuffle) -> Shuffle:
    """Return how to shuffle; true means rows."""
    return ("rows" if shuffle else "none") if isinstance(shuffle, bool) else shuffle


def starts(package: Package) -> Rows:
    """Return the positions at which shards begin among the rows of a package."""
    shard = np.searchsorted(package.contents.source.starts(), package.rows, side="right")
    return np.flatnonzero(np.diff(shard, prepend=-1)).astype(np.int64)


class Batched(_Reader):
    """Batches in the order of an epoch; every rank gets its share of the rows."""

    def __init__(
        self,
        package: Package | str | Path,
        batch_size: int,
        order: Order,
        drop_last: bool,
        mode: Mode | None,
        size: tuple[int, int] | None,
        transform: Transform | None,
        dtype: Any,
    ) -> None:
        super().__init__(package, mode, size, transform, dtype)
        self.order = order
        self.batch_size, self.drop_last = counted("batch_size", batch_size, 1), drop_last
        self._epoch = self._given = self._start = 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch, also where the next iteration has fewer."""
        count = self.order.count(len(self.package))
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch. The epoch that a state was loaded for goes on where it was."""
        if epoch != self._epoch:
            self._epoch, self._given, self._start = epoch, 0, 0

    def _plan(self) -> list[Rows]:
        """Return the positions of each batch of the epoch."""
        positions = self.order.positions(self._epoch, len(self.package), starts(self.package))
        return batches(positions, self.batch_size, self.drop_last)


class IterableDataset(Batched, data.IterableDataset[Any]):
    """Batches of a package, in an order of its own: ``DataLoader(dataset, batch_size=None)``.

    Workers take turns, so that batches come in the same order for any number of them. Every rank
    gets its share of the rows. ``set_epoch`` before each epoch, as for a ``DistributedSampler``.
    """

    def __init__(
        self,
        package: Package | str | Path,
        batch_size: int,
        *,
        shuffle: bool | Shuffle = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        world: int | None = None,
        uneven: Uneven = "repeat",
        mode: Mode | None = None,
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        dtype: Any = torch.float32,
    ) -> None:
        order = Order(shuffled(shuffle), seed, *ranked(rank, world), uneven)
        super().__init__(package, batch_size, order, drop_last, mode, size, transform, dtype)
        self._workers = 1
        """Processes that took turns when the state was stored that is loaded."""
        # Epoch, by which workers that persist hear of the next; and 1 where workers read it.
        self._told = torch.tensor([0, 0]).share_memory_()
        self._heard = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._told.share_memory_()  # which a copy made by pickle is not

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch. The epoch that a state was loaded for goes on where it was."""
        self._heard = epoch
        self._told[0] = epoch
        super().set_epoch(epoch)

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        worker = data.get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        told = int(self._told[0])
        self._told[1] = worker is not None
        if told != self._heard:
            self._heard = told
            super().set_epoch(told)
        plan = self._plan()
        numbers = self._remaining(first, step, len(plan))
        self._given, self._start, self._workers = self._start, 0, step
        for number in numbers:
            self._given = number + 1
            yield self.batch(plan[number])

    def _remaining(self, first: int, step: int, count: int) -> range:
        """Return the numbers of the batches that this process is still to give."""
        if self._start and self._workers not in (1, step):
            raise PackageError(
                f"the state is one of {self._workers} workers, and there are {step}; use as many, "
                "or Loader, whose state is of any number"
            )
        if not self._start or self._workers == 1:
            return range(self._start + first, count, step)
        return range(first + -(-max(0, self._start - first) // step) * step, count, step)

    def state_dict(self) -> dict[str, int]:
        """Return where this process is: epoch, batches given, and how many take turns.

        For who has no workers, or asks each of them as torchdata's ``StatefulDataLoader`` does.
        Raises ``PackageError`` where workers read, who alone know.
        """
        if data.get_worker_info() is None and self._told[1]:
            raise PackageError(
                "workers read this dataset, and only they know where they are: use Loader, or "
                "torchdata's StatefulDataLoader, whose state_dict() asks them"
            )
        return {"epoch": self._epoch, "given": self._given, "workers": self._workers}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration go on behind the batches that were given."""
        self._epoch, self._start, self._workers = state["epoch"], state["given"], state["workers"]
        self._given = self._start


def counted(name: str, value: int, least: int) -> int:
    """Return ``value``. Raises ``PackageError`` where it is no whole number from ``least`` on."""
    if not isinstance(value, int | np.integer) or value < least:
        raise PackageError(f"{name}={value!r} must be a whole number, {least} or more")
    return int(value)
