"""Freeze the split that the last build assigned: from then on it grows, and nothing moves."""

from pathlib import Path

import polars as pl

from imagemill import config
from imagemill.config import tracked
from imagemill.config.project import Project
from imagemill.errors import BuildError
from imagemill.splits import frozen
from imagemill.tables import MANIFEST


def freeze(root: Path, dataset: str) -> str:
    """Write ``splits/<dataset>.csv`` of what ``leaks`` decided last; return what to say of it.

    What was frozen stays so, also of images that are not kept now: they may come back. Raises
    ``BuildError`` where there is no such split, or it was made without the file as it is now.
    """
    Project(root).overrides(dataset)
    obeyed = _obeyed(root, dataset)
    built = _built(root, dataset)
    now = tracked.fingerprint(root, frozen.FOLDER, dataset)
    old = frozen.read(root, dataset, now)
    old = frozen.empty() if old is None else old
    new = built.join(old, on=frozen.COLUMNS, how="anti")
    if len(new) and obeyed != now:
        raise BuildError(
            f"freeze: {frozen.FOLDER}/{dataset}.csv is not what {dataset} was built with; "
            f"run `dvc repro leaks@{dataset}` first"
        )
    path = frozen.write(root, dataset, pl.concat([old, new]))
    return _said(path.relative_to(root), old, new, len(old) + len(new) - len(built))


def _said(path: Path, old: pl.DataFrame, new: pl.DataFrame, away: int) -> str:
    counts = f"{path}: {len(old) + len(new):,} images frozen, {len(new):,} of them new"
    gone = f"; {away:,} are not kept now, and have their split if they come back" * (away > 0)
    return f"{counts}{gone}. Commit the file: every later build obeys it."


def _obeyed(root: Path, dataset: str) -> str | None:
    """Return the sha256 of the frozen split that the config of the last build names."""
    resolved = root / "data" / dataset / "config.yaml"
    if not resolved.exists():
        raise BuildError(_not_built(dataset))
    section = config.read(resolved, "leaks")
    if section["splits"] != "assigned":
        raise BuildError(
            f"freeze: {dataset}: its splits are given by its sources, not assigned; "
            "`leaks=assigned` in params.yaml assigns them"
        )
    found: str | None = section["assign"]["frozen"]
    return found


def _built(root: Path, dataset: str) -> pl.DataFrame:
    folder = root / "data" / dataset / "leaks"
    if not (folder / MANIFEST.file).exists():
        raise BuildError(_not_built(dataset))
    kept = MANIFEST.read(folder).filter(verdict="keep").drop_nulls("split")
    return kept.select("digest", "split").unique()


def _not_built(dataset: str) -> str:
    return f"freeze: {dataset}: has no split yet; run `dvc repro leaks@{dataset}` first"
