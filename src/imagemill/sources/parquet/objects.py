"""The rows of some Parquet files as objects.

An object's key is the number of its row over all files in the order of their names, so that a
list of rows to remove, made elsewhere, fits. Its version is the file's content hash and the row's
number in that file: of a set in which one file changed, the rows of that file are fetched.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from pathlib import Path

import polars as pl

from imagemill.errors import SourceError
from imagemill.progress import progress
from imagemill.sources.local import Readings, local_files
from imagemill.sources.objects import FOUND, Fetched, UnavailableError, Wanted
from imagemill.sources.parquet import Parquet
from imagemill.sources.parquet.hub import HUB, hub_shards
from imagemill.sources.parquet.rows import OWN, Reader
from imagemill.sources.parquet.shards import ChangedError, Local, Shard


class ParquetObjects:
    """Lists and fetches the rows of some files."""

    def __init__(self, spec: Parquet, name: str, root: Path, shards: list[Shard]) -> None:
        self._spec = spec
        self._name = name
        self._shards = shards
        self._readings = Readings(root, "parquet")
        self.new: int | None = 0

    @classmethod
    def of(cls, spec: Parquet, name: str, root: Path) -> "ParquetObjects":
        """Look for the files. Raises ``SourceError`` when there are none."""
        with _naming(name):
            return cls(spec, name, root, _shards(spec, name, root))

    def listed(self) -> pl.DataFrame:
        """Return every row of every file, with the columns ``FOUND``."""
        reason = pl.when(~pl.col("_there")).then(pl.lit("no_image")).alias("reason")
        digest = pl.lit(None, pl.String).alias("digest")
        listed = self._rows.with_columns(reason, digest, bytes="_bytes", tag="_tag")
        return listed.select(*FOUND).sort("key")

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return what the rows say beside their images; classes by name, and number as ``_id``."""
        return {"": self._rows.drop(*OWN).sort("key")}

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[Fetched]:
        """Yield each of ``wanted``; reads only the row groups that have some, each once."""
        shards = {shard.version: shard for shard in self._shards}
        placed = sorted((_place(each), index) for index, each in enumerate(wanted))
        with _naming(self._name):
            for version, group in groupby(placed, key=lambda each: each[0][0]):
                some = [(number, wanted[index]) for (_, number), index in group]
                if version in shards and not shards[version].changed():
                    yield from self._fetch(shards[version], some)
                else:
                    yield from _all_changed(each for _, each in some)

    @cached_property
    def _rows(self) -> pl.DataFrame:
        """All rows in order: keys, tags, what was read of them."""
        parts: list[pl.DataFrame] = []
        with _naming(self._name), progress("scan", len(self._shards), "files") as advance:
            for shard in self._shards:
                parts.append(self._read(shard))
                _refuse_other_columns(parts[0], parts[-1], self._shards[0], shard)
                advance(1)
        self.new = self._readings.fresh
        rows = pl.concat(parts).with_row_index("_key")
        return rows.select(pl.col("_key").cast(pl.String).alias("key"), pl.exclude("_key"))

    def _read(self, shard: Shard) -> pl.DataFrame:
        name = f"1 {shard.version} {type(shard).__name__} {self._spec.image}"
        rows = self._readings.of(name, lambda: Reader(shard, self._spec.image).rows())
        tag = pl.format("{}:{}", pl.lit(shard.version), "_row").alias("_tag")
        return rows.with_columns(tag)

    def _fetch(self, shard: Shard, wanted: list[tuple[int, Wanted]]) -> Iterator[Fetched]:
        numbers = sorted({number for number, _ in wanted})
        left = deque(wanted)
        try:
            for number, content in Reader(shard, self._spec.image).images(numbers):
                while left and left[0][0] == number:  # two equal files have equal tags
                    yield Fetched(left.popleft()[1], content)
        except ChangedError:
            pass
        yield from _all_changed(each for _, each in left)


def _shards(spec: Parquet, name: str, root: Path) -> list[Shard]:
    if spec.path.startswith(HUB):
        return list(hub_shards(spec.path, spec.include, spec.exclude))
    if spec.path.startswith("s3://"):
        # boto3 takes a quarter of a second to import.
        from imagemill.sources.parquet.bucket import bucket_shards  # noqa: PLC0415

        return list(bucket_shards(spec, name))
    return [Local(file) for file in local_files(spec.path, spec.include, spec.exclude, root)]


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Put the name of the source before what is wrong with it."""
    try:
        yield
    except SourceError as error:
        said = str(error).removeprefix(f"sources.{source}: ")
        raise SourceError(f"sources.{source}: {said}") from error
    except ChangedError as error:
        raise SourceError(
            f"sources.{source}: {error} was replaced while it was read. Build again."
        ) from error


def _place(wanted: Wanted) -> tuple[str, int]:
    """Return the version of the file and the row in it that a tag means."""
    version, _, number = wanted.tag.rpartition(":")
    return version, int(number)


def _all_changed(wanted: Iterable[Wanted]) -> Iterator[Fetched]:
    for each in wanted:
        error = UnavailableError(
            "changed", "its file changed between scan and download; build again"
        )
        yield Fetched(each, error)


def _refuse_other_columns(first: pl.DataFrame, other: pl.DataFrame, one: Shard, two: Shard) -> None:
    if first.schema == other.schema:
        return
    mine, theirs = (set(frame.schema.items()) for frame in (first, other))
    name, kind = min(mine ^ theirs, key=str)
    raise SourceError(
        f"{two.name} has other columns than {one.name}; {name}, {kind}, is only in one of them. "
        "Make two sources of them by `include`."
    )
