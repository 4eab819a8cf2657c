"""What people have said so far: the file of reviews, read again whenever it has changed.

Others add to the file while the page is open: another window, a notebook, ``git pull``. What was
added is told apart from what was edited, so that the page can say which it is.
"""

from collections import defaultdict
from pathlib import Path
from threading import RLock
from typing import NamedTuple

import polars as pl

from imagemill.reviews import file, order, standing
from imagemill.reviews.file import Log, Problem
from imagemill.reviews.order import Item
from imagemill.reviews.rows import Review
from imagemill.reviews.standing import STANDING
from imagemill.reviews.taxonomy import Taxonomy
from imagemill.tables import Dtype

UNCERTAIN = "mislabel_uncertain"
"""Tag that asks for others' opinion."""

KNOWN: dict[str, Dtype] = {
    "key": pl.String,
    "other": pl.String,
    "judged": pl.Boolean,
    "discuss": pl.Boolean,
    "reviewers": pl.List(pl.String),
}
"""Columns of what is known of each image and pair; annotations count for their image."""


class Version(NamedTuple):
    """How far the file has been read."""

    epoch: int
    """Grows when the file was edited rather than added to."""
    read: int
    """Reviews in it."""


class Said:
    """The reviews of one dataset; several threads may ask."""

    def __init__(self, root: Path, dataset: str, taxonomy: Taxonomy) -> None:
        self._root, self._dataset, self._taxonomy = root, dataset, taxonomy
        self._lock = RLock()
        self._seen: tuple[int, int, int] | None = None
        self._content = b""
        self._log = Log("")
        self._items: dict[Item, list[int]] = {}
        self._epoch = 0
        self._known: tuple[Version, pl.DataFrame] | None = None
        self.version()

    @property
    def name(self) -> str:
        """The file, as messages name it."""
        return f"{file.FOLDER}/{self._dataset}.csv"

    def version(self) -> Version:
        """Read what is new in the file; return how far it is read."""
        with self._lock:
            path = file.path(self._root, self._dataset)
            found = path.stat() if path.exists() else None
            seen = (found.st_ino, found.st_size, found.st_mtime_ns) if found else None
            if seen != self._seen:
                self._read(path.read_bytes() if found else b"")
                self._seen = seen
            return Version(self._epoch, len(self._log.reviews))

    def add(self, reviews: list[Review]) -> Version:
        """Write reviews, on the disk when this returns. Raises ``BuildError``: none is written."""
        with self._lock:
            self.version()
            there = self.of([order.item(each) for each in reviews])
            ordered = order.after(reviews, there)
            file.append(self._root, self._dataset, ordered, self._taxonomy)
            return self.version()

    def problems(self) -> list[Problem]:
        """Return the lines that say nothing which can be obeyed."""
        return self._log.problems

    def since(self, count: int) -> list[Review]:
        """Return the reviews after the first ``count``."""
        return self._log.reviews[count:]

    def of(self, items: list[Item]) -> list[Review]:
        """Return all that was said of these, in the order of the file."""
        with self._lock:
            places = sorted(at for item in items for at in self._items.get(item, []))
            return [self._log.reviews[at] for at in places]

    def standing(self, items: list[Item]) -> pl.DataFrame:
        """Return ``tables.REVIEWS`` of these items alone, each with its state."""
        with self._lock:
            places = sorted(at for item in items for at in self._items.get(item, []))
            reviews = [self._log.reviews[at] for at in places]
            lines = [self._log.lines[at] for at in places]
        return standing.standing(Log("", reviews, lines))

    def everything(self, asof: int | None = None) -> pl.DataFrame:
        """Return ``tables.REVIEWS`` of the whole file, or of its first ``asof`` reviews."""
        with self._lock:
            reviews, lines = self._log.reviews[:asof], self._log.lines[:asof]
        return standing.standing(Log("", reviews, lines))

    def known(self, asof: int) -> pl.DataFrame:
        """Return ``KNOWN`` of every image and pair of which the first ``asof`` reviews speak."""
        with self._lock:
            version = Version(self._epoch, asof)
            if self._known is None or self._known[0] != version:
                self._known = (version, _known(self.everything(asof)))
            return self._known[1]

    def _read(self, content: bytes) -> None:
        before, self._content = self._content, content
        added = content[len(before) :]
        if before.endswith(b"\n") and content.startswith(before):
            self._extend(before, added)
            return
        self._epoch += bool(before)
        self._log = file.parse(content, self.name, self._taxonomy)
        self._items = defaultdict(list)
        self._index(0)

    def _extend(self, before: bytes, added: bytes) -> None:
        head, _, _ = before.partition(b"\n")
        more = file.parse(head + b"\n" + added, self.name, self._taxonomy)
        shift, start = before.count(b"\n") - 1, len(self._log.reviews)
        self._log.reviews.extend(more.reviews)
        self._log.lines.extend(line + shift for line in more.lines)
        self._log.problems.extend(each._replace(line=each.line + shift) for each in more.problems)
        self._index(start)

    def _index(self, start: int) -> None:
        for at, each in enumerate(self._log.reviews[start:], start):
            self._items.setdefault((each.digest, each.other, each.annotation), []).append(at)


def _known(reviews: pl.DataFrame) -> pl.DataFrame:
    if reviews.is_empty():
        return pl.DataFrame(schema=KNOWN)
    stands = reviews.filter(STANDING)
    unsure = pl.col("tags").list.contains(UNCERTAIN)
    return stands.group_by(key="digest", other="other").agg(
        judged=pl.lit(value=True),
        discuss=((pl.col("state") == standing.OVERRULED) | unsure).any(),
        reviewers=pl.col("reviewer").unique().sort(),
    )
