"""Images inside tar and zip files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imagemill.sources.objects import Refreshed

if TYPE_CHECKING:
    from imagemill.sources.archive.objects import ArchiveObjects


class Archive(Refreshed):
    """One archive, or the archives below a folder."""

    kind: Literal["archive"]
    path: str
    """A file or a folder: relative to the project, or absolute, or ``package://``."""
    archives: list[str]
    """Where ``path`` is a folder: patterns of the archives below it."""
    include: list[str]
    """Patterns of keys to list; ``*`` crosses slashes."""
    exclude: list[str]
    """Patterns of keys to leave out of the listing."""
    max_ratio: Annotated[float, Field(ge=1)]
    """Bytes that one byte of an archive may unpack to; more is a bomb."""
    max_unpacked: Annotated[int, Field(ge=1)]
    """Bytes that an archive may unpack to in all."""
    max_bytes: Annotated[int, Field(ge=1)]
    """Bytes of the largest member to take; it is held in memory."""

    def open(self, name: str, root: Path) -> "ArchiveObjects":
        """Return the objects of this source; raises ``SourceError`` when there is no archive."""
        from imagemill.sources.archive.objects import ArchiveObjects  # noqa: PLC0415 (see s3)

        return ArchiveObjects.of(self, name, root)
