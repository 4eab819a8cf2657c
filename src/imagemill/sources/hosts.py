"""What is learnt of a host while it is asked for many files."""

import time

from imagemill.sources.objects import UnavailableError

GIVE_UP = 5
"""Objects in a row that a host did not answer for; it is then left alone."""


class Host:
    """What is known of one host: when it may be asked again, and whether it answers at all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = 0.0
        self._failed = 0
        self.heads = True
        """Whether it seems to answer to HEAD as it does to GET."""

    def wait(self) -> None:
        """Sleep as long as the host has asked for. Raises ``UnavailableError`` on a dead one."""
        if self._failed >= GIVE_UP:
            said = f"not asked: {self._name} did not answer {GIVE_UP} times in a row"
            raise UnavailableError("failed", said)
        time.sleep(max(0.0, self._next - time.monotonic()))

    def pause(self, seconds: float) -> None:
        """Let nobody ask the host for so long."""
        self._next = max(self._next, time.monotonic() + seconds)

    def failed(self) -> None:
        """Count an object that the host did not answer for."""
        self._failed += 1

    def answered(self) -> None:
        """Forget earlier failures."""
        self._failed = 0
