"""A published dataset: objects below a prefix of a bucket, and a manifest that is put last.

Who finds the manifest finds all that it names, whole; where there is none, publishing has not
come to its end. Readers of an ImageFolder do not look at files of its root.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import polars as pl

from imagemill import certificates, label_maps
from imagemill.about import About
from imagemill.errors import BuildError
from imagemill.tables import CONTENTS, Table

FORMAT = 1

PUBLISHED = Table(
    CONTENTS.file,
    {
        **CONTENTS.columns,
        "etag": pl.String,  # of the object, without quotes: the MD5 of its bytes in most stores
    },
    CONTENTS.key,
    CONTENTS.later,
)
"""What a published prefix holds; a member is the object's key below the prefix."""

MANIFEST = PUBLISHED.file

REMOVING = "imagemill-removing.json"
"""Object that lists the members to be removed, from before the new manifest is put until they are
gone: whoever publishes after a kill in between still knows that they were ours."""


@dataclass(frozen=True)
class Manifest:
    """The manifest of a published prefix."""

    rows: pl.DataFrame
    """``PUBLISHED``, sorted by member."""
    noted: Mapping[str, str]
    """format, dataset, title, licence, credit, counts of images and identities, ``PAPERS``."""

    @property
    def certificate(self) -> str | None:
        """Return the certificate as JSON; None where the package had none."""
        return self.noted.get("certificate")

    @property
    def labels(self) -> str | None:
        """Return ``label_maps.FILE`` as JSON; None where the package had none."""
        return self.noted.get("labels")


PAPERS = {"certificate": certificates.FILE, "labels": label_maps.FILE}
"""Files beside the images of a package whose text travels in the manifest, by its key there."""


def papers(folder: Path) -> dict[str, str]:
    """Return those of ``PAPERS`` that lie in a package."""
    there = {key: folder / name for key, name in PAPERS.items() if (folder / name).exists()}
    return {key: path.read_text(encoding="utf-8") for key, path in there.items()}


def encode(
    rows: pl.DataFrame, dataset: str, about: About, told: Mapping[str, str] | None = None
) -> bytes:
    """Return the manifest as a Parquet file, with ``papers``; equal rows give equal bytes."""
    noted = {
        "format": str(FORMAT),
        "dataset": dataset,
        "title": about.title,
        "licence": about.licence,
        "credit": about.credit,
        "images": str(len(rows)),
        "identities": str(rows["label"].n_unique()),
        **(told or {}),
    }
    target = BytesIO()
    chosen = rows.select(*PUBLISHED.columns).sort(PUBLISHED.key)
    chosen.write_parquet(target, compression="zstd", row_group_size=65_536, metadata=noted)
    return target.getvalue()


def decode(data: bytes, url: str) -> Manifest:
    """Return the manifest at ``url``. Raises ``BuildError`` where it is not one of ours."""
    try:
        noted = pl.read_parquet_metadata(BytesIO(data))
        rows = pl.read_parquet(BytesIO(data))
    except pl.exceptions.PolarsError as error:
        raise BuildError(f"{url} is damaged or no Parquet file; {_AGAIN}") from error
    if not set(PUBLISHED.columns) - set(PUBLISHED.later) - set(rows.columns):
        rows = PUBLISHED.completed(rows)
    if rows.schema != pl.Schema(PUBLISHED.columns) or "format" not in noted:
        raise BuildError(f"{url} was not written by imagemill's publish; {_AGAIN}")
    if int(noted["format"]) > FORMAT:
        raise BuildError(f"{url} was written by a later imagemill; install that one")
    if rows["member"].str.contains(_ASTRAY).any():
        raise BuildError(f"{url} names files outside its own folder; do not trust it")
    return Manifest(rows, noted)


_ASTRAY = r"(^|/)\.{0,2}(/|$)|[\x00-\x1f\\]"
"""A path with a part that is empty, ``.`` or ``..``."""

_AGAIN = "choose another prefix, or delete that object and publish again"
