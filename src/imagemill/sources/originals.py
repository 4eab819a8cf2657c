"""A bucket that keeps what was fetched from elsewhere, so that nobody has to ask there again."""

from botocore.exceptions import ClientError

from imagemill.sources.s3 import S3
from imagemill.sources.s3.clients import connect
from imagemill.sources.s3.refusals import refusing
from imagemill.sources.urls import Keep

_MISSING = {"NoSuchKey", "404"}


class Originals:
    """The bucket of one source; safe to use from several threads.

    Raises ``SourceError``, as every method does, when the bucket cannot be used.
    """

    def __init__(self, source: str, keep: Keep) -> None:
        self._where = f"sources.{source}"
        self._key = keep.key
        self._place = S3(
            kind="s3",
            bucket=keep.bucket,
            prefix="",
            include=[],
            exclude=[],
            endpoint=keep.endpoint,
            region=keep.region,
            profile=keep.profile,
            anonymous=False,
            requester_pays=False,
        )
        with refusing(self._where, self._place):
            _, self._client = connect(self._place)
            self._client.list_objects_v2(Bucket=keep.bucket, MaxKeys=1)

    def get(self, key: str) -> bytes | None:
        """Return what is kept of an object; None when nothing is."""
        with refusing(self._where, self._place):
            try:
                found = self._client.get_object(Bucket=self._place.bucket, Key=self._named(key))
                return bytes(found["Body"].read())
            except ClientError as error:
                if error.response["Error"].get("Code") in _MISSING:
                    return None
                raise

    def put(self, key: str, content: bytes) -> None:
        """Keep an object; whole or not at all, as S3 has it."""
        with refusing(self._where, self._place):
            self._client.put_object(Bucket=self._place.bucket, Key=self._named(key), Body=content)

    def _named(self, key: str) -> str:
        return self._key.replace("{key}", key)
