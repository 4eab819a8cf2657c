"""The order of the loader, for ``DataLoader`` with a map-style dataset."""

from collections.abc import Iterator

from torch.utils import data

from imagemill.readers.order import Order, Shuffle, Uneven
from imagemill.readers.package import Package
from imagemill.torch.datasets import Dataset, ranked, shuffled, starts


class Sampler(data.Sampler[int]):
    """Rows in the order of ``Loader``: by seed, epoch, rank and world size.

    ``DataLoader(dataset, batch_size, sampler=Sampler(dataset, shuffle=True))``. A ``DataLoader``
    asks ahead, so that only who trains knows how many rows were given: tell ``resume``.
    """

    def __init__(
        self,
        dataset: Dataset | Package,
        *,
        shuffle: bool | Shuffle = False,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
        uneven: Uneven = "repeat",
    ) -> None:
        self._package = dataset if isinstance(dataset, Package) else dataset.package
        self.order = Order(shuffled(shuffle), seed, *ranked(rank, world), uneven)
        self._epoch = self._given = 0

    def __len__(self) -> int:
        """Return the number of rows of this rank in an epoch."""
        return self.order.count(len(self._package))

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch."""
        if epoch != self._epoch:
            self._epoch, self._given = epoch, 0

    def resume(self, epoch: int, given: int) -> None:
        """Let the next iteration leave out so many rows, which were given in this epoch."""
        self._epoch, self._given = epoch, given

    def __iter__(self) -> Iterator[int]:
        given, self._given = self._given, 0
        positions = self.order.positions(self._epoch, len(self._package), starts(self._package))
        yield from positions[given:].tolist()
