"""One line of a file of reviews: its columns, how it is written, and what makes it wrong."""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import NamedTuple

from imagemill import sheets
from imagemill.errors import suggest
from imagemill.reviews.taxonomy import NONE, RELABEL, WITHDRAW, Taxonomy, actions

NUMBER = re.compile(r"-?\d{1,18}")
SHA256 = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Review(NamedTuple):
    """What one person said of one image, of one annotation of it, or of a pair of images."""

    digest: str
    """sha256 of the image's file, as in ``tables.SAMPLES``; of a pair the lesser one."""
    other: str = ""
    """The other one's of a pair; empty for an image."""
    annotation: str = ""
    """Id of the annotation in COCO's JSON; empty for the whole image."""
    tags: tuple[str, ...] = ()
    action: str = NONE
    label: str = ""
    """The new label, of ``relabel``."""
    reviewer: str = ""
    time: str = ""
    """ISO 8601 in UTC, such as 2026-11-21T09:30:00Z."""
    note: str = ""


COLUMNS = Review._fields


def now() -> str:
    """Return the time of a review that is made now."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def pair(one: str, two: str, action: str, reviewer: str, time: str, note: str = "") -> Review:
    """Return a review of a pair of images, by their digests in any order."""
    low, high = sorted([one, two])
    return Review(low, high, action=action, reviewer=reviewer, time=time, note=note)


def line(review: Review, columns: Sequence[str] = COLUMNS) -> str:
    """Return the line of a file with these columns, line break included.

    The last cell always stands in quotes, so that a line that was cut short is known as such. Line
    breaks within a cell become spaces: a review is one line, which Git can merge.
    """
    said = review._replace(tags=",".join(review.tags))._asdict()  # type: ignore[arg-type]
    cells = [_cell(said[name]) for name in columns]
    target = StringIO()
    csv.writer(target, lineterminator="").writerow(cells[:-1])
    quoted = cells[-1].replace('"', '""')
    return f'{target.getvalue()},"{quoted}"\n'


def _cell(text: str) -> str:
    storable = text.encode("utf-8", errors="replace").decode()
    return sheets.guard(storable.replace("\r", " ").replace("\n", " "))


def read(text: str, columns: Sequence[str]) -> Review:
    """Return the review of a line whose cells are those of ``columns``.

    Raises ``ValueError`` saying what is wrong with the line as such; ``wrong`` says the rest.
    """
    try:
        (cells,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise ValueError(f"is no line of CSV: {error}") from error
    if len(cells) != len(columns):
        raise ValueError(f"has {len(cells)} cells, and the first line {len(columns)}")
    said = {name: sheets.unguard(cell) for name, cell in zip(columns, cells, strict=True)}
    tags = tuple(tag.strip() for tag in said.pop("tags").split(",") if tag.strip())
    return Review(**said, tags=tags)


def wrong(review: Review, taxonomy: Taxonomy) -> str | None:
    """Return what is wrong with a review, and how to mend it; None where nothing is."""
    for tag in review.tags:
        if tag not in taxonomy.tags:
            return f"tags: {tag}: no such tag{suggest(tag, taxonomy.tags)}"
    known = actions(pair=bool(review.other))
    if review.action not in known:
        near = suggest(review.action, filter(None, known))
        return f"action: {review.action}: no such action{near}"
    return next((said for holds, said in _faults(review) if holds), None)


def _faults(review: Review) -> Iterator[tuple[bool, str]]:
    """Yield what may be wrong with a review, each with whether it is."""
    digest, other, annotation, label = review.digest, review.other, review.annotation, review.label
    relabels = review.action == RELABEL
    says = bool(review.action or review.tags or review.note)
    yield not SHA256.fullmatch(digest), f"digest: {digest!r} is no sha256"
    yield not SHA256.fullmatch(other or digest), f"other: {other!r} is no sha256"
    yield other == digest, "other: is the image itself; a pair has two"
    yield not NUMBER.fullmatch(annotation or "0"), f"annotation: {annotation!r} is no number"
    yield bool(annotation and other), "annotation: a pair of images has none; leave it empty"
    yield not review.reviewer.strip(), "reviewer: is empty; say who decided"
    yield not _is_time(review.time), f"time: {review.time!r} is not like 2026-11-21T09:30:00Z"
    yield relabels and not label, "label: is empty; relabel needs the new label"
    yield (
        bool(label and not relabels),
        f"label: {label!r}, but the action is not relabel; empty it, or relabel",
    )
    yield (
        review.action == WITHDRAW and bool(review.tags),
        "tags: a withdrawn verdict has none; leave them empty",
    )
    yield not says, "action: says nothing: no action, no tags, no note"


def _is_time(text: str) -> bool:
    try:
        return bool(TIME.fullmatch(text)) and datetime.fromisoformat(text) is not None
    except ValueError:
        return False
