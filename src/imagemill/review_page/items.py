"""What the page is told of images and pairs, as values of JSON. All text is shown as text."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import polars as pl

from imagemill.report import words
from imagemill.review_page.dataset import BUILD, MEASURED, Dataset
from imagemill.review_page.said import Said
from imagemill.reviews.order import Item
from imagemill.reviews.standing import REPLACED, WITHDRAWN

Json = dict[str, Any]

_IMAGE = [
    *("digest", "sample", "label", "new_label", "identity", "group", "split"),
    *("verdict", "kept_as", "width", "height", "unread"),
]
_PAIR = ["kind", "transform", "score", "distance", "similarity", "removed", "leak"]
_REVIEW = ["reviewer", "action", "label", "tags", "note", "time", "state"]
UNREAL = (REPLACED, WITHDRAWN)


def images(dataset: Dataset, said: Said, rows: Iterable[int]) -> list[Json]:
    """Return these rows of ``dataset.images``, in their order, with what is said of each."""
    wanted = list(rows)
    found = dataset.images.select("at", *_IMAGE)[wanted]
    flags = _flags(dataset, wanted)
    reviews = told(said, [(digest, "", "") for digest in found["digest"]])
    return [
        {**row, "flags": flags[row.pop("at")], "said": reviews[(row["digest"], "", "")]}
        for row in found.iter_rows(named=True)
    ]


def pairs(dataset: Dataset, said: Said, numbers: Iterable[int]) -> list[Json]:
    """Return these rows of ``dataset.pairs``, in their order, with both images."""
    found = dataset.pairs[list(numbers)]
    ends = images(dataset, said, [*found["a"], *found["b"]])
    both = list(zip(ends[: len(found)], ends[len(found) :], strict=True))
    called = [pair(a["digest"], b["digest"]) for a, b in both]
    reviews = told(said, called)
    rows = found.iter_rows(named=True)
    return [
        {**_pair(row, a, b), "said": reviews[item]}
        for row, (a, b), item in zip(rows, both, called, strict=True)
    ]


def _pair(row: Json, a: Json, b: Json) -> Json:
    return {
        **{name: row[name] for name in _PAIR},
        "title": words.TIERS.get(row["kind"], row["kind"]),
        "turn": words.TRANSFORMS.get(row["transform"] or "none", row["transform"]),
        "left": _end(a, row, "a"),
        "right": _end(b, row, "b"),
    }


def _end(image: Json, row: Json, side: str) -> Json:
    """Return an image as the sample that leaks, where its bytes are in several splits."""
    if not row["leak"]:
        return image
    names = ("sample", "split", "label")
    return {**image, **{name: row[f"{name}_{side}"] for name in names}}


def pair(one: str, two: str) -> Item:
    """Return how a pair is called among the reviews."""
    low, high = sorted([one, two])
    return low, high, ""


def told(said: Said, items: list[Item]) -> dict[Item, list[Json]]:
    """Return of each item what stands, in the order of time."""
    found: dict[Item, list[Json]] = defaultdict(list)
    rows = said.standing(items).sort("time", "line")
    for row in rows.filter(~pl.col("state").is_in(UNREAL)).iter_rows(named=True):
        found[row["digest"], row["other"], row["annotation"]].append(
            {name: row[name] for name in _REVIEW}
        )
    return found


def boxes(dataset: Dataset, said: Said, digest: str) -> list[Json]:
    """Return the annotations of an image with their boxes, and what is said of each."""
    found = dataset.boxes.filter(digest=digest).drop("digest")
    called = [(digest, "", str(number)) for number in found["id"]]
    reviews = told(said, called)
    rows = zip(found.iter_rows(named=True), called, strict=True)
    return [{**row, "said": reviews[item]} for row, item in rows]


def history(said: Said, item: Item) -> list[Json]:
    """Return everything that was ever said of an item, the latest first."""
    rows = said.standing([item]).sort("time", "line", descending=True)
    return rows.select(_REVIEW).to_dicts()


def facts(dataset: Dataset, at: int) -> Json:
    """Return what is measured of an image, and the samples that have its bytes."""
    row = dataset.images.row(at, named=True)
    return {
        "samples": row["samples"],
        "bytes": row["length"],
        **{name: row[name] for name in MEASURED if row[name] is not None},
    }


def reasons(dataset: Dataset) -> dict[str, list[Json]]:
    """Return every reason to look at an image, a pair or a leak, with how many it concerns."""
    flags = dataset.flags.group_by("code").agg(count=pl.col("at").n_unique())
    kinds = dataset.pairs.group_by("kind", "leak").agg(count=pl.len())
    told = {"images": flags, **{name: kinds.filter(leak=leak) for name, leak in _LEAK.items()}}
    return {
        name: sorted((_reason(row[0], row[-1]) for row in rows.rows()), key=_title)
        for name, rows in told.items()
    }


_LEAK = {"pairs": False, "leaks": True}


def _reason(code: str, count: int) -> Json:
    if code in words.TIERS:
        return {"code": code, "title": words.TIERS[code].capitalize(), "text": "", "count": count}
    said = words.of(code)
    return {"code": code, "title": said.title, "text": said.text, "count": count}


def _title(reason: Json) -> tuple[str, str]:
    return reason["title"], reason["code"]


def _flags(dataset: Dataset, rows: list[int]) -> dict[int, list[Json]]:
    found: dict[int, list[Json]] = defaultdict(list)
    wanted = pl.Series(rows, dtype=dataset.flags["at"].dtype).unique()
    for row in dataset.flags.filter(pl.col("at").is_in(wanted.implode())).iter_rows(named=True):
        at = row.pop("at")
        by = "" if row["source"] == BUILD else row["source"]
        found[at].append({**row, "source": by, "title": words.of(row["code"]).title})
    return found
