"""Parquet files in S3, of which ranges are read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imagemill.sources.parquet.shards import ChangedError, Remote
from imagemill.sources.s3 import S3, clients
from imagemill.sources.s3.objects import S3Objects
from imagemill.sources.s3.refusals import refusing

if TYPE_CHECKING:
    from imagemill.sources.parquet import Parquet

_REPLACED = {"PreconditionFailed", "NoSuchKey", "412", "404"}


def bucket_shards(spec: "Parquet", name: str) -> list[Remote]:
    """Return the files below ``s3://bucket/prefix`` that the patterns choose, by name.

    The ETag is a file's version, and is asked for with each range. Raises ``SourceError``.
    """
    bucket, _, prefix = spec.path.removeprefix("s3://").partition("/")
    place = S3(
        kind="s3",
        bucket=bucket,
        prefix=prefix,
        include=spec.include,
        exclude=spec.exclude,
        **spec.store.model_dump(),
    )
    found = S3Objects(name, place).listed()
    where = f"sources.{name}"
    with refusing(where, place):
        _, client = clients.connect(place)
    return [
        Remote(key, tag, length, _getter(where, place, client, key, tag))
        for key, tag, length in found.select("key", "tag", "bytes").iter_rows()
    ]


def _getter(where: str, place: S3, client: Any, key: str, tag: str) -> Callable[[int, int], bytes]:
    asked = {
        **clients.asked(place),
        "Key": f"{place.folder}{key}",
        "IfMatch": f'"{tag.rpartition(":")[0]}"',
    }

    def get(offset: int, length: int) -> bytes:
        with refusing(where, place):
            try:
                answer = client.get_object(**asked, Range=f"bytes={offset}-{offset + length - 1}")
                return bytes(answer["Body"].read())
            except ClientError as error:
                if error.response["Error"].get("Code") in _REPLACED:
                    raise ChangedError(key) from error
                raise

    return get
