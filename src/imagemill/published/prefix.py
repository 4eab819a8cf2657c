"""The objects below a prefix of a bucket: listed, read, put and removed."""

from collections.abc import Sequence

import polars as pl
from botocore.exceptions import ClientError
from obstore.store import S3Store

from imagemill.errors import BuildError, SourceError
from imagemill.progress import progress
from imagemill.published import MANIFEST, Manifest, decode
from imagemill.sources.s3 import Bucket, clients, listing
from imagemill.sources.s3.getting import Getter
from imagemill.sources.s3.refusals import coded, refusal, refusing

HERE = {
    "member": pl.String,  # key below the prefix
    "bytes": pl.Int64,
    "etag": pl.String,  # without quotes
}
"""Columns of what lies below a prefix."""

MANY = 1000  # objects that one request can delete

_ABSENT = {"NoSuchKey", "404"}


def bucket(url: str, endpoint: str | None, profile: str | None, anonymous: bool) -> Bucket:
    """Return what an address such as ``s3://bucket/prefix`` means."""
    scheme, _, place = url.partition("://")
    name, _, folder = place.partition("/")
    if scheme != "s3" or not name:
        raise BuildError(f"{url}: names no bucket; write s3://bucket/prefix")
    return Bucket(
        bucket=name,
        prefix=folder,
        endpoint=endpoint,
        region=None,
        profile=profile,
        anonymous=anonymous,
        requester_pays=False,
    )


class Prefix:
    """A folder of a bucket. Every method raises ``SourceError`` where S3 refuses."""

    def __init__(self, where: str, spec: Bucket) -> None:
        """Connect; ``where`` is what an error begins with: a stage, or a command."""
        self.where = where
        self.spec = spec
        with refusing(where, spec):
            self._session, self._client = clients.connect(spec)

    def listed(self) -> pl.DataFrame:
        """Return every object, sorted by member, with the columns ``HERE``.

        A key that ends in a slash is no object but how some tools draw a folder.
        """
        with refusing(self.where, self.spec), progress(self.where, None, "objects") as advance:

            def take(rows: pl.DataFrame) -> pl.DataFrame:
                advance(len(rows))
                objects = rows.filter(~pl.col("key").str.ends_with("/"))
                below = pl.col("key").str.slice(len(self.spec.folder))
                return objects.select(below.alias("member"), "bytes", "etag")

            asked = clients.asked(self.spec)
            parts = listing.listed(self._client, asked, self.spec.folder, take)
        found = pl.concat([pl.DataFrame(schema=HERE), *parts])
        return found.unique("member", keep="first", maintain_order=True).sort("member")

    def read(self, member: str) -> bytes | None:
        """Return the bytes of an object; None where there is none."""
        with refusing(self.where, self.spec):
            try:
                found = self._client.get_object(**self._named(member))
                return bytes(found["Body"].read())
            except ClientError as error:
                if error.response["Error"].get("Code") in _ABSENT:
                    return None
                raise

    def manifest(self) -> tuple[Manifest, bytes] | None:
        """Return the manifest and its bytes; None where there is none."""
        data = self.read(MANIFEST)
        return None if data is None else (decode(data, f"{self.spec.url}{MANIFEST}"), data)

    def complete(self) -> tuple[Manifest, bytes]:
        """Return the manifest and its bytes; raises ``SourceError`` where it is yet to come."""
        found = self.manifest()
        if found is not None:
            return found
        there = len(self.listed())
        if there:
            raise self.refusal(
                f"{there:,} objects and no {MANIFEST}: publishing them has not come to its end. "
                "`dvc repro publish@NAME` where the dataset is built sends only what is missing; "
                "then run this again"
            )
        raise self.refusal(
            "nothing lies there; check the address. Where the dataset is built, `publish: s3` in "
            "its config and `dvc repro publish@NAME` publish it"
        )

    def write(self, member: str, data: bytes, kind: str) -> None:
        """Put an object of the media type ``kind``."""
        with refusing(self.where, self.spec):
            self._client.put_object(**self._named(member), Body=data, ContentType=kind)

    def remove(self, members: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error."""
        asked = clients.asked(self.spec)
        with progress(self.where, len(members), "objects removed") as advance:
            for start in range(0, len(members), MANY):
                some = [{"Key": self.spec.folder + m} for m in members[start : start + MANY]]
                with refusing(self.where, self.spec):
                    said = self._client.delete_objects(
                        **asked, Delete={"Objects": some, "Quiet": True}
                    )
                for error in said.get("Errors", []):
                    raise self.refusal(f"{error['Key']}: {coded(error['Code'], self.spec)}")
                advance(len(some))

    def store(self) -> S3Store:
        """Return the faster client for many objects."""
        with refusing(self.where, self.spec):
            return clients.store(self.spec, self._session, self._client)

    def getter(self) -> Getter:
        """Return what gets many objects at a time."""
        return Getter(self.where, self.spec, self.store(), self._client)

    def refusal(self, said: str) -> SourceError:
        """Return an error about this prefix."""
        return refusal(self.where, self.spec, said)

    def _named(self, member: str) -> dict[str, str]:
        return {**clients.asked(self.spec), "Key": self.spec.folder + member}
