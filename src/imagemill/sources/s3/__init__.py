"""A bucket, or a folder of one, in S3 or in any store that speaks its protocol.

The ETag and the size of an object are its version, so nothing is fetched to learn what is new.
Credentials are boto3's: environment, profile, role, single sign-on; never the config.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from imagemill.config import Section
from imagemill.sources.objects import Refreshed

if TYPE_CHECKING:
    from imagemill.sources.s3.objects import S3Objects


class Bucket(Section):
    """A bucket, or a folder of it, and how to be let in."""

    rights: ClassVar[str] = "s3:ListBucket and s3:GetObject"
    """What credentials must be allowed to do with it."""

    bucket: Annotated[str, Field(min_length=1)]
    prefix: str
    """A folder of the bucket; keys are told from below it. Empty: the whole bucket."""
    endpoint: str | None
    """URL of a store other than AWS; null: what boto3's own settings say, else AWS."""
    region: str | None
    """Null: what boto3's own settings say, else the bucket's."""
    profile: str | None
    """Name of a profile in boto3's own files; null: its usual chain."""
    anonymous: bool
    """Sign nothing, for public buckets."""
    requester_pays: bool
    """Agree to pay for requests to a bucket that asks for it."""

    @property
    def folder(self) -> str:
        """The prefix as keys begin with it."""
        return self.prefix if self.prefix.endswith("/") or not self.prefix else f"{self.prefix}/"

    @property
    def url(self) -> str:
        """The folder as people write it."""
        return f"s3://{self.bucket}/{self.folder}"


class S3(Refreshed, Bucket):
    """The objects of a bucket whose keys begin with a prefix."""

    kind: Literal["s3"]
    include: list[str]
    """Patterns of keys to list; ``*`` crosses slashes."""
    exclude: list[str]
    """Patterns of keys to leave out of the listing."""

    def open(self, name: str, root: Path) -> "S3Objects":  # noqa: ARG002 (of all sources)
        """Return the objects of this source; raises ``SourceError`` without credentials."""
        # boto3 takes a quarter of a second to import, which other sources need not wait for.
        from imagemill.sources.s3.objects import S3Objects  # noqa: PLC0415

        return S3Objects(name, self)
