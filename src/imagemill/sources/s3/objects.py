"""The objects of one bucket: listed by boto3, fetched by many hands."""

from collections.abc import Iterator, Sequence

import polars as pl

from imagemill.progress import progress
from imagemill.sources.keys import any_of, odd, writable
from imagemill.sources.objects import FOUND, Fetched, Wanted
from imagemill.sources.s3 import S3, clients, listing
from imagemill.sources.s3.getting import Getter
from imagemill.sources.s3.refusals import refusal, refusing


class S3Objects:
    """Lists and fetches the objects of one bucket, below its prefix."""

    new: int | None = None

    def __init__(self, name: str, spec: S3) -> None:
        self._where = f"sources.{name}"
        self._spec = spec
        with refusing(self._where, spec):
            self._session, self._client = clients.connect(spec)

    def listed(self) -> pl.DataFrame:
        """Return every object below the prefix, sorted by key, with the columns ``FOUND``."""
        with refusing(self._where, self._spec), progress("scan", None, "objects") as advance:

            def take(rows: pl.DataFrame) -> pl.DataFrame:
                advance(len(rows))
                return self._chosen(rows)

            asked = clients.asked(self._spec)
            parts = listing.listed(self._client, asked, self._spec.folder, take)
        found = pl.concat(parts)
        if found.is_empty():
            raise refusal(self._where, self._spec, self._nothing())
        return found.unique("key", keep="first", maintain_order=True).sort("key")

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return no table: a bucket says nothing but its keys."""
        return {}

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[Fetched]:
        """Yield each of ``wanted`` once, in any order; see ``Fetchable``."""
        with refusing(self._where, self._spec):
            store = clients.store(self._spec, self._session, self._client)
        getter = Getter(self._where, self._spec, store, self._client)
        yield from getter.fetch(wanted)

    def _chosen(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that the patterns choose, with keys from below the prefix.

        A key that ends in a slash is no object but how some tools draw a folder.
        """
        include, exclude = any_of(self._spec.include), any_of(self._spec.exclude)
        below = rows.filter(~pl.col("key").str.ends_with("/")).with_columns(
            pl.col("key").str.slice(len(self._spec.folder))
        )
        fits = [bool(include(key) and not exclude(key)) for key in below["key"]]
        chosen = below.filter(pl.Series(fits, dtype=pl.Boolean))
        strange = [odd(key) for key in chosen["key"]]
        named = [writable(k) if o else k for k, o in zip(chosen["key"], strange, strict=True)]
        return chosen.select(
            pl.Series("key", named, pl.String),
            "bytes",
            pl.format("{}:{}", "etag", "bytes").alias("tag"),
            pl.lit(None, pl.String).alias("digest"),
            pl.Series("reason", ["odd_name" if o else None for o in strange], pl.String),
        ).select(*FOUND)

    def _nothing(self) -> str:
        patterns = f"include {self._spec.include} and exclude {self._spec.exclude}"
        return f"lists no object; check `bucket`, `prefix` and the patterns {patterns}"
