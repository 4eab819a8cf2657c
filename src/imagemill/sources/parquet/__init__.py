"""Images in the rows of Parquet files, as the Hugging Face hub keeps them."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imagemill.config import Section
from imagemill.sources.objects import Refreshed

if TYPE_CHECKING:
    from imagemill.sources.parquet.objects import ParquetObjects


class Store(Section):
    """How a bucket is reached; as in ``s3``."""

    endpoint: str | None
    region: str | None
    profile: str | None
    anonymous: bool
    requester_pays: bool


class Parquet(Refreshed):
    """Parquet files with a column of images."""

    kind: Literal["parquet"]
    path: str
    """A file or a folder as in ``folder``, ``hf://owner/name@revision`` or ``s3://bucket/prefix``."""
    include: list[str]
    """Patterns of the files below ``path``; ``*`` crosses slashes."""
    exclude: list[str]
    """Patterns of files to leave out."""
    image: str
    """The column with the images: bytes, or a struct of ``bytes`` and ``path``."""
    store: Store

    def open(self, name: str, root: Path) -> "ParquetObjects":
        """Return the objects of this source; raises ``SourceError`` when there are no files."""
        from imagemill.sources.parquet.objects import ParquetObjects  # noqa: PLC0415 (see s3)

        return ParquetObjects.of(self, name, root)
