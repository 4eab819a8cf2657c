"""Every sample gets a verdict and all its reasons; the best of several copies stays."""

from contextlib import nullcontext
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill import clean
from imagemill.errors import ConfigError, GateError
from imagemill.tables import FACTS, PAIRS, SAMPLES, VERDICTS
from tests import make

TAGS = {"mislabel_confirmed": "Definitely wrong label", "keep": "Keep in dataset"}

USUAL: dict[str, Any] = {
    "min_side": 48,
    "max_side": 20_000,
    "max_aspect": 5.0,
    "min_sharpness": 20.0,
    "min_brightness": 0.06,
    "max_brightness": 0.94,
    "min_entropy": 3.0,
    "min_saturation": 0.02,
    "min_quality": 10,
    "remove": [
        "too_small",
        "odd_aspect",
        "dark",
        "bright",
        "low_information",
        "blurred",
        "animated",
    ],
    "flag": ["wrong_extension", "private_metadata"],
    "keep_copy": "largest",
    "priority": [],
    "on_conflict": "drop",
    "audits": {},
    "suspects": {"neighbours": 3, "min_score": 0.6},
    "rules": [],
    "reviews": {"obey": "obeyed", "of": None, "content": None, "tags": TAGS},
    "splits": [],
    "max_removed_share": {"split": None, "label": None, "least": 1},
    "expect": {},
}

Row = dict[str, Any]


def judged(
    rows: list[Row], pairs: list[tuple[str, str]] | None = None, **config: Any
) -> dict[str, Row]:
    """The verdicts on samples with facts, by key; pairs name contents, which default to keys."""
    samples = [{**row, "digest": make.digest(row.get("content", row["key"]))} for row in rows]
    readable = [{k: v for k, v in row.items() if k not in ("reason", "detail")} for row in samples]
    facts = make.frame(FACTS, *[{**row, "reason": row.get("unreadable")} for row in readable])
    inputs = clean.Inputs(
        make.frame(SAMPLES, *samples),
        facts.unique("digest"),
        make.frame(PAIRS, *[make.pair(a, b) for a, b in pairs or []]),
    )
    verdicts = clean.judge(inputs, clean.Config.model_validate({**USUAL, **config})).verdicts
    assert verdicts.schema == pl.Schema(VERDICTS.columns)
    assert len(verdicts) == len(rows)
    return {row["sample"].split("/", 1)[1]: row for row in verdicts.iter_rows(named=True)}


def one(**facts: Any) -> Row:
    (row,) = judged([{"key": "a.png", **facts}], flag=list(clean.CHECKS)).values()
    return row


LIMITS = {
    "too_small": ({"width": 48, "height": 900, "max_aspect": 99}, {"width": 47, "height": 48}),
    "too_small, height": ({"width": 200, "height": 48}, {"width": 48, "height": 47}),
    "odd_aspect": ({"width": 500, "height": 100}, {"width": 501, "height": 100}),
    "odd_aspect, upright": ({"width": 100, "height": 500}, {"width": 100, "height": 501}),
    "odd_size": (
        {"width": 20_000, "height": 9000},
        {"width": 20_001, "height": 9000},
    ),
    "grey": ({"saturation": 0.02}, {"saturation": 0.0199}),
    "low_quality": ({"quality": 10}, {"quality": 9}),
    "low_quality, no JPEG": ({"quality": None}, {"quality": 1}),
    "blurred": ({"sharpness": 20.0}, {"sharpness": 19.99}),
    "dark": ({"brightness": 0.06}, {"brightness": 0.0599}),
    "bright": ({"brightness": 0.94}, {"brightness": 0.9401}),
    "low_information": ({"entropy": 3.0}, {"entropy": 2.999}),
    "animated": ({"frames": 1, "format": "GIF"}, {"frames": 2, "format": "GIF"}),
    "animated, pages": ({"frames": 2, "format": "TIFF"}, {"frames": 2, "format": "WEBP"}),
    "private_metadata": ({"gps": False}, {"gps": True}),
    "wrong_extension": ({"key": "a.PNG"}, {"key": "a.jpg"}),
    "wrong_extension, jpeg": (
        {"key": "a.JFIF", "format": "JPEG"},
        {"key": "a.png", "format": "JPEG"},
    ),
    "wrong_extension, none": ({"key": "a"}, {"key": "b.c/a.gif"}),
    "wrong_extension, unknown": ({"key": "a.xyz", "format": "NEW"}, {"key": "a.xyz"}),
}


@pytest.mark.parametrize(("check", "good", "bad"), [(k, *v) for k, v in LIMITS.items()], ids=LIMITS)
def test_each_check_holds_on_both_sides_of_its_limit(check, good, bad):
    name = check.split(",", maxsplit=1)[0]
    assert name not in one(**good)["flags"]
    assert name in one(**bad)["flags"]


def test_every_check_has_been_held_to_its_limit():
    assert {check.split(",", maxsplit=1)[0] for check in LIMITS} == set(clean.CHECKS)


def test_a_flag_keeps_and_a_reason_removes():
    rows = [{"key": "a.jpg", "sharpness": 1.0}]
    flagged = judged(rows, remove=[], flag=["blurred", "wrong_extension"])["a.jpg"]
    assert (flagged["verdict"], flagged["reasons"]) == ("keep", [])
    assert flagged["flags"] == ["blurred", "wrong_extension"]
    removed = judged(rows, remove=["blurred"], flag=[])["a.jpg"]
    assert (removed["verdict"], removed["reasons"], removed["flags"]) == ("remove", ["blurred"], [])


def test_an_image_has_all_its_reasons_in_the_order_of_the_config():
    row = {"key": "a.png", "sharpness": 1.0, "brightness": 0.01, "width": 10}
    assert judged([row])["a.png"]["reasons"] == ["too_small", "odd_aspect", "dark", "blurred"]
    few = judged([row], remove=["blurred", "dark"])
    assert few["a.png"]["reasons"] == ["blurred", "dark"]


def test_an_unreadable_image_is_out_for_that_alone():
    blank = dict.fromkeys(
        ["format", "width", "height", "frames", "sharpness", "brightness", "entropy", "gps"]
    )
    row = judged([{"key": "a.png", "unreadable": "corrupt", **blank}])["a.png"]
    assert (row["verdict"], row["reasons"], row["flags"]) == ("remove", ["corrupt"], [])


def test_what_merge_left_out_stays_out_for_its_reason_and_is_not_judged_again():
    row = {"key": "a.jpg", "reason": "same_bytes", "kept_as": "album/b", "sharpness": 1.0}
    found = judged([row])["a.jpg"]
    assert (found["reasons"], found["flags"], found["kept_as"]) == (["same_bytes"], [], "album/b")


@pytest.mark.parametrize("where", ["remove", "flag"])
def test_a_check_that_there_is_not_is_an_error_with_a_suggestion(where):
    with pytest.raises(ConfigError, match=r"blured: no such check; did you mean blurred\?"):
        judged([{"key": "a"}], **{where: ["blured"]})


# Copies


def copies(*rows: Row, pairs: list[tuple[str, str]], **config: Any) -> dict[str, str]:
    """What each copy that went was removed for, and by whom it is stood for."""
    found = judged(list(rows), pairs, **config)
    return {key: row["kept_as"] for key, row in found.items() if row["reasons"] == ["duplicate"]}


def test_the_largest_copy_stays():
    rows = [{"key": "small", "width": 100}, {"key": "large"}]
    assert copies(*rows, pairs=[("small", "large")]) == {"small": "album/large"}


def test_or_the_sharpest():
    rows = [{"key": "small", "width": 100, "sharpness": 900.0}, {"key": "large"}]
    assert copies(*rows, pairs=[("small", "large")], keep_copy="sharpest") == {
        "large": "album/small"
    }


def test_or_all():
    assert copies({"key": "a"}, {"key": "b"}, pairs=[("a", "b")], keep_copy="all") == {}


def test_of_equal_copies_the_first_by_name_stays():
    assert copies({"key": "b"}, {"key": "a"}, pairs=[("a", "b")]) == {"b": "album/a"}


def test_equal_bytes_are_copies_without_a_pair():
    assert copies({"key": "a"}, {"key": "b", "content": "a"}, pairs=[]) == {"b": "album/a"}


def test_unlike_images_are_not_chained_together():
    rows = [{"key": "a", "bytes": 3}, {"key": "b", "bytes": 2}, {"key": "c", "bytes": 1}]
    assert copies(*rows, pairs=[("a", "b"), ("b", "c")]) == {"b": "album/a"}
    rows[1]["bytes"] = 9
    assert copies(*rows, pairs=[("a", "b"), ("b", "c")]) == {"a": "album/b", "c": "album/b"}


def test_a_copy_that_is_out_for_another_reason_takes_nothing_with_it():
    rows = [{"key": "large", "width": 900, "sharpness": 1.0}, {"key": "small"}]
    found = judged(rows, [("large", "small")])
    assert found["small"]["verdict"] == "keep"
    assert found["large"]["reasons"] == ["blurred"]


def test_copies_in_two_given_splits_are_for_the_leaks_stage():
    rows = [{"key": "a", "split": "train"}, {"key": "b", "split": "test"}]
    assert copies(*rows, pairs=[("a", "b")]) == {}
    assert copies({**rows[0]}, {**rows[1], "split": "train"}, pairs=[("a", "b")]) == {
        "b": "album/a"
    }


def test_a_very_large_image_is_ranked_by_its_true_area():
    rows = [{"key": "huge", "width": 60_000, "height": 50_000}, {"key": "small"}]
    assert copies(*rows, pairs=[("huge", "small")]) == {"small": "album/huge"}


# Conflicts


@pytest.mark.parametrize(
    ("more", "conflict"),
    [
        ({"label": "dog"}, True),
        ({"label": "cat"}, False),
        ({"identity": "bob"}, True),
        ({"identity": "ann"}, False),
        ({"identity": None}, False),
    ],
)
def test_copies_that_are_said_to_show_different_things_are_both_out(more, conflict):
    found = judged(
        [{"key": "a", "identity": "ann"}, {"key": "b", "identity": "ann", **more}], [("a", "b")]
    )
    both = [row["reasons"] for row in found.values()]
    assert both == ([["conflicting_copies"]] * 2 if conflict else [[], ["duplicate"]])


def test_or_conflicting_copies_are_like_any_others():
    rows = [{"key": "a", "label": "cat"}, {"key": "b", "label": "dog"}]
    assert copies(*rows, pairs=[("a", "b")], on_conflict="keep") == {"b": "album/a"}


def test_a_conflict_is_one_also_across_splits():
    rows = [{"key": "a", "split": "train"}, {"key": "b", "split": "test", "label": "dog"}]
    found = judged(rows, [("a", "b")])
    assert [row["verdict"] for row in found.values()] == ["remove", "remove"]


KEYS = "abcdefgh"
samples = st.lists(
    st.fixed_dictionaries(
        {
            "content": st.sampled_from("uvwxyz"),
            "label": st.sampled_from(["cat", "dog"]),
            "identity": st.sampled_from([None, "ann", "bob"]),
            "split": st.sampled_from([None, "train", "test"]),
            "reason": st.sampled_from([None, None, None, "same_bytes"]),
        }
    ),
    min_size=1,
    max_size=len(KEYS),
).map(lambda rows: [{"key": key, **row} for key, row in zip(KEYS, rows, strict=False)])
pairs = st.sets(st.sampled_from([(a, b) for a in "uvwxyz" for b in "uvwxyz" if a < b]), max_size=6)
policies = st.fixed_dictionaries(
    {
        "keep_copy": st.sampled_from(["largest", "sharpest", "all"]),
        "on_conflict": st.sampled_from(["drop", "keep"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(samples, pairs, policies, st.randoms())
def test_verdicts_are_whole_and_independent_of_the_order_of_rows(rows, alike, config, chance):
    sharp = {"u": 900.0, "v": 30.0}
    rows = [{**row, "sharpness": sharp.get(row["content"], 100.0)} for row in rows]
    found = judged(rows, sorted(alike), **config)
    shuffled = chance.sample(sorted(alike), len(alike))
    assert judged(chance.sample(rows, len(rows)), shuffled, **config) == found
    for key, row in found.items():
        assert (row["verdict"] == "keep") == (row["reasons"] == [])
        if row["reasons"] == ["duplicate"]:
            other = found[row["kept_as"].split("/")[1]]
            mine, theirs = (r["content"] for r in rows if r["key"] in (key, other["sample"][-1]))
            assert other["verdict"] == "keep"
            assert mine == theirs or tuple(sorted([mine, theirs])) in alike


def test_the_summary_counts_reasons():
    rows = [{"key": "a", "sharpness": 1.0}, {"key": "b"}]
    facts = make.frame(FACTS, *rows)
    inputs = clean.Inputs(make.frame(SAMPLES, *rows), facts, PAIRS.frame())
    judgement = clean.judge(inputs, clean.Config.model_validate(USUAL))
    assert clean.summary(judgement) == "clean: 1 of 2 samples kept\nclean: 1 blurred"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ({}, r"expect\.photos\.width +200 +150 to 200  1 DIFFER\nLook at album/b;"),
        ({"width": 9}, ""),
    ],
    ids=["kept", "removed"],
)
def test_a_kept_image_unlike_what_is_expected_stops_the_build(verdict, said):
    rows = [{"key": "a"}, {"key": "b", "width": 150, **verdict}, {"key": "c", "reason": "vanished"}]
    samples = make.frame(SAMPLES, *rows)
    facts = make.frame(FACTS, *[{k: v for k, v in row.items() if k != "reason"} for row in rows])
    expected = {"width": {"least": 200, "most": 200}}
    config = clean.Config.model_validate({**USUAL, "expect": expected})
    judgement = clean.judge(clean.Inputs(samples, facts, PAIRS.frame()), config)
    with pytest.raises(GateError, match=said) if said else nullcontext():
        clean.refuse_unexpected(judgement, samples, facts, config)
