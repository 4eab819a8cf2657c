"""Whether the disk has room for a download: told before it starts, and as it goes on.

A new content takes its length once in the packs; one that is fetched lies in the spool before.
Where lengths are not listed, as of URLs and of Parquet files elsewhere, the mean of what has
arrived stands for what is still to come.
"""

import shutil
from pathlib import Path

import polars as pl

from imagemill.errors import SourceError
from imagemill.sources.objects import Wanted

SPARE = 1 << 26
"""Bytes of disk to leave free."""

LOOK = 1 << 24
"""Bytes that arrive from one look at the disk to the next."""


class Room:
    """What a download still needs of the disks with its packs and its spool."""

    def __init__(self, missing: pl.DataFrame, packed: int, out: Path, spool: Path) -> None:
        """Take what is to be fetched, and the bytes of other contents that no pack has yet."""
        self._left = len(missing)
        self._unknown = missing["bytes"].null_count()
        self._known = int(missing["bytes"].sum())
        self._packed = packed
        self._next = packed + LOOK
        self._told = self._lengths = 0  # objects of unknown length that have arrived, their bytes
        self._out = out
        self._spool = spool

    def arrived(self, each: Wanted, length: int | None) -> None:
        """Count one object less to come, of which ``length`` bytes were put into the spool, if any.

        Raises ``SourceError`` as ``check`` does.
        """
        self._left -= 1
        self._known -= each.bytes or 0
        self._packed += length or 0
        if each.bytes is None:
            self._unknown -= 1
            self._told += length is not None
            self._lengths += length or 0
        if self._packed >= self._next:
            self.check()

    def check(self) -> None:
        """Raise ``SourceError`` when what is to come clearly does not fit."""
        if not self._left and not self._packed:
            return
        self._next = self._packed + LOOK
        mean = self._lengths / max(1, self._told)
        coming = self._known + round(mean * self._unknown)
        apart = self._out.stat().st_dev != self._spool.stat().st_dev
        if apart:
            self._refuse(self._spool, coming)
        self._refuse(self._out, coming + self._packed + (0 if apart else coming))

    def _refuse(self, place: Path, needed: int) -> None:
        free = shutil.disk_usage(place).free
        if needed + SPARE > free:
            raise SourceError(
                f"download: {self._left:,} objects to come and what is to be packed need "
                f"{(needed + SPARE) / 1e9:,.1f} GB of disk; {free / 1e9:,.1f} GB are free below "
                f"{place}. Free some, set `limit`, or move the project; what has arrived is kept. "
                "`dvc gc -w` drops cached versions that nothing uses."
            )
