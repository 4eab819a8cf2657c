"""The frozen split of a dataset: ``splits/<dataset>.csv``, in Git, obeyed by every build."""

from io import BytesIO
from pathlib import Path

import polars as pl

from imagemill.config import tracked
from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.progress import say
from imagemill.splits.settings import Config

FOLDER = "splits"
COLUMNS = ("digest", "split")


def obeyed(root: Path, dataset: str, config: Config | None) -> pl.DataFrame | None:
    """Return what a build with ``config`` must obey, and say so; None where splits are given."""
    if config is None:
        return None
    found = read(root, dataset, config.frozen)
    if found is not None:
        say(f"leaks: {FOLDER}/{dataset}.csv is obeyed: {len(found):,} images are frozen")
    elif config.draw == "even":
        say(
            f"leaks: the split is not frozen, and moves when images come or go; "
            f"`imagemill freeze {dataset}` ends that"
        )
    return found


def read(root: Path, dataset: str, said: str | None) -> pl.DataFrame | None:
    """Return ``digest, split``, sorted, or None where nothing is frozen.

    ``said`` is the sha256 of the file in the config. Raises ``BuildError`` where the file is
    another one, or a line of it is wrong.
    """
    content = tracked.read(root, FOLDER, dataset, said)
    return None if content is None else parse(content, f"{FOLDER}/{dataset}.csv")


def parse(content: bytes, name: str) -> pl.DataFrame:
    """Return the rows of the CSV file ``name``; raises ``BuildError`` naming the line."""
    if content.split(b"\n", 1)[0].rstrip() != ",".join(COLUMNS).encode():
        raise BuildError(f"{name}:1: must be `{','.join(COLUMNS)}`; restore the file from Git")
    try:
        found = pl.read_csv(BytesIO(content), schema=empty().schema, quote_char=None)
    except pl.exceptions.PolarsError as error:
        raise BuildError(f"{name}: no CSV of two columns; restore the file from Git") from error
    lines = found.with_row_index("line", offset=2)
    right = pl.col("digest").str.contains("^[0-9a-f]{64}$") & (pl.col("split").str.len_bytes() > 0)
    wrong = lines.filter(~right.fill_null(value=False)).head(1)
    for line, digest, split in wrong.rows():
        raise BuildError(
            f"{name}:{line}: {digest},{split}: must be a sha256 and a split; mend the line"
        )
    twice = lines.filter(pl.col("split").n_unique().over("digest") > 1).sort("line").head(1)
    for line, digest, split in twice.rows():
        raise BuildError(
            f"{name}:{line}: {digest} is frozen in {split} here, and elsewhere in another line; "
            "leave one of them"
        )
    return found.unique().sort("digest")


def write(root: Path, dataset: str, rows: pl.DataFrame) -> Path:
    """Write ``digest, split`` as the frozen split of ``dataset``; return where."""
    path = tracked.place(root, FOLDER, dataset)
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as part:
        rows.select(*COLUMNS).sort("digest").write_csv(part, quote_style="never")
    return path


def empty() -> pl.DataFrame:
    """Return no rows."""
    return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
