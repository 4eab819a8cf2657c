"""The tables that flow between stages: their columns, units, keys, and how they are stored.

A table is written whole or not at all, with sorted rows and a fixed schema, so that equal
content gives equal bytes.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from imagemill.files import replacing, swap

Dtype = type[pl.DataType] | pl.DataType

Pieces = Iterator[pl.DataFrame]
"""Rows of a table, some at a time."""

AT_ONCE = 1 << 16  # rows that are compressed together


@dataclass(frozen=True)
class Table:
    """One kind of table: file name, columns with their types, and the columns that sort it."""

    file: str
    columns: Mapping[str, Dtype]
    key: tuple[str, ...]
    later: tuple[str, ...] = ()
    """Columns that files of earlier versions do not have: null there."""
    noise: bool = False
    """Whether most of it is bytes that hardly get smaller, and so are not compressed."""

    def frame(self, rows: list[dict[str, object]] | None = None) -> pl.DataFrame:
        """Return rows (none by default) as a frame with exactly this table's columns."""
        return pl.DataFrame(rows or [], schema=dict(self.columns))

    def write(self, folder: Path, frame: pl.DataFrame) -> None:
        """Write ``frame`` to ``folder`` in key order.

        Raises ``TypeError`` when a column is missing or has another type: a defect, not data.
        """
        chosen = self._chosen(frame)
        with replacing(folder / self.file) as path:
            chosen.sort(self.key, maintain_order=True).write_parquet(path, **self._form)

    def write_pieces(self, folder: Path, pieces: Pieces) -> None:
        """Write rows that come in key order, some at a time, as ``write`` does all at once."""

        def source(*_: object) -> Pieces:
            return (self._chosen(piece) for piece in pieces)

        with replacing(folder / self.file) as path:
            register_io_source(source, schema=dict(self.columns)).sink_parquet(path, **self._form)

    @property
    def _form(self) -> dict[str, Any]:
        if self.noise:
            return {"compression": "uncompressed", "row_group_size": 1 << 12}
        return {"compression": "zstd", "row_group_size": AT_ONCE}

    def _chosen(self, frame: pl.DataFrame) -> pl.DataFrame:
        chosen = frame.select(*self.columns)
        if chosen.schema != pl.Schema(self.columns):
            raise TypeError(f"{self.file}: got {chosen.schema}, promised {dict(self.columns)}")
        return chosen

    def read(self, folder: Path) -> pl.DataFrame:
        """Read the table that another stage wrote to ``folder``."""
        path = folder / self.file
        there = pl.read_parquet_schema(path) if self.later else self.columns
        lacking = {name for name in self.later if name not in there}
        found = pl.read_parquet(path, columns=[c for c in self.columns if c not in lacking])
        return self.completed(found)

    def pieces(self, folder: Path) -> Pieces:
        """Yield what ``read`` returns, some rows at a time; one piece without rows for none."""
        whole = pl.scan_parquet(folder / self.file)
        there = set(whole.collect_schema())
        whole = whole.select(name for name in self.columns if name in there)
        count = whole.select(pl.len()).collect().item()
        for start in range(0, max(1, count), AT_ONCE):
            yield self.completed(whole.slice(start, AT_ONCE).collect())

    def scan(self, folder: Path) -> pl.LazyFrame:
        """Return what ``read`` returns, without ``later``, of which only what is asked is read."""
        there = [name for name in self.columns if name not in self.later]
        return pl.scan_parquet(folder / self.file).select(there)

    def completed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return ``frame`` with the columns that an earlier version did not write."""
        lacking = [name for name in self.later if name not in frame.columns]
        nulls = [pl.lit(None, self.columns[name]).alias(name) for name in lacking]
        return frame.with_columns(nulls).select(*self.columns) if nulls else frame

    def last(self, folder: Path) -> pl.DataFrame:
        """Read the table that an earlier run left in ``folder``.

        No rows when there is none, or when an earlier version wrote it with other columns.
        """
        return self.lazy(folder).collect()

    def lazy(self, folder: Path) -> pl.LazyFrame:
        """Return what ``last`` returns, of which only what is asked for is read."""
        path = folder / self.file
        if not path.exists() or pl.read_parquet_schema(path) != dict(self.columns):
            return self.frame().lazy()
        return pl.scan_parquet(path).select(*self.columns)


def write_side_tables(folder: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write the label tables that came with the sources below ``folder``."""
    place = folder / ".tables"
    shutil.rmtree(place, ignore_errors=True)  # of a run that was killed
    place.mkdir()
    # DVC does not restore an empty folder, and a dataset may have no tables.
    (place / "names.json").write_text(json.dumps(sorted(tables)))
    for name, table in tables.items():
        table.write_parquet(place / f"{name}.parquet", compression="zstd")
    swap(place, folder / "tables")


def read_side_tables(folder: Path, names: Iterable[str] | None = None) -> dict[str, pl.DataFrame]:
    """Read the label tables that ``scan`` wrote below ``folder``, by name.

    With ``names`` only those of them: what nobody asks may be far larger than memory.
    """
    place = folder / "tables"
    there: list[str] = json.loads((place / "names.json").read_text())
    asked = there if names is None else [name for name in there if name in set(names)]
    return {name: pl.read_parquet(place / f"{name}.parquet") for name in asked}


def last_side_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """Read the label tables that an earlier run left in ``folder``; none when there are none."""
    return read_side_tables(folder) if (folder / "tables" / "names.json").exists() else {}


LISTING = Table(
    "listing.parquet",
    {
        "source": pl.String,  # name of the source in the config
        "key": pl.String,  # path below the source's root, with "/" between levels
        "bytes": pl.Int64,  # null where only fetching tells
        "tag": pl.String,  # names a version of the object, such as an ETag; null where digest does
        "digest": pl.String,  # sha256 of the content, hex; null where only fetching tells
        "wanted": pl.Boolean,  # false: its bytes are never fetched
        "reason": pl.String,  # why not wanted; null when wanted
    },
    ("source", "key"),
)
"""What lies in the sources now; written by ``scan``."""

ORPHANS = Table(
    "orphans.parquet",
    {
        "table": pl.String,  # name of the table in the config
        "column": pl.String,  # its column with keys that a layout joins
        "key": pl.String,
    },
    ("table", "column", "key"),
)
"""Keys of label tables that no listed object has; written by ``scan``."""

INDEX = Table(
    "index.parquet",
    {
        "source": pl.String,
        "key": pl.String,
        "bytes": pl.Int64,
        "tag": pl.String,
        "digest": pl.String,
        "reason": pl.String,  # null when its bytes are held in a pack
        "detail": pl.String,
    },
    ("source", "key"),
)
"""What became of every listed object; written by ``download``."""

VALIDATORS = Table(
    "validators.parquet",
    {
        "source": pl.String,
        "key": pl.String,
        "tag": pl.String,
        "validator": pl.String,  # the header with it: ``ETag: "abc"``, ``Last-Modified: Wed, ...``
    },
    ("source", "key"),
)
"""What web servers called the version that is held, to ask whether it has changed; by ``download``.
"""

PLACES = Table(
    "places.parquet",
    {
        "digest": pl.String,
        "pack": pl.String,  # file name below packs/
        "offset": pl.Int64,  # of the member's first content byte
        "length": pl.Int64,
    },
    ("digest",),
)
"""Where the bytes of each content hash lie; written by ``download``."""

SAMPLES = Table(
    "samples.parquet",
    {
        "sample": pl.String,  # "<source>/<key>": names a row from here to the package
        "source": pl.String,
        "key": pl.String,
        "digest": pl.String,
        "label": pl.String,  # the class to learn
        "identity": pl.String,  # the person or thing shown, where there is one
        "group": pl.String,  # sender, product, patient, ...: shares more than its label
        "split": pl.String,  # as given by the source; null where none is
        "name": pl.String,  # file name without suffix, unique within its class
        "reason": pl.String,  # why it is out already; null when in
        "detail": pl.String,
        "kept_as": pl.String,  # the sample that stands for these bytes, where another does
    },
    ("sample",),
)
"""One row for every listed object, with what it is said to show; written by ``merge``."""

CONFLICTS = Table(
    "conflicts.parquet",
    {
        "digest": pl.String,
        "identity": pl.String,  # or the label, where a sample with these bytes names no identity
        "samples": pl.List(pl.String),  # that say so, sorted
        "stays": pl.Boolean,  # the policy believes them
    },
    ("digest", "identity"),
)
"""Who says what of bytes that are said to show several things; written by ``merge``."""

FACTS = Table(
    "facts.parquet",
    {
        "digest": pl.String,
        "reason": pl.String,  # why the image cannot be read; null when it can
        "detail": pl.String,
        "bytes": pl.Int64,
        "format": pl.String,  # as found in the bytes, not in the name
        "mode": pl.String,  # as stored, before conversion to L or RGB
        "width": pl.Int32,  # pixels, upright
        "height": pl.Int32,
        "aspect": pl.Float32,  # longer side over the shorter, 1 or more
        "orientation": pl.Int8,  # EXIF, 1 to 8
        "frames": pl.Int32,
        "bits": pl.Int8,  # a channel
        "exif": pl.Boolean,
        "gps": pl.Boolean,
        "taken": pl.String,  # EXIF DateTimeOriginal as written; null where there is none
        "camera": pl.String,  # EXIF make and model
        "ready": pl.Boolean,  # its own bytes meet the image contract
        "quality": pl.Int8,  # that a JPEG was saved with, 1 to 100, as estimated; else null
        "sharpness": pl.Float32,  # variance of the Laplacian of grey 0..255, see figures.judged
        "brightness": pl.Float32,  # mean grey, 0..1
        "contrast": pl.Float32,  # standard deviation of grey, 0..1
        "entropy": pl.Float32,  # of the grey histogram, bits, 0..8
        "saturation": pl.Float32,  # mean of (max - min) / max of the channels, 0..1, small
        "pixels": pl.String,  # XXH3, 128 bits, of the upright RGB pixels and their shape
        "phash": pl.List(pl.UInt64),  # 8 perceptual hashes, one a transform of TRANSFORMS
        "phash256": pl.Binary,  # a finer perceptual hash, 32 bytes
        "texture": pl.Float32,  # standard deviation of the thumbnail, 0..255
        "prints": pl.Binary,  # XXH3, 128 bits, of phash, thumb and colours: what is compared
    },
    ("digest",),
)
"""What the bytes of each distinct image determine; written by ``measure``."""

THUMB_SIDE = 48
"""Pixels of a thumbnail a side: its image, upright, is squeezed to a square."""

COLOURS_SIDE = 8
"""Pixels of a colour thumbnail a side."""

THUMBS = Table(
    "thumbs.parquet",
    {
        "digest": pl.String,
        "thumb": pl.Binary,  # THUMB_SIDE squared, grey, row by row
        "colours": pl.Binary,  # COLOURS_SIDE squared, RGB, row by row
    },
    ("digest",),
    noise=True,
)
"""Small pictures of each readable image, for verification; written by ``measure``."""

EMBEDDINGS = Table(
    "embeddings.parquet",
    {"digest": pl.String, "embedding": pl.Binary},  # of length 1, float16, little-endian
    ("digest",),
    noise=True,
)
"""What a model makes of each readable image; no rows without one. Written by ``measure``."""

KEYPOINTS = Table(
    "keypoints.parquet",
    {
        "digest": pl.String,
        "hashes": pl.Binary,  # 64 bits a keypoint, little-endian
        "mirrored": pl.Binary,  # the same of the image mirrored left to right, in the same order
        "places": pl.Binary,  # of each: across, down, diameter (of the longer side), angle; float16
    },
    ("digest",),
    noise=True,
)
"""What stands out in each readable image; no rows where none are wanted. Written by ``measure``."""

PAIRS = Table(
    "pairs.parquet",
    {
        "a": pl.String,  # digests, a < b
        "b": pl.String,
        # pixels; perceptual; semantic: only the embeddings hinted at it; reviewed: people call
        # them the same
        "tier": pl.String,
        "distance": pl.Int32,  # differing bits of the perceptual hashes; 0 for pixels
        "similarity": pl.Float32,  # cosine of the embeddings; null where there are none
        "transform": pl.String,  # that takes b to a: one of TRANSFORMS
        "score": pl.Float32,  # verified likeness, -1..1
    },
    ("a", "b"),
)
"""Verified pairs of distinct images that show the same thing; written by ``match``.

``clean`` writes them again, as people would have them.

Samples with equal bytes share a digest; they are known without a row here.
"""

VERDICTS = Table(
    "verdicts.parquet",
    {
        "sample": pl.String,
        "verdict": pl.String,  # keep, remove, relabel; what is relabelled is kept
        "label": pl.String,  # the new one, of relabel
        "reasons": pl.List(pl.String),  # why removed; empty when kept
        "flags": pl.List(pl.String),  # worth knowing, no cause for removal
        "kept_as": pl.String,  # the sample that is kept in its place
    },
    ("sample",),
)
"""Keep, remove or relabel, for every sample, with all reasons; written by ``clean``."""

EVIDENCE = Table(
    "evidence.parquet",
    {
        "sample": pl.String,
        "code": pl.String,  # what is said: blurred, mislabel, duplicate, reviewed, ...
        "source": pl.String,  # who says so: check, copies, suspects, audit:NAME, rule:N, review
        "effect": pl.String,  # remove, relabel, keep, flag; null: something stronger decided
        "confidence": pl.Float64,  # 0..1, as the source says; null where it says none
        "suggested": pl.String,  # another label
        "detail": pl.String,  # in words: the audit's reason, the rule, who reviewed
    },
    ("sample", "source", "code", "detail"),
)
"""Everything that was said of the samples that merge let in, also what had no effect.

Written by ``clean``.
"""

REVIEWS = Table(
    "reviews.parquet",
    {
        "line": pl.Int64,  # of reviews/<dataset>.csv
        "digest": pl.String,
        "other": pl.String,  # the other image, of a pair; else empty
        "annotation": pl.String,  # id, of one annotation; else empty
        "tags": pl.List(pl.String),
        "action": pl.String,  # keep, remove, relabel; same, different; withdraw; or empty
        "label": pl.String,  # the new one, or empty
        "reviewer": pl.String,
        "time": pl.String,
        "note": pl.String,
        "state": pl.String,  # in_force, agrees, overruled, replaced, withdrawn, opinion
        "effect": pl.String,  # applied, or why not: absent, unreadable, ...; null: not in force
    },
    ("line",),
)
"""What people said, and what came of it; written by ``clean``."""

UNMATCHED = Table(
    "unmatched.parquet",
    {
        "audit": pl.String,  # its name in the config
        "line": pl.Int64,  # of its file
        "id": pl.String,
        "path": pl.String,
        "why": pl.String,  # no_sample, several_samples, malformed
    },
    ("audit", "line"),
)
"""Rows of audits that name no sample of this dataset; written by ``clean``."""

ANNOTATIONS = Table(
    "annotations.parquet",
    {
        "sample": pl.String,
        "table": pl.String,  # the side table that has the rest of it
        "id": pl.Int64,
        "category": pl.String,  # the new one, of relabel
        "given": pl.String,  # as the source has it
        "verdict": pl.String,  # keep, remove, relabel
        "reason": pl.String,  # why removed: image_removed, removed_by_review; null when kept
    },
    ("table", "id", "sample"),
)
"""Keep, remove or relabel, for each annotation of a sample; written by ``clean``."""

LEAKS = Table(
    "leaks.parquet",
    {
        "a": pl.String,  # samples, in different splits
        "b": pl.String,  # of a benchmark: "<name>:<file>"
        "split_a": pl.String,
        "split_b": pl.String,  # of a benchmark: its name
        "label_a": pl.String,
        "label_b": pl.String,
        "kind": pl.String,  # bytes, pixels, perceptual, semantic, group, identity, against
        "shared": pl.String,  # what both have: the content hash, group or identity; null: likeness
        "method": pl.String,  # that found it: exact, perceptual, semantic, group
        "distance": pl.Int32,  # differing bits of the perceptual hashes; null where none are
        "similarity": pl.Float32,  # 1 for equal pixels, 1 - distance / 64, or the cosine; else null
        "transform": pl.String,  # that takes b to a: one of TRANSFORMS
        "score": pl.Float32,  # verified likeness, -1..1
        "removed": pl.String,  # the sample taken out because of it; null when none was
    },
    ("a", "b", "kind"),
)
"""Pairs of samples that would carry knowledge over a split; written by ``leaks``.

A group or identity is in as many rows as it has samples: each with one of every other split.
"""

MANIFEST = Table(
    "manifest.parquet",
    {
        "sample": pl.String,
        "source": pl.String,
        "key": pl.String,
        "digest": pl.String,
        "label": pl.String,
        "identity": pl.String,
        "group": pl.String,
        "split": pl.String,
        "fold": pl.Int32,  # 0, 1, ... of a split that is divided for cross-validation; else null
        "name": pl.String,
        "verdict": pl.String,
        "reasons": pl.List(pl.String),
        "flags": pl.List(pl.String),
        "kept_as": pl.String,
    },
    ("sample",),
)
"""The final word on every listed object; written by ``leaks``, obeyed by ``package``."""

CONTENTS = Table(
    "manifest.parquet",
    {
        "member": pl.String,  # path inside the package
        "sample": pl.String,
        "copy": pl.Int32,  # 0: the image itself; 1, 2, ...: so derived from it by augmentation
        "split": pl.String,
        "fold": pl.Int32,  # as in MANIFEST
        "label": pl.String,
        "class": pl.Int32,  # position of the label in the sorted list of labels
        "digest": pl.String,  # sha256 of the source's bytes
        "packaged": pl.String,  # sha256 of its bytes in the package, XXH3 (128) of raw pixels
        "bytes": pl.Int64,
    },
    ("member",),
    later=("copy", "fold"),
)
"""What a package holds; travels in the package. Written by ``package``."""

TRANSFORMS = ("none", "rot90", "rot180", "rot270", "flip", "flip90", "flip180", "flip270")
"""Transforms of an image: turns counter-clockwise by so many degrees, after a left-right mirror
where the name says flip."""

INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)
"""For each of ``TRANSFORMS`` the number of the one that undoes it; a mirror undoes itself."""
