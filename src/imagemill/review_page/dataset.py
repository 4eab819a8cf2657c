"""What a page shows of a built dataset: images by content hash, what is said of them, and pairs.

Several samples may have the same bytes. They are one image here, as they are one in the file of
reviews, and are called by the first of them that is kept.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from imagemill import config
from imagemill.errors import BuildError
from imagemill.report import Config as Shown
from imagemill.review_page import boxes
from imagemill.reviews.taxonomy import Taxonomy
from imagemill.tables import (
    EMBEDDINGS,
    EVIDENCE,
    FACTS,
    LEAKS,
    MANIFEST,
    PAIRS,
    PLACES,
    SAMPLES,
    VERDICTS,
)

MEASURED = [
    *("format", "mode", "width", "height", "quality", "frames", "orientation"),
    *("sharpness", "brightness", "contrast", "entropy", "saturation", "gps", "taken", "camera"),
]
"""Columns of ``tables.FACTS`` that the page shows."""

REVIEW = "review"
"""Source of evidence that only repeats what people said."""

BUILD = "build"
"""Source of a reason that no evidence gives: of ``merge``, ``measure`` or ``leaks``."""


@dataclass(frozen=True)
class Dataset:
    """Tables of one build, put together for looking at."""

    name: str
    folder: Path
    """``data/<name>``."""
    reviewed_as: str
    """The dataset whose file of reviews holds for this one."""
    obeyed: bool
    """Whether the build obeys reviews at all."""
    taxonomy: Taxonomy
    shown: Shown
    images: pl.DataFrame
    """One row a content hash, sorted by it, with ``at``: the number of the row."""
    flags: pl.DataFrame
    """``at``, ``code``, ``source``, ``confidence``, ``suggested``, ``detail``, ``effect``."""
    pairs: pl.DataFrame
    """``a`` and ``b``: rows of ``images``; ``kind``, ``transform``, ``score``, ``distance``,
    ``similarity``; of leaks also ``leak``: true, ``removed`` and the two splits."""

    boxes: pl.DataFrame
    """Annotations of all images, as ``boxes.read`` gives."""

    def at(self, digest: str) -> int | None:
        """Return the row of an image; None where there is no such image."""
        column = self.images["digest"]
        row = int(column.search_sorted(digest))
        return row if row < len(column) and column[row] == digest else None

    @property
    def embeddings(self) -> Path | None:
        """The table of embeddings; None where no model was chosen."""
        path = self.folder / "measure" / EMBEDDINGS.file
        there = path.exists() and pl.scan_parquet(path).select(pl.len()).collect().item()
        return path if there else None

    def labels(self) -> list[str]:
        """Return every label that an image has or that is suggested for one, sorted."""
        said = [self.images["label"], self.images["new_label"], self.flags["suggested"]]
        said.append(self.boxes["category"])
        return (
            pl.concat([each.rename("label") for each in said])
            .drop_nulls()
            .unique()
            .sort()
            .to_list()
        )


def stamp(root: Path, name: str) -> tuple[int, ...]:
    """Return what changes when ``name`` is built again."""
    folder = root / "data" / name
    files = [
        folder / "config.yaml",
        folder / "clean" / EVIDENCE.file,
        folder / "match" / PAIRS.file,
        folder / "leaks" / LEAKS.file,
        folder / "download" / PLACES.file,
    ]
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in files)


def read(root: Path, name: str) -> Dataset:
    """Read the last build; raises ``BuildError`` where none came as far as ``clean``."""
    folder = root / "data" / name
    if not (folder / "clean" / EVIDENCE.file).exists():
        raise BuildError(f"{name}: is not built up to its verdicts; `dvc repro clean@{name}`")
    given = config.read(folder / "config.yaml", "clean")["reviews"]
    samples = SAMPLES.read(folder / "merge")
    named = _judged(samples, folder)
    images = _images(named, folder)
    known = named.select("sample", "digest").join(images.select("digest", "at"), on="digest")
    return Dataset(
        name=name,
        folder=folder,
        reviewed_as=given["of"] or name,
        obeyed=given["obey"] == "obeyed",
        taxonomy=Taxonomy(tags=given["tags"]),
        shown=Shown.model_validate(config.read(folder / "config.yaml", "report")),
        images=images,
        flags=_flags(EVIDENCE.read(folder / "clean"), known, images),
        pairs=_pairs(folder, known, images),
        boxes=boxes.read(folder, named.select("sample", "digest")),
    )


def _judged(samples: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Return the samples with the last word on each: that of ``leaks`` where it is not older."""
    early, late = folder / "clean" / VERDICTS.file, folder / "leaks" / MANIFEST.file
    later = late.exists() and late.stat().st_mtime_ns >= early.stat().st_mtime_ns
    table = MANIFEST.read(folder / "leaks") if later else VERDICTS.read(folder / "clean")
    word = table.select("sample", "verdict", "reasons", "kept_as", new_label="label")
    mine = samples.select("sample", "digest", "label", "identity", "group", "split")
    return mine.join(word, on="sample", how="left", maintain_order="left")


def _images(named: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Return one row a content hash whose bytes are held."""
    facts = (
        FACTS.lazy(folder / "measure")
        .select(
            "digest",
            *MEASURED,
            unread=pl.when(pl.col("reason").is_not_null()).then(pl.coalesce("detail", "reason")),
        )
        .collect()
    )
    kept_first = named.sort(pl.col("verdict") == "remove", "sample", maintain_order=True)
    first = kept_first.unique("digest", keep="first", maintain_order=True)
    names = named.sort("sample").group_by("digest").agg(samples="sample")
    return (
        first.join(PLACES.read(folder / "download"), on="digest")
        .join(facts, on="digest", how="left")
        .join(names, on="digest", how="left")
        .sort("digest")
        .with_row_index("at")
    )


_FLAG = ["code", "source", "confidence", "suggested", "detail", "effect"]


def _flags(evidence: pl.DataFrame, known: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    said = evidence.filter(pl.col("source") != REVIEW).join(known, on="sample")
    said = said.select("at", *_FLAG).unique(maintain_order=True)
    told = said.select("at", "code").unique()
    reasons = images.select("at", code="reasons").explode("code").drop_nulls("code")
    silent = reasons.filter(pl.col("code") != "removed_by_review").join(
        told, on=["at", "code"], how="anti"
    )
    more = silent.with_columns(source=pl.lit(BUILD), effect=pl.lit("remove"))
    return pl.concat([said, more], how="diagonal").sort("at", "code", "source", nulls_last=True)


def _pairs(folder: Path, known: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of images, then the leaks of which both images are here."""
    rows = images.select("digest", "at")
    likely = (
        PAIRS.read(folder / "match")
        .join(rows.rename({"at": "a_at"}), left_on="a", right_on="digest")
        .join(rows.rename({"at": "b_at"}), left_on="b", right_on="digest")
        .drop("a", "b")
        .rename({"a_at": "a", "b_at": "b", "tier": "kind"})
        .with_columns(leak=pl.lit(value=False))
    )
    place = folder / "leaks"
    found = LEAKS.read(place) if (place / LEAKS.file).exists() else LEAKS.frame()
    ends = known.select("sample", "at")
    leaks = (
        found.join(ends.rename({"at": "a_at"}), left_on="a", right_on="sample")
        .join(ends.rename({"at": "b_at"}), left_on="b", right_on="sample")
        .select(
            *("kind", "transform", "score", "distance", "similarity"),
            *("split_a", "split_b", "label_a", "label_b"),
            a="a_at", b="b_at", sample_a="a", sample_b="b", removed="removed",
            leak=pl.lit(value=True),
        )
    )  # fmt: skip
    both = pl.concat([likely, leaks], how="diagonal")
    return both.sort("leak", "a", "b", "kind").with_row_index("number")
