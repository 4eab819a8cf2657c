"""Which images or pairs a reviewer goes through, and in what order: filters that stand in the URL.

A queue is a function of the filters, the build and the first ``asof`` reviews of the file. It does
not shift under the reviewer's hands while verdicts are added, and is the same after a restart.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imagemill.errors import BuildError
from imagemill.review_page.dataset import Dataset

EVERY = "*"
"""In place of a reason: every image, flagged or not."""


class Filters(BaseModel):
    """What the query of the page's URL says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["images", "pairs", "leaks"] = "images"
    reason: str = ""
    """A code; empty: any."""
    label: str = ""
    split: str = ""
    verdict: Literal["", "keep", "remove", "relabel"] = ""
    """Of the last build."""
    status: Literal["open", "unseen", "judged", "discuss", "all"] = "open"
    """open: nobody has said anything; unseen: ``me`` has not; discuss: people disagree, or are
    not sure."""
    me: str = ""
    least: Annotated[float, Field(ge=-1, le=1)] | None = None
    most: Annotated[float, Field(ge=-1, le=1)] | None = None
    text: str = ""
    """In the sample's name."""
    share: Annotated[str, Field(pattern=r"^$|^[1-9]\d{0,2}/[1-9]\d{0,2}$")] = ""
    """``1/3``: the first of three equal parts, by content hash."""
    sort: Literal["score", "label", "name", "shuffled"] = "score"

    @model_validator(mode="after")
    def _share_is_a_part(self) -> Self:
        part, _, of = self.share.partition("/")
        if self.share and int(part) > int(of):
            raise ValueError(f"share: {self.share}: the first number is at most the second")
        return self


def filters(query: Mapping[str, str]) -> Filters:
    """Return the filters of a query; raises ``BuildError`` naming the one that is wrong."""
    given = {name: value for name, value in query.items() if value != ""}
    try:
        return Filters.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(each) for each in first["loc"]) or "filter"
        raise BuildError(f"{name}: {first.get('input')!r}: {first['msg']}") from error


def chosen(dataset: Dataset, given: Filters, known: pl.DataFrame) -> pl.DataFrame:
    """Return ``id`` of what passes the filters but for ``status``, in order, and its standing.

    ``id``: rows of ``dataset.images``, or numbers of ``dataset.pairs``. ``known``: what
    ``said.Said.known`` gives. The result has ``judged``, ``mine``, ``discuss``.
    """
    rows = _images(dataset, given) if given.kind == "images" else _pairs(dataset, given)
    rows = rows.filter(_shared(given))
    return _marked(rows, known, given).select("id", "judged", "mine", "discuss")


STATUS = {
    "open": ~pl.col("judged"),
    "unseen": ~pl.col("mine"),
    "judged": pl.col("judged"),
    "discuss": pl.col("discuss"),
    "all": pl.lit(value=True),
}
"""What ``Filters.status`` asks of the rows that ``chosen`` gives."""


def _images(dataset: Dataset, given: Filters) -> pl.DataFrame:
    images = dataset.images.select("at", "digest", "sample", "label", "split", "verdict", "unread")
    scores = _scores(dataset, given)
    rows = images.join(scores, on="at", how="left" if given.reason == EVERY else "inner")
    passing = _between(given) & _named(given, "sample")
    for name in ("label", "split", "verdict"):
        if wanted := getattr(given, name):
            passing &= pl.col(name) == wanted
    found = rows.filter(passing).with_columns(key=pl.col("digest"), other=pl.lit(""))
    best = [pl.col("score").neg(), pl.col("unread").is_not_null(), pl.col("digest")]
    order = {
        "score": best,
        "label": [pl.col("label"), *best],
        "name": [pl.col("sample")],
        "shuffled": [pl.col("digest").str.slice(32)],
    }[given.sort]
    return found.sort(order, nulls_last=True).rename({"at": "id"})


def _scores(dataset: Dataset, given: Filters) -> pl.DataFrame:
    """Return ``at`` and the highest ``score`` of the images that are flagged as is asked."""
    flags = dataset.flags
    if given.reason not in ("", EVERY):
        flags = flags.filter(code=given.reason)
    return flags.group_by("at").agg(score=pl.col("confidence").max())


def _pairs(dataset: Dataset, given: Filters) -> pl.DataFrame:
    side = dataset.images.select("at", "digest", "sample", "label", "split", "verdict")
    rows = dataset.pairs.filter(leak=given.kind == "leaks")
    if given.reason not in ("", EVERY):
        rows = rows.filter(kind=given.reason)
    rows = (
        rows.select("number", "a", "b", "score")
        .join(side, left_on="a", right_on="at")
        .join(side, left_on="b", right_on="at", suffix="_other")
    )
    passing = _between(given) & (_named(given, "sample") | _named(given, "sample_other"))
    for name in ("label", "split", "verdict"):
        if wanted := getattr(given, name):
            passing &= (pl.col(name) == wanted) | (pl.col(f"{name}_other") == wanted)
    low = pl.min_horizontal("digest", "digest_other")
    high = pl.max_horizontal("digest", "digest_other")
    found = rows.filter(passing).with_columns(key=low, other=high)
    order = {  # the least alike first: those most open to doubt
        "score": [pl.col("score"), pl.col("number")],
        "label": [pl.col("label"), pl.col("label_other"), pl.col("number")],
        "name": [pl.col("sample"), pl.col("sample_other")],
        "shuffled": [pl.col("key").str.slice(32), pl.col("number")],
    }[given.sort]
    return found.sort(order, nulls_last=True).rename({"number": "id"})


def _between(given: Filters) -> pl.Expr:
    score = pl.lit(value=True)
    if given.least is not None:
        score &= pl.col("score") >= given.least
    return score & (pl.col("score") <= given.most) if given.most is not None else score


def _named(given: Filters, column: str) -> pl.Expr:
    if not given.text:
        return pl.lit(value=True)
    return pl.col(column).str.to_lowercase().str.contains(given.text.lower(), literal=True)


def _shared(given: Filters) -> pl.Expr:
    """Tell which rows are of this share: by the content hash alone, whatever else is filtered."""
    if not given.share:
        return pl.lit(value=True)
    part, of = (int(each) for each in given.share.split("/"))
    number = pl.col("key").str.slice(8, 12).str.to_integer(base=16, strict=True)
    return number % of == part - 1


def _marked(rows: pl.DataFrame, known: pl.DataFrame, given: Filters) -> pl.DataFrame:
    """Return rows with what people have said; a pair is settled by a word on one of its images."""
    mine = pl.col("reviewers").list.contains(given.me)
    marks = known.select("key", "other", "judged", "discuss", mine=mine)
    found = rows.join(marks, on=["key", "other"], how="left", maintain_order="left")
    if given.kind != "images":
        whole = marks.filter(other="").drop("other", "discuss")
        for end in ("key", "other"):
            side = whole.rename({"key": end, "judged": f"judged_{end}", "mine": f"mine_{end}"})
            found = found.join(side, on=end, how="left", maintain_order="left")
        found = found.with_columns(
            judged=pl.any_horizontal(pl.col("judged", "judged_key", "judged_other")),
            mine=pl.any_horizontal(pl.col("mine", "mine_key", "mine_other")),
        )
    return found.with_columns(pl.col("judged", "mine", "discuss").fill_null(value=False))
