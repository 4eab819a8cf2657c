"""The config of ``clean``."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator

from imagemill import expect
from imagemill.clean import rules
from imagemill.config import Section
from imagemill.reviews.taxonomy import Taxonomy

AUDITS = "audits"
"""Folder of the project, beside ``conf``, with the exports of audits."""

Share = Annotated[float, Field(ge=0, le=1)]

Says = Literal["id", "path", "label", "flag", "confidence", "suggested", "reason"]


class Audit(Section):
    """An export of another tool: a CSV with one row for each thing that it flagged."""

    path: str
    """The file, below ``audits/``."""
    content: str | None
    """Its sha256; null where there is no such file."""
    separator: Annotated[str, Field(min_length=1, max_length=1)]
    columns: dict[Says, list[str]]
    """Of each thing that is told the names that its column may have; the first that is there."""
    constants: dict[Says, str]
    """What every row says where no column does."""
    wide: str
    """A regular expression with one group for columns that are one flag each, such as
    ``is_(.+)_issue``; empty where a row has one flag."""
    score: str
    """Of such a flag the column with its score, ``{}`` for the flag; 0 is worst, 1 is fine."""
    rename: dict[str, str]
    """Our names for flags; others are written small, with _ for spaces."""
    source: str | None
    """The source whose samples it is about; null: all."""
    min_matched: Share
    """Share of the rows that must name a sample; fewer, and it is the export of something else."""

    @field_validator("path")
    @classmethod
    def _lie_where_dvc_looks(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if len(parts) < 2 or parts[0] != AUDITS or ".." in parts:
            raise ValueError(f"must be a file in {AUDITS}/, which DVC watches; put it there")
        return path


class Suspects(Section):
    """Labels that the neighbours of an image contradict."""

    neighbours: Annotated[int, Field(ge=1, le=100)]
    """Images most alike, copies left out, whose labels are asked."""
    min_score: Share
    """Share of their likeness that is under other labels; from there on a label is suspect."""


class Reviews(Taxonomy):
    """What people decided."""

    obey: Literal["obeyed", "ignored"]
    of: str | None
    """The dataset whose reviews hold for this one; null: its own."""
    content: str | None
    """sha256 of the file; null where there is none."""


class MaxRemovedShare(Section):
    """Share of what came in that may be removed, before the build stops; null: any."""

    split: Share | None
    """Of each given split."""
    label: Share | None
    """Of each label, as the sources give it."""
    least: Annotated[int, Field(ge=1)]
    """Images that a split or label must have to be looked at."""


class Config(Section):
    """What counts as a usable image, whose word counts, and what a build may throw away."""

    min_side: Annotated[int, Field(ge=1)]
    """Shorter edge, in pixels; below it an image is ``too_small``."""
    max_side: Annotated[int, Field(ge=1)]
    """Longer edge, in pixels; above it an image has an ``odd_size``."""
    max_aspect: Annotated[float, Field(ge=1)]
    """Longer edge over shorter; above it an image has an ``odd_aspect``."""
    min_sharpness: Annotated[float, Field(ge=0)]
    """Variance of the Laplacian of grey 0..255; below it an image is ``blurred``."""
    min_brightness: Share
    """Mean grey 0..1; below it an image is ``dark``."""
    max_brightness: Share
    """Mean grey 0..1; above it an image is ``bright``."""
    min_entropy: Annotated[float, Field(ge=0, le=8)]
    """Bits of the grey histogram; below it an image has ``low_information``."""
    min_saturation: Share
    """Mean saturation 0..1; below it an image is ``grey``."""
    min_quality: Annotated[int, Field(ge=0, le=100)]
    """Quality that a JPEG was saved with; below it an image is of ``low_quality``."""
    remove: list[str]
    """Checks whose images are removed."""
    flag: list[str]
    """Checks whose images are kept and flagged."""
    keep_copy: Literal["largest", "sharpest", "priority", "all"]
    """Which of several copies stays; one that people keep always does."""
    priority: list[str]
    """Sources from most to least trusted; those not named come after, by name."""
    on_conflict: Literal["drop", "keep", "review"]
    """Copies under two labels or identities: drop all of them, treat them as other copies, or keep
    and flag all until people decide."""
    audits: dict[str, Audit]
    """Exports of other tools, by a name for each."""
    suspects: Suspects
    rules: list[str]
    """``condition -> action``, tried from the first; the first that holds decides."""
    reviews: Reviews
    splits: list[str]
    """Given splits that may lose or relabel images; empty: all."""
    max_removed_share: MaxRemovedShare
    expect: expect.Photos
    """What every image that is kept must be."""

    @field_validator("rules")
    @classmethod
    def _can_be_read(cls, texts: list[str]) -> list[str]:
        for number, text in enumerate(texts, start=1):
            rules.parse(text, number)
        return texts
