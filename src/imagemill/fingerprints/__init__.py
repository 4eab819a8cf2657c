"""Fingerprints of images of others: enough to find them again, too little to look at them.

A file of fingerprints is a table with the columns ``FINGERPRINTS``. A thumbnail could be looked at,
so that none is kept; in its place stands ``sketch``. What that costs: pictures are not aligned
before they are compared. Of 600 photos saved anew, down to JPEG quality 10 or a quarter of the
size, brightened, blurred or made grey, 97 % to 100 % are found within 5 bits, 99.8 % within 8; of
those with 2 % of their sides cropped 89 %, with 5 % cropped hardly any. ``match`` finds these,
where both images are here.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import polars as pl

from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.tables import Table

FORMAT = "1"

SIGNS_AGREE = 0.8
"""Likeness of two sketches, -1..1, below which pictures with near hashes are not the same."""

PACKAGED = ("member", "digest", "packaged")
"""What is read of ``tables.CONTENTS``."""

FINGERPRINTS = Table(
    "fingerprints.parquet",
    {
        "file": pl.String,  # path below the folder, or sample
        "digest": pl.String,  # sha256 of the file, hex
        "packaged": pl.String,  # sha256 of another form of it that a package holds; else null
        "pixels": pl.String,  # as in tables.FACTS; null where only bytes are known
        "phash": pl.List(pl.UInt64),  # as in tables.FACTS
        "sketch": pl.Binary,  # of 32 bytes, see ``sketch``; null for a picture without texture
    },
    ("file",),
)


@dataclass(frozen=True)
class Fingerprints:
    """What is known of someone else's images."""

    name: str
    rows: pl.DataFrame
    """``FINGERPRINTS``."""
    sha256: str
    """Of the file they were read from."""

    @property
    def pictured(self) -> bool:
        """Tell whether more than bytes can be compared."""
        return self.rows["phash"].null_count() < len(self.rows)


def write(path: Path, rows: pl.DataFrame) -> None:
    """Write ``FINGERPRINTS``; equal rows give equal bytes."""
    chosen = rows.select(*FINGERPRINTS.columns).sort(FINGERPRINTS.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        chosen.write_parquet(part, compression="zstd", metadata={"fingerprints": FORMAT})


def read(name: str, path: Path) -> Fingerprints:
    """Read fingerprints, or the manifest of a package. Raises ``BuildError`` where it is neither.

    Of a package bytes alone are known: those of the sources, and those in the package.
    """
    where = f"leaks.against.{name}: {path.parent.name}/{path.name}"
    try:
        data = path.read_bytes()
        columns = set(pl.read_parquet_schema(path))
        noted = pl.read_parquet_metadata(path)
    except FileNotFoundError as error:
        raise BuildError(
            f"{where} is not there. `imagemill fingerprint DIR -o {path.parent.name}/{path.name}` "
            "writes it, or fetch it with `git pull` or `dvc pull`."
        ) from error
    except pl.exceptions.PolarsError as error:
        raise BuildError(f"{where} is damaged or no Parquet file; fetch it again.") from error
    if noted.get("fingerprints") == FORMAT:
        rows = pl.read_parquet(path, columns=list(FINGERPRINTS.columns))
    elif "fingerprints" in noted:
        raise BuildError(f"{where} was written by a later imagemill; install that one.")
    elif {*PACKAGED, "bytes"} <= columns:
        rows = _of_package(pl.read_parquet(path, columns=list(PACKAGED)))
    else:
        raise BuildError(
            f"{where} holds neither fingerprints nor the manifest of a package. "
            "`imagemill fingerprint` writes the one, `imagemill export` the other."
        )
    return Fingerprints(name, rows, sha256(data).hexdigest())


def _of_package(contents: pl.DataFrame) -> pl.DataFrame:
    unknown = [
        pl.lit(None, kind).alias(name)
        for name, kind in FINGERPRINTS.columns.items()
        if name in ("pixels", "phash", "sketch")
    ]
    named = contents.select("digest", "packaged", *unknown, file="member")
    return named.select(*FINGERPRINTS.columns)
