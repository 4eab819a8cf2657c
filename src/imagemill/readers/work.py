"""What a worker does: batches of pixels, or of what a transform makes of images."""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.readers.contents import Rows
from imagemill.readers.errors import PackageError
from imagemill.readers.pixels import Images, Shape, array
from imagemill.readers.pool import Job, Made

Transform = Callable[[Image.Image], Any]
Room = Callable[[int], NDArray[np.uint8]]


class Batches:
    """Makes batches of images; picklable if ``transform`` is."""

    def __init__(self, images: Images, shape: Shape, transform: Transform | None) -> None:
        self._images, self._shape, self._transform = images, shape, transform

    def __call__(self, job: Job, room: Room) -> Made:
        """Return a batch. Raises ``PackageError`` where images of a batch differ in shape."""
        if self._transform is None:
            count = len(job.rows) * int(np.prod(self._shape))
            out = room(count).reshape(len(job.rows), *self._shape)
            self._images.fill(job.rows, out)
            return Made(out, True, None)
        with seeded(job.seed):
            made = [self._transform(image) for image in self._images.images(job.rows)]
        return _joined(made, room)

    def largest(self, row: Rows) -> int:
        """Return the bytes of an image, which those of a batch must all have."""
        if self._transform is None:
            return int(np.prod(self._shape))
        with seeded(0):
            made = self._transform(self._images.images(row)[0])
        found = array(made) if isinstance(made, Image.Image) else as_array(made)
        return 0 if found is None else found.nbytes


def _joined(results: Sequence[Any], room: Room) -> Made:
    pixels = isinstance(results[0], Image.Image)
    arrays = [array(each) if pixels else as_array(each) for each in results]
    first = arrays[0]
    if first is None:
        return Made(None, False, results)
    out = room(len(arrays) * first.nbytes).view(first.dtype).reshape(-1, *first.shape)
    for at, each in enumerate(arrays):
        if each is None or each.shape != first.shape or each.dtype != first.dtype:
            other = type(results[at]) if each is None else (each.dtype, each.shape)
            raise PackageError(
                f"transform gave {first.dtype} {first.shape} and {other}, which make no batch; "
                "let it resize or crop every image to one size"
            )
        out[at] = each
    return Made(out, pixels, None)


def as_array(result: Any) -> NDArray[Any] | None:
    """Return an array or a tensor as NumPy has it; null for anything else."""
    if not hasattr(result, "__array__"):
        return None
    try:
        found = np.asarray(result)
    except (TypeError, RuntimeError):  # a type that NumPy does not know, or one with a gradient
        return None
    return None if found.dtype.hasobject else found


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from ``random``, ``numpy.random`` and torch as ``seed`` says; then go on as before.

    So what a transform draws depends on the batch, and not on which worker made it, or when.
    """
    torch = sys.modules.get("torch")
    plain, numbers = random.getstate(), np.random.get_state()
    drawn = None if torch is None else torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    if torch is not None:
        torch.default_generator.manual_seed(seed)  # not a GPU's too, which the training draws from
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(numbers)
        if torch is not None:
            torch.set_rng_state(drawn)
