"""Whether the prefix that a dataset is published to holds all of its package."""

from pathlib import Path

import polars as pl

from imagemill import config, packaged
from imagemill.errors import BuildError
from imagemill.published.compare import differences
from imagemill.published.prefix import Prefix
from imagemill.sources.s3 import Bucket
from imagemill.tables import CONTENTS


def holder(root: Path, dataset: str) -> str | None:
    """Return the address that holds every image of the package as it is now; None where none does.

    By the manifest there and by a listing of now. Raises ``SourceError`` where S3 refuses.
    """
    to = config.read(root / "data" / dataset / "config.yaml", "publish")["to"]
    if to is None:
        return None
    prefix = Prefix("prune", Bucket.model_validate(to))
    found = prefix.manifest()
    if found is None or not found[0].rows.select(*CONTENTS.columns).equals(
        _contents(root, dataset)
    ):
        return None
    wrong = differences(found[0].rows, prefix.listed()).filter(pl.col("kind") != "extra")
    return prefix.spec.url if wrong.is_empty() else None


def _contents(root: Path, dataset: str) -> pl.DataFrame:
    try:
        return packaged.find(root, dataset).contents
    except BuildError:  # no ImageFolder, or none in packs
        return CONTENTS.frame()
