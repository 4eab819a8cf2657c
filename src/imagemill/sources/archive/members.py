"""What the members of an archive are called, which of them are images, and what stops a bomb."""

import re
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

SLACK = 1 << 24
"""Bytes below which no ratio counts: a header of zeros is no bomb."""

MEMBERS = {
    "name": pl.String,  # as a key, where it can be one
    "bytes": pl.Int64,  # unpacked
    "at": pl.Int64,  # place in the unpacked tar, or number in the zip's directory
    "reason": pl.String,  # why it is not to be had; null when it is
}
"""Columns of what an archive holds."""


class Member(NamedTuple):
    """One row of ``MEMBERS``."""

    name: str
    bytes: int
    at: int
    reason: str | None


@dataclass(frozen=True)
class Limits:
    """How far an archive may grow; see ``Archive``."""

    max_ratio: float
    max_unpacked: int
    max_bytes: int

    def refused(self, packed: int, unpacked: int) -> str | None:
        """Return which limit so many bytes out of so many break."""
        if unpacked > self.max_unpacked:
            return f"more than `max_unpacked`, {self.max_unpacked:,} bytes"
        if self.steep(packed, unpacked):
            return f"more than `max_ratio`, {self.max_ratio:,g}, times what it is packed"
        return None

    def steep(self, packed: int, unpacked: int) -> bool:
        """Return whether the ratio alone is too high."""
        return unpacked > SLACK and unpacked > self.max_ratio * packed


class BrokenError(Exception):
    """An archive that cannot be read, or must not be; says what is wrong with it, and where."""


_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


def named(name: str) -> tuple[str, str | None]:
    """Return the key that a member's name means, or the name and why it can be none."""
    parts = name.split("/")
    if name.startswith(("/", "\\")) or ".." in parts or _DRIVE.match(name):
        return name, "unsafe_name"
    return "/".join(part for part in parts if part not in ("", ".")), None
