"""Memory that processes share, of which nothing is left when they end, however they end."""

import mmap
import os
import tempfile
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Slab:
    """So many slots of so many bytes. Workers fill them, whoever asked empties them.

    A file without a name: it is not bounded by ``/dev/shm``, which is small in containers, and the
    kernel frees it with the last process that has it.
    """

    def __init__(self, slots: int, each: int) -> None:
        self.each = -(-max(each, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._handle = _unnamed()
        self._length = slots * self.each
        os.ftruncate(self._handle, self._length)
        self._memory = mmap.mmap(self._handle, self._length)

    def slot(self, number: int, count: int) -> NDArray[np.uint8]:
        """Return ``count`` bytes of a slot."""
        return np.frombuffer(self._memory, np.uint8, count, number * self.each)

    def __getstate__(self) -> dict[str, Any]:
        """Hand the open file to a process that is being started, the only one that may have it."""
        return {"each": self.each, "length": self._length, "at": reduction.DupFd(self._handle)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.each, self._length = state["each"], state["length"]
        self._handle = state["at"].detach()
        self._memory = mmap.mmap(self._handle, self._length)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # The name ``os`` may be gone when the interpreter ends.
        handle = self.__dict__.pop("_handle", None)
        if handle is not None:
            close(handle)


def _unnamed() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("imagemill")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
