"""Large images wait for one another, so that memory hardly grows with the number of workers."""

import os
from fcntl import LOCK_EX, flock
from pathlib import Path
from tempfile import gettempdir

LARGE = 1 << 27  # bytes of memory; an image that takes less to decode never waits


class Place:
    """This user's one place on this machine for a large image; a context manager.

    The kernel frees the place of a process that dies.
    """

    def __init__(self) -> None:
        self._held: int | None = None

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def take(self, memory: int) -> None:
        """Wait for the place, where an image takes so many bytes to decode that it needs it."""
        if memory >= LARGE and self._held is None:
            path = Path(gettempdir()) / f"imagemill.{os.getuid()}.large"
            self._held = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            flock(self._held, LOCK_EX)

    def leave(self) -> None:
        """Let others have the place."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
