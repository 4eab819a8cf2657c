"""What the page may ask for, each answer made of JSON values, and the one thing it may do: review.

Knows nothing of HTTP. Raises ``BuildError`` where a question or a verdict is wrong.
"""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl

from imagemill.errors import BuildError
from imagemill.review_page import dataset as datasets
from imagemill.review_page import items, queue
from imagemill.review_page.dataset import Dataset
from imagemill.review_page.items import Json
from imagemill.review_page.neighbours import Neighbours
from imagemill.review_page.pictures import Pictures
from imagemill.review_page.queue import Filters
from imagemill.review_page.said import Said
from imagemill.reviews import agreement, rows, standing
from imagemill.reviews.order import Item
from imagemill.reviews.rows import Review
from imagemill.reviews.taxonomy import NONE

AT_MOST = 200  # items of one answer
ALL = 5_000  # labels that are told at once; of more those that are typed
NEAR = 24
QUEUES = 16  # remembered
REVIEWS = 5_000  # saved at once
LONGEST = {"reviewer": 200, "label": 1_000, "note": 10_000}  # characters

Query = Mapping[str, str]


class Desk:
    """One dataset under review: its tables, its pictures, and what people say."""

    def __init__(self, root: Path, name: str, reviewer: str = "") -> None:
        self._root, self._name, self._reviewer = root, name, reviewer
        self._boot = secrets.token_hex(4)  # tells a restarted server from an edited file
        self._lock = Lock()
        self._queues: OrderedDict[tuple[Any, ...], pl.DataFrame] = OrderedDict()
        self._open()

    def _open(self) -> None:
        self._stamp = datasets.stamp(self._root, self._name)
        self.dataset: Dataset = datasets.read(self._root, self._name)
        self.said = Said(self._root, self.dataset.reviewed_as, self.dataset.taxonomy)
        self.pictures = Pictures(self.dataset)
        self._neighbours: Neighbours | None = None
        self._labels = self.dataset.labels()
        self._queues.clear()

    def start(self, _: Query) -> Json:
        """Return what does not change while the page is open."""
        with self._lock:
            if datasets.stamp(self._root, self._name) != self._stamp:
                self.pictures.close()
                self._open()
        about, images = self.dataset, self.dataset.images
        return {
            "dataset": about.name,
            "title": about.shown.about.title,
            "file": self.said.name,
            "obeyed": about.obeyed,
            "reviewer": self._reviewer,
            "tags": about.taxonomy.tags,
            "labels": self._labels if len(self._labels) <= ALL else None,
            "splits": images["split"].drop_nulls().unique().sort().to_list(),
            "reasons": items.reasons(about),
            "counts": {
                "images": about.flags["at"].n_unique(),
                "every": len(images),
                "pairs": int((~about.pairs["leak"]).sum()),
                "leaks": int(about.pairs["leak"].sum()),
            },
            "neighbours": about.embeddings is not None,
            "identities": bool(images["identity"].is_not_null().any()),
            "build": _text(self._stamp),
            **self._where(),
        }

    def queue(self, query: Query) -> Json:
        """Return how long a queue is, how far people are, and where ``at`` stands in it."""
        given = queue.filters(query)
        version = self.said.version()
        rows = self._chosen(given, version.read)
        left = rows.filter(queue.STATUS[given.status])
        return {
            "total": len(left),
            "all": len(rows),
            "judged": int(rows["judged"].sum()),
            "mine": int(rows["mine"].sum()),
            "asof": version.read,
            "position": self._position(left, given, query.get("at", "")),
        }

    def items(self, query: Query) -> Json:
        """Return a part of a queue as it was when the file had ``asof`` reviews."""
        given = queue.filters(query)
        asof, offset = _number(query, "asof"), _number(query, "offset")
        rows = self._chosen(given, asof).filter(queue.STATUS[given.status])
        ids = rows["id"].slice(offset, min(_number(query, "limit", AT_MOST), AT_MOST)).to_list()
        shown = items.images if given.kind == "images" else items.pairs
        return {"offset": offset, "items": shown(self.dataset, self.said, ids)}

    def detail(self, query: Query) -> Json:
        """Return the facts of an image, its history, and what is most like it."""
        at, digest = self._image(query, "digest")
        return {
            "facts": items.facts(self.dataset, at),
            "boxes": items.boxes(self.dataset, self.said, digest),
            "history": items.history(self.said, (digest, "", "")),
            "neighbours": self._near(digest),
        }

    def same(self, query: Query) -> Json:
        """Return the images of one identity, or of one label where no identity is known."""
        column = "identity" if query.get("by") == "identity" else "label"
        found = self.dataset.images.filter(pl.col(column) == query.get("name", ""))
        offset = _number(query, "offset")
        some = found.sort("sample")["at"].slice(offset, AT_MOST).to_list()
        return {"total": len(found), "items": items.images(self.dataset, self.said, some)}

    def labels(self, query: Query) -> Json:
        """Return labels that begin with, or else contain, what is typed."""
        text = query.get("text", "").lower()
        hits = [each for each in self._labels if text in each.lower()]
        hits.sort(key=lambda each: not each.lower().startswith(text))
        return {"labels": hits[:50]}

    def people(self, _: Query) -> Json:
        """Return who did what, and how far they agree."""
        reviews = self.said.everything()
        stands = reviews.filter(standing.STANDING)
        by = stands.group_by("reviewer").agg(
            *(
                (pl.col("action") == each).sum().alias(each or "opinion")
                for each in ("keep", "remove", "relabel", "same", "different", NONE)
            ),
            total=pl.len(),
            last=pl.col("time").max(),
        )
        plain = standing.agreement(reviews)
        return {
            "people": by.sort("total", "reviewer", descending=[True, False]).to_dicts(),
            "several": plain.several,
            "agreed": plain.agreed,
            "kappas": [each._asdict() for each in agreement.kappas(reviews)],
        }

    def changes(self, query: Query) -> Json:
        """Return what was said since the page last asked, and whether the build is another."""
        where = self._where()
        build = _text(datasets.stamp(self._root, self._name))
        asked = query.get("epoch", "")
        if asked != where["epoch"]:
            how = "edited" if asked.startswith(f"{self._boot}.") else "restarted"
            return {**where, "edited": how, "build": build, "said": [], "people": {}}
        new = self.said.since(_number(query, "count"))
        people = Counter(each.reviewer for each in new)
        said = self._told([(each.digest, each.other, each.annotation) for each in new])
        return {**where, "edited": "", "build": build, "said": said, "people": people}

    def rows(self, given: Filters) -> pl.DataFrame:
        """Return what ``queue.chosen`` gives now."""
        return self._chosen(given, self.said.version().read)

    def save(self, given: Json) -> Json:
        """Write verdicts; return them as they stand. All are written, or none."""
        reviews = [self._review(given.get("reviewer"), each) for each in _list(given)]
        self.said.add(reviews)
        said = self._told([(each.digest, each.other, each.annotation) for each in reviews])
        return {**self._where(), "saved": len(reviews), "said": said}

    def _told(self, asked: list[Item]) -> list[Json]:
        wanted = list(dict.fromkeys(asked))
        found = items.told(self.said, wanted)
        return [
            {"digest": each[0], "other": each[1], "annotation": each[2], "said": found[each]}
            for each in wanted
        ]

    def _review(self, reviewer: object, given: object) -> Review:
        """Return a review of what the page sent; the file's own rules are applied besides."""
        if not isinstance(given, dict):
            raise BuildError(f"reviews: {given!r} is no review")
        texts = {
            name: given.get(name, "")
            for name in ("digest", "other", "annotation", "action", "label", "note")
        }
        texts["reviewer"] = reviewer
        for name, text in texts.items():
            if not isinstance(text, str) or len(text) > LONGEST.get(name, 64):
                raise BuildError(f"{name}: must be text of at most {LONGEST.get(name, 64)} letters")
        tags = given.get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(each, str) for each in tags):
            raise BuildError(f"tags: {tags!r} is no list of tags")
        made = Review(**texts, tags=tuple(tags), time=rows.now())
        if made.other:
            made = made._replace(digest=min(made[:2]), other=max(made[:2]))
        if (wrong := rows.wrong(made, self.dataset.taxonomy)) is not None:
            raise BuildError(wrong)
        for digest in filter(None, made[:2]):
            if self.dataset.at(digest) is None:
                raise BuildError(f"digest: {digest[:12]}…: {self._name} has no such image")
        return made

    def _where(self) -> Json:
        version = self.said.version()
        problems = [each._asdict() for each in self.said.problems()[:20]]
        return {
            "epoch": f"{self._boot}.{version.epoch}",
            "count": version.read,
            "problems": problems,
        }

    def _chosen(self, given: Filters, asof: int) -> pl.DataFrame:
        key = (given.model_copy(update={"status": "all"}), asof, self.said.version().epoch)
        with self._lock:
            if key in self._queues:
                self._queues.move_to_end(key)
                return self._queues[key]
        found = queue.chosen(self.dataset, given, self.said.known(asof))
        with self._lock:
            self._queues[key] = found
            while len(self._queues) > QUEUES:
                self._queues.popitem(last=False)
        return found

    def _position(self, rows: pl.DataFrame, given: Filters, wanted: str) -> int | None:
        """Return where an image, or ``a.b`` of a pair, stands; None where it does not."""
        if not wanted:
            return None
        ends = [self.dataset.at(each) for each in wanted.split(".")]
        if given.kind == "images":
            number = ends[0]
        else:
            pairs = self.dataset.pairs
            ids = pairs.filter(a=ends[0], b=ends[-1], leak=given.kind == "leaks")["number"]
            number = ids[0] if len(ids) else None
        return None if number is None else rows["id"].index_of(number)

    def _near(self, digest: str) -> list[Json]:
        table = self.dataset.embeddings
        if table is None:
            return []
        with self._lock:
            if self._neighbours is None:
                self._neighbours = Neighbours(table)
        near = {each.digest: each.likeness for each in self._neighbours.of(digest, NEAR)}
        found = [at for each in near if (at := self.dataset.at(each)) is not None]
        shown = items.images(self.dataset, self.said, found)
        return [{**each, "likeness": round(near[each["digest"]], 4)} for each in shown]

    def _image(self, query: Query, name: str) -> tuple[int, str]:
        digest = query.get(name, "")
        at = self.dataset.at(digest)
        if at is None:
            raise BuildError(f"{name}: {digest[:12]}…: {self._name} has no such image")
        return at, digest


def _text(stamp: tuple[int, ...]) -> str:
    return ".".join(str(each) for each in stamp)


def _number(query: Query, name: str, usual: int = 0) -> int:
    text = query.get(name, str(usual))
    if not text.isdecimal() or len(text) > 12:
        raise BuildError(f"{name}: {text!r} is no number")
    return int(text)


def _list(given: Json) -> list[Any]:
    found = given.get("reviews")
    if not isinstance(found, list) or not 0 < len(found) <= REVIEWS:
        raise BuildError(f"reviews: must be a list of 1 to {REVIEWS:,} reviews")
    return found
