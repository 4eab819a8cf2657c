"""Read the rows of one Parquet file, a bounded part of it at a time."""

import json
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from imagemill.errors import SourceError
from imagemill.sources.objects import UnavailableError
from imagemill.sources.parquet.footer import RowGroup
from imagemill.sources.parquet.shards import Local, Remote, Shard, footer_of

SPAN = 1 << 26
"""Bytes of images that are decoded at once, at least one row."""

OWN = ("_row", "_bytes", "_there", "_tag")
"""Columns for the source itself; no table has them."""

_ROWS = {"_bytes": pl.Int64, "_there": pl.Boolean}

Content = bytes | UnavailableError


class Reader:
    """Reads one file. Raises ``SourceError`` when it is damaged, or has no such images."""

    def __init__(self, shard: Shard, image: str) -> None:
        self._shard = shard
        self._image = image
        self._footer = footer_of(shard)
        with self._refusing(), shard.holding(self._footer, []) as path:
            self._schema = pl.read_parquet_schema(path)
            self._classes = _class_names(pl.read_parquet_metadata(path))
        self._bytes = self._image_bytes()

    def rows(self) -> pl.DataFrame:
        """Return one row for each of the file: ``_row``, ``_bytes``, ``_there``, and its columns.

        The length is null where only fetching the image would tell it.
        """
        with self._refusing():
            shard = self._shard
            read = self._beside(shard) if isinstance(shard, Remote) else self._all(shard)
        named = _with_class_names(read, self._classes)
        return named.with_row_index("_row").with_columns(pl.col("_row").cast(pl.Int64))

    def images(self, numbers: list[int]) -> Iterator[tuple[int, Content]]:
        """Yield the images of some rows, in order; ends early when the file changes."""
        for group in self._footer.groups:
            inside = _within(numbers, group.start, group.rows)
            if inside and not self._shard.changed():
                chunks = group.of([self._image])
                with self._refusing(), self._shard.holding(self._footer, chunks) as path:
                    yield from self._decoded(path, group, inside)

    def _decoded(
        self, path: Path, group: RowGroup, numbers: list[int]
    ) -> Iterator[tuple[int, Content]]:
        for start, rows in self._spans(group):
            inside = _within(numbers, start, rows)
            if not inside:
                continue
            read = pl.scan_parquet(path).slice(start, rows).select(self._bytes).collect()
            if self._shard.changed():
                return
            found = read.to_series().gather([number - start for number in inside])
            for number, data in zip(inside, found, strict=True):
                none = UnavailableError("no_image", "the row has no image")
                yield number, none if data is None else data

    def _all(self, shard: Local) -> pl.DataFrame:
        """Read the whole file, and keep of each image its length."""
        columns = [
            self._bytes.bin.size().cast(pl.Int64).alias("_bytes"),
            self._bytes.is_not_null().alias("_there"),
            *self._said(),
            *self._path(),
        ]
        scanned = pl.scan_parquet(shard.file.path)
        spans = [span for group in self._footer.groups for span in self._spans(group)]
        parts = [scanned.slice(*span).select(columns).collect() for span in spans]
        return pl.concat([scanned.head(0).select(columns).collect(), *parts])

    def _beside(self, shard: Remote) -> pl.DataFrame:
        """Read what is beside the images."""
        names = [name for name, kind in self._schema.items() if _scalar(kind)]
        chunks = [chunk for group in self._footer.groups for chunk in group.of(names)]
        unknown = pl.DataFrame([(None, True)] * self._footer.rows, _ROWS, orient="row")
        with shard.holding(self._footer, chunks) as path:
            said = pl.scan_parquet(path).select(self._said()).collect()
        return pl.concat([unknown, said], how="horizontal")

    def _spans(self, group: RowGroup) -> Iterator[tuple[int, int]]:
        """Yield start and number of rows, few enough to be decoded at once."""
        length = sum(chunk.unpacked for chunk in group.of([self._image]))
        step = max(1, group.rows * SPAN // max(length, 1))
        for start in range(group.start, group.start + group.rows, step):
            yield start, min(step, group.start + group.rows - start)

    def _said(self) -> list[pl.Expr]:
        """Return the columns that are not nested, dates and all."""
        kept = [name for name, kind in self._schema.items() if _scalar(kind)]
        named = [(name, _free(name, {"key", *OWN})) for name in kept if name != self._image]
        return [_plain(pl.col(name), self._schema[name]).alias(alias) for name, alias in named]

    def _path(self) -> list[pl.Expr]:
        kind = self._schema[self._image]
        inner = dict(kind) if isinstance(kind, pl.Struct) else {}
        if inner.get("path") != pl.String:
            return []
        return [pl.col(self._image).struct.field("path").alias(_free("path", set(self._schema)))]

    def _image_bytes(self) -> pl.Expr:
        column, kind = pl.col(self._image), self._schema.get(self._image)
        if kind == pl.Binary:
            return column
        if isinstance(kind, pl.Struct) and dict(kind).get("bytes") == pl.Binary:
            return column.struct.field("bytes")
        there = ", ".join(f"{name} ({each})" for name, each in self._schema.items())
        wrong = f"no column {self._image}" if kind is None else f"no bytes in {self._image}"
        raise SourceError(f"{self._shard.name}: {wrong}; there are {there}. Name it in `image`.")

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (pl.exceptions.PolarsError, OSError) as error:
            said = " ".join(str(error).split())
            raise SourceError(
                f"{self._shard.name} cannot be read: {said}. "
                "Fetch that file again, or leave it out."
            ) from error


def _within(numbers: list[int], start: int, rows: int) -> list[int]:
    return numbers[bisect_left(numbers, start) : bisect_left(numbers, start + rows)]


def _scalar(kind: pl.DataType) -> bool:
    return not kind.is_nested() and kind not in (pl.Binary, pl.Object)


def _plain(column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    return column.cast(pl.String) if kind in (pl.Categorical, pl.Enum, pl.Null) else column


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{name}_"
    return name


def _class_names(metadata: dict[str, str]) -> dict[str, list[str]]:
    """Return the names of classes by column, as the library ``datasets`` writes them."""
    try:
        features: Any = json.loads(metadata["huggingface"])["info"]["features"]
        return {
            column: list(feature["names"])
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):  # written by something else
        return {}


def _with_class_names(rows: pl.DataFrame, classes: dict[str, list[str]]) -> pl.DataFrame:
    """Turn numbers of classes into names, with the numbers beside; one without a name is null."""
    for column, names in classes.items():
        if column in rows.columns and rows.schema[column].is_integer():
            number = pl.col(column).cast(pl.Int64)
            named = number.replace_strict(
                range(len(names)), names, default=None, return_dtype=pl.String
            )
            beside = _free(f"{column}_id", set(rows.columns))
            rows = rows.with_columns(named.alias(column), number.alias(beside))
    return rows
