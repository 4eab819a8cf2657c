"""People have the last word, on images, annotations and pairs; nothing that they say is lost."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from imagemill import clean
from imagemill.clean import annotations, audits, suspects
from imagemill.errors import ConfigError, GateError
from imagemill.reviews import file, rows, standing
from imagemill.reviews.rows import Review
from imagemill.tables import EMBEDDINGS, FACTS, PAIRS, SAMPLES
from tests import make
from tests.test_clean import USUAL, Row

TIME = "2026-11-21T09:30:00Z"


def review(content: str, action: str, label: str = "", **more: Any) -> Review:
    said = Review(make.digest(content), action=action, label=label, reviewer="ann", time=TIME)
    return said._replace(**more)


def pair(one: str, two: str, action: str) -> Review:
    return rows.pair(make.digest(one), make.digest(two), action, "ann", TIME)


def flag(key: str, code: str, confidence: float | None = None, suggested: str | None = None) -> Row:
    said = {"sample": f"album/{key}", "source": "audit:vl", "code": code}
    return {**said, "confidence": confidence, "suggested": suggested}


def judgement(
    samples: list[Row],
    reviews: list[Review] | None = None,
    pairs: list[Row] | None = None,
    flags: list[Row] | None = None,
    inputs: dict[str, Any] | None = None,
    **config: Any,
) -> clean.Judgement:
    """Judge samples, whose content is their key where they name none."""
    given = [{**row, "digest": make.digest(row.get("content", row["key"]))} for row in samples]
    facts = [{**row, "reason": row.get("unreadable")} for row in given]
    readable = [{k: v for k, v in row.items() if k not in ("detail",)} for row in facts]
    log = file.Log("reviews/pets.csv", reviews or [], list(range(2, len(reviews or []) + 2)))
    said = clean.Inputs(
        samples=make.frame(SAMPLES, *given),
        facts=make.frame(FACTS, *readable).unique("digest"),
        pairs=make.frame(PAIRS, *(pairs or [])),
        reviews=standing.standing(log),
        flagged=pl.DataFrame(flags or [], schema=audits.FLAGGED),
        **(inputs or {}),
    )
    return clean.judge(said, clean.Config.model_validate({**USUAL, **config}))


def verdicts(found: clean.Judgement) -> dict[str, tuple[str, str, list[str]]]:
    chosen = found.verdicts.select("sample", "verdict", "label", "reasons")
    return {name.split("/", 1)[1]: rest for name, *rest in map(list, chosen.iter_rows())}  # type: ignore[misc]


BLURRED = {"key": "a", "sharpness": 1.0}


def test_people_keep_what_checks_and_rules_would_remove() -> None:
    rules = ["blurred -> remove"]
    assert verdicts(judgement([BLURRED], rules=rules))["a"] == [
        "remove", "cat", ["blurred", "removed_by_rule"],
    ]  # fmt: skip
    found = judgement([BLURRED], [review("a", "keep", note="art")], rules=rules)
    assert verdicts(found)["a"] == ["keep", "cat", []]
    assert found.evidence.select("source", "code", "effect", "detail").rows() == [
        ("check", "blurred", None, None),
        ("review", "kept_by_review", "keep", "ann: art"),
        ("rule:1", "removed_by_rule", None, "blurred -> remove"),
    ]


def test_people_remove_and_relabel_what_nothing_is_wrong_with() -> None:
    found = judgement(
        [{"key": "a"}, {"key": "b"}], [review("a", "remove"), review("b", "relabel", "dog")]
    )
    assert verdicts(found) == {
        "a": ["remove", "cat", ["removed_by_review"]],
        "b": ["relabel", "dog", []],
    }
    assert found.verdicts["flags"].to_list() == [[], ["relabelled"]]


def test_a_new_label_that_is_the_old_one_keeps() -> None:
    assert verdicts(judgement([BLURRED], [review("a", "relabel", "cat")]))["a"] == [
        "keep",
        "cat",
        [],
    ]


def test_a_verdict_is_on_bytes_wherever_they_lie() -> None:
    samples = [
        {"key": "x/1", "content": "a", "split": "train"},
        {"source": "other", "key": "moved", "content": "a", "split": "test"},
    ]
    found = judgement(samples, [review("a", "remove")])
    assert found.verdicts["verdict"].to_list() == ["remove", "remove"]


HINDERED = {
    "absent": {"key": "b"},
    "left_out": {"key": "a", "reason": "no_label"},
    "unreadable": {"key": "a", "unreadable": "corrupt"},
    "outside_splits": {"key": "a", "split": "test"},
    "applied": {"key": "a", "split": "train"},
}


@pytest.mark.parametrize(("effect", "sample"), HINDERED.items(), ids=HINDERED)
def test_what_came_of_a_verdict_is_told(effect: str, sample: Row) -> None:
    other = {"key": "z", "split": "train"}
    found = judgement([sample, other], [review("a", "relabel", "dog")], splits=["train"])
    assert found.reviews["effect"].to_list() == [effect]
    assert (effect == "applied") == ("relabel" in found.verdicts["verdict"].to_list())


def test_verdicts_that_contradict_are_both_shown_and_the_last_holds() -> None:
    later = review("a", "remove", reviewer="bob", time="2026-11-21T10:00:00Z")
    found = judgement([{"key": "a"}], [later, review("a", "keep")])
    assert verdicts(found)["a"][0] == "remove"
    said = clean.summary(found)
    assert "reviewers contradict each other on 1; the last word holds" in said
    assert "line 2: bob: remove (in_force)" in said
    assert "line 3: ann: keep (overruled)" in said


def test_reviews_are_ignored_where_the_config_says_so(tmp_path: Path) -> None:
    given = {**USUAL, "reviews": {**USUAL["reviews"], "obey": "ignored"}}
    assert clean.reviews(tmp_path, "pets", clean.Config.model_validate(given)).is_empty()


# Copies


AB = [make.pair("a", "b")]
COPIES = [{"key": "a", "width": 900}, {"key": "b"}]


@pytest.mark.parametrize(
    ("reviews", "gone"),
    [
        ([], {"b"}),
        ([review("b", "keep")], {"a"}),
        ([review("a", "remove")], {"a"}),
        ([review("a", "keep"), review("b", "keep")], set()),
        ([pair("a", "b", "different")], set()),
        ([pair("b", "a", "same")], {"b"}),
        ([pair("a", "b", "different")._replace(action="withdraw")], {"b"}),
    ],
)
def test_people_choose_which_copy_stays_and_what_is_one(
    reviews: list[Review], gone: set[str]
) -> None:
    found = verdicts(judgement(COPIES, reviews, AB))
    assert {name for name, (verdict, *_) in found.items() if verdict == "remove"} == gone


def test_a_pair_that_people_call_the_same_is_one_for_later_stages_too() -> None:
    found = judgement(COPIES, [pair("a", "b", "same"), pair("a", "z", "same")])
    assert verdicts(found)["b"][2] == ["duplicate"]
    assert found.pairs["tier"].to_list() == ["reviewed", "reviewed"]
    assert found.reviews["effect"].to_list() == ["applied", "absent"]
    none = judgement(COPIES, [pair("a", "b", "different")], AB)
    assert none.pairs.is_empty()


def test_images_that_are_merely_alike_are_no_copies_unless_people_say_so() -> None:
    akin = [make.pair("a", "b", tier="semantic")]
    assert {v for v, *_ in verdicts(judgement(COPIES, [], akin)).values()} == {"keep"}
    found = judgement(COPIES, [pair("a", "b", "same")], akin)
    assert verdicts(found)["b"][0] == "remove"
    assert found.pairs["tier"].to_list() == ["reviewed"]


def test_the_most_trusted_source_may_decide_which_copy_stays() -> None:
    samples = [{"key": "a", "width": 900}, {"source": "web", "key": "b"}]
    found = judgement(samples, [], AB, keep_copy="priority", priority=["web"])
    assert verdicts(found) == {"a": ["remove", "cat", ["duplicate"]], "b": ["keep", "cat", []]}
    assert verdicts(judgement(samples, [], AB, keep_copy="priority"))["b"][0] == "remove"


CONFLICT = [{"key": "a", "label": "cat"}, {"key": "b", "label": "dog"}, {"key": "c"}]


@pytest.mark.parametrize(
    ("reviews", "config", "expected"),
    [
        ([], {}, {"a": "remove", "b": "remove"}),
        ([review("a", "keep")], {}, {"a": "keep", "b": "remove"}),
        ([review("b", "relabel", "cat")], {}, {"a": "remove", "b": "relabel"}),
        ([review("b", "remove")], {}, {"a": "keep", "b": "remove"}),
        ([], {"on_conflict": "review"}, {"a": "keep", "b": "keep"}),
        ([], {"on_conflict": "keep"}, {"a": "keep", "b": "remove"}),
        ([pair("a", "b", "different")], {}, {"a": "keep", "b": "keep"}),
    ],
)
def test_people_settle_conflicts(
    reviews: list[Review], config: dict[str, str], expected: dict[str, str]
) -> None:
    found = verdicts(judgement(CONFLICT, reviews, AB, **config))
    assert {name: verdict for name, (verdict, *_) in found.items() if name != "c"} == expected


def test_a_conflict_for_people_is_flagged_on_both_sides() -> None:
    found = judgement(CONFLICT, [], AB, on_conflict="review")
    assert found.verdicts["flags"].to_list() == [["conflicting_copies"]] * 2 + [[]]
    assert found.evidence["detail"].to_list() == [
        "disagrees with album/b",
        "disagrees with album/a",
    ]


# Rules


def test_the_first_rule_that_holds_decides_and_each_says_what_it_touches() -> None:
    flags = [flag("a", "mislabel", 0.95, "dog"), flag("b", "mislabel", 0.5), flag("c", "outlier")]
    rules = [
        "mislabel and confidence > 0.9 -> relabel to suggested",
        "mislabel or outlier -> remove",
        "outlier -> keep",
    ]
    found = judgement([{"key": key} for key in "abc"], [], [], flags, rules=rules)
    assert verdicts(found) == {
        "a": ["relabel", "dog", []],
        "b": ["remove", "cat", ["removed_by_rule"]],
        "c": ["remove", "cat", ["removed_by_rule"]],
    }
    said = clean.summary(found)
    assert f"clean: rule 1, `{rules[0]}`: holds for 1, decides 1" in said
    assert f"clean: rule 2, `{rules[1]}`: holds for 3, decides 2" in said
    assert f"clean: rule 3, `{rules[2]}`: holds for 1, decides 0" in said


def test_a_rule_may_keep_what_a_check_removes_but_not_a_copy() -> None:
    samples = [{**BLURRED, "width": 900}, {"key": "b"}]
    assert verdicts(judgement(samples, rules=["blurred -> keep"]))["a"] == ["keep", "cat", []]
    found = judgement([{"key": "a"}, {**BLURRED, "key": "b"}], [], AB, rules=["blurred -> keep"])
    assert verdicts(found)["b"] == ["remove", "cat", ["duplicate"]]


def test_a_rule_that_suggests_nothing_relabels_nothing() -> None:
    rules = ["mislabel -> relabel to suggested"]
    found = judgement([{"key": "a"}], [], [], [flag("a", "mislabel", 0.9)], rules=rules)
    assert verdicts(found)["a"][0] == "keep"


def test_an_audit_alone_flags_and_removes_nothing() -> None:
    found = judgement([{"key": "a"}], [], [], [flag("a", "mislabel", 1.0, "dog")])
    assert found.verdicts.select("verdict", "flags").rows() == [("keep", ["mislabel"])]


def test_a_rule_about_a_flag_that_nobody_raises_stops_the_build() -> None:
    with pytest.raises(ConfigError, match="mislable: neither a check nor a flag of an audit"):
        judgement([{"key": "a"}], rules=["mislable -> remove"])
    with pytest.raises(ValueError, match="rule 1, 'mislabel': has no `-> action`"):
        clean.Config.model_validate({**USUAL, "rules": ["mislabel"]})


# Splits and limits


def test_only_the_splits_that_are_named_lose_or_relabel_images() -> None:
    samples = [
        {**BLURRED, "key": f"{n}{split}", "split": split}
        for n in "ab"
        for split in ("train", "test")
    ]
    found = judgement(samples, [review("atest", "remove")], splits=["train"])
    gone = found.verdicts.filter(verdict="remove")["sample"].to_list()
    assert gone == ["album/atrain", "album/btrain"]
    with pytest.raises(ConfigError, match=r"clean\.splits: trian: .* did you mean train"):
        judgement(samples, splits=["trian"])


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"split": 0.5}, None),
        ({"split": 0.49}, r"split train: 2 of 4 \(50.0%, at most 49.0%\): 2 blurred"),
        ({"label": 0.5}, r"label dog: 1 of 1 \(100.0%, at most 50.0%\): 1 blurred"),
        ({"label": 0.5, "least": 2}, None),
    ],
)
def test_a_build_that_throws_too_much_away_stops(limits: dict[str, Any], said: str | None) -> None:
    samples = [
        {"key": "a", "label": "dog", "sharpness": 1.0, "split": "train"},
        {"key": "b", "sharpness": 1.0, "split": "train"},
        {"key": "c", "split": "train"},
        {"key": "d", "split": "train"},
        {"key": "e", "split": "train", "reason": "no_label"},
    ]
    bounds = {**USUAL["max_removed_share"], **limits}
    config = clean.Config.model_validate({**USUAL, "max_removed_share": bounds})
    frame = make.frame(SAMPLES, *samples)
    facts = make.frame(FACTS, *[{**row, "reason": None} for row in samples])
    found = clean.judge(clean.Inputs(frame, facts, PAIRS.frame()), config)
    if said is None:
        clean.refuse_unexpected(found, frame, facts, config)
    else:
        with pytest.raises(GateError, match=said):
            clean.refuse_unexpected(found, frame, facts, config)


# Annotations


def boxes(*given: tuple[str, int, str, float]) -> pl.DataFrame:
    told = [
        {"sample": f"album/{key}", "digest": make.digest(key), "table": "album.annotations",
         "id": number, "given": category, "area": area}
        for key, number, category, area in given
    ]  # fmt: skip
    return pl.DataFrame(told, schema=annotations.GIVEN)


BOXES = boxes(
    ("a", 1, "cat", 9.0), ("a", 2, "dog", 5.0), ("b", 3, "cat", 1.0), ("c", 4, "cow", 1.0)
)
TWO = [{"key": "a"}, {"key": "b"}, {"key": "c", "label": "animal"}]


def boxed(*reviews: Review) -> tuple[dict[int, tuple], clean.Judgement]:
    found = judgement(TWO, list(reviews), inputs={"annotated": BOXES})
    chosen = found.annotations.select("id", "verdict", "category", "reason")
    return {number: rest for number, *rest in chosen.iter_rows()}, found  # type: ignore[misc]


def test_an_image_takes_its_annotations_with_it() -> None:
    annotated, _ = boxed(review("a", "remove"))
    assert annotated[1] == ["remove", "cat", "image_removed"]
    assert annotated[2] == ["remove", "dog", "image_removed"]
    assert annotated[3] == ["keep", "cat", None]


def test_one_annotation_is_relabelled_or_removed() -> None:
    annotated, found = boxed(
        review("a", "relabel", "fox", annotation="2"), review("b", "remove", annotation="3"),
        review("b", "remove", annotation="99"),
    )  # fmt: skip
    assert annotated[2] == ["relabel", "fox", None]
    assert annotated[3] == ["remove", "cat", "removed_by_review"]
    assert found.reviews["effect"].to_list() == ["applied", "applied", "no_such_annotation"]
    assert {verdict for verdict, *_ in verdicts(found).values()} == {"keep"}


def test_an_image_that_is_labelled_by_its_largest_annotation_follows_it() -> None:
    _, found = boxed(review("a", "relabel", "fox", annotation="1"))
    assert verdicts(found)["a"] == ["relabel", "fox", []]
    _, found = boxed(review("a", "remove", annotation="1"))
    assert verdicts(found)["a"] == ["relabel", "dog", []]
    _, found = boxed(review("c", "relabel", "calf", annotation="4"))
    assert verdicts(found)["c"][:2] == ["keep", "animal"]
    _, found = boxed(review("a", "relabel", "fox", annotation="1"), review("a", "keep"))
    assert verdicts(found)["a"][:2] == ["keep", "cat"]


# Suspects


def embedded(**vectors: list[float]) -> pl.DataFrame:
    import numpy as np

    told = []
    for key, vector in vectors.items():
        array = np.array(vector) / np.linalg.norm(vector)
        told.append({"digest": make.digest(key), "embedding": array.astype("<f2").tobytes()})
    return EMBEDDINGS.frame(told)


CROWD = {f"c{n}": [1.0, n / 20, 0.0] for n in range(5)}
DOGS = {f"d{n}": [0.0, n / 20, 1.0] for n in range(5)}


def suspected(tmp_path: Path, pairs: list[Row] | None = None, **labels: str) -> clean.Judgement:
    samples = [
        {"key": key, "label": labels.get(key, "cat" if key[0] == "c" else "dog")}
        for key in {**CROWD, **DOGS}
    ]
    given = {"embeddings": embedded(**CROWD, **DOGS), "memo": tmp_path}
    return judgement(samples, [], pairs, inputs=given)


def test_a_label_that_its_neighbours_contradict_is_suspect_and_stays(tmp_path: Path) -> None:
    assert suspected(tmp_path).evidence.is_empty()
    found = suspected(tmp_path, c2="dog")
    (row,) = found.evidence.rows(named=True)
    assert (row["sample"], row["code"], row["suggested"]) == ("album/c2", "label_suspect", "cat")
    assert row["confidence"] == pytest.approx(1.0, abs=0.01)
    assert {verdict for verdict, *_ in verdicts(found).values()} == {"keep"}


def test_a_copy_is_no_witness(tmp_path: Path) -> None:
    copies = [make.pair("c2", "c1"), make.pair("c2", "c3"), make.pair("c2", "c0")]
    found = suspected(tmp_path, copies, c2="dog", c1="dog", c3="dog", c0="dog")
    assert "album/c2" in found.evidence.filter(code="label_suspect")["sample"].to_list()


def test_neighbours_are_exact_and_remembered(tmp_path: Path) -> None:
    import numpy as np

    chance = np.random.default_rng(0)
    count = suspects.ROWS + 300
    vectors = chance.normal(size=(count, 16))
    table = embedded(**{f"x{n}": list(vector) for n, vector in enumerate(vectors)}).sort("digest")
    found = suspects.neighbours(table, 5)
    integers = suspects._integers(table["embedding"]).astype(np.int64)
    products = integers @ integers.T
    np.fill_diagonal(products, -(1 << 40))
    expected = np.argsort(-products, axis=1, kind="stable")[:, :5]
    digests = table["digest"].to_numpy()
    assert found["near"].to_list() == [list(digests[row]) for row in expected]
    first = suspects._remembered(table, 5, tmp_path)
    assert first.equals(found)
    assert suspects._remembered(table, 5, tmp_path).equals(found)


def test_without_embeddings_there_are_no_suspects(tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []
    assert judgement([{"key": "a"}], inputs={"memo": tmp_path}).evidence.is_empty()
