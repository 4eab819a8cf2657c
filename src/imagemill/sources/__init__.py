"""Where images and label tables come from."""

from typing import Annotated

from pydantic import Field

from imagemill.sources.archive import Archive
from imagemill.sources.coco import Coco
from imagemill.sources.folder import Folder
from imagemill.sources.parquet import Parquet
from imagemill.sources.s3 import S3
from imagemill.sources.sql import Sql
from imagemill.sources.tables import Csv
from imagemill.sources.urls import Urls

Source = Annotated[Archive | Coco | Folder | Parquet | S3 | Urls, Field(discriminator="kind")]
"""What a config may name as a source; each kind has ``open(root)``, which gives ``Objects``."""

TableSource = Annotated[Csv | Sql, Field(discriminator="kind")]
"""What a config may name as a table."""

__all__ = [
    "S3",
    "Archive",
    "Coco",
    "Csv",
    "Folder",
    "Parquet",
    "Source",
    "Sql",
    "TableSource",
    "Urls",
]
