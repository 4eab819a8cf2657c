"""Rules are read, never run; what they cannot mean is an error that names the rule."""

from typing import Any

import polars as pl
import pytest

from imagemill.clean import rules
from imagemill.errors import ConfigError
from imagemill.tables import EVIDENCE
from tests import make

ROWS = pl.DataFrame(
    {
        "sample": ["a", "b", "c", "d"],
        "label": ["cat", "dog", "cat", None],
        "split": ["train", "test", None, "train"],
        "width": [100, 200, 300, None],
        "sharpness": [1.0, 50.0, None, 3.0],
        "gps": [True, False, False, None],
    }
)


def said(sample: str, code: str, confidence: float | None = None, suggested: str | None = None):
    return {"sample": sample, "code": code, "confidence": confidence, "suggested": suggested}


SAID = EVIDENCE.frame(
    [
        said("a", "mislabel", 0.95, "dog"),
        said("a", "mislabel", 0.5, "cow"),
        said("b", "mislabel", 0.9),
        said("b", "outlier", 0.99, "fox"),
        said("c", "outlier"),
    ]
)


def held(condition: str, action: str = "remove") -> list[str]:
    rule = rules.parse(f"{condition} -> {action}", 1)
    return rules.touched(rule, ROWS, SAID)["sample"].to_list()


HOLDS: dict[str, list[str]] = {
    "mislabel": ["a", "b"],
    "not mislabel": ["c", "d"],
    "mislabel and confidence > 0.9": ["a"],
    "mislabel and confidence >= 0.9": ["a", "b"],
    "mislabel or outlier": ["a", "b", "c"],
    "mislabel and outlier and mislabel.confidence < 0.95": ["b"],
    "(mislabel or outlier) and confidence > 0.96": ["b"],
    "mislabel and suggested": ["a"],
    "mislabel and not suggested": ["b"],
    "mislabel and suggested == 'dog'": ["a"],
    "outlier.suggested and outlier": ["b"],
    "label == 'cat' and width < 250": ["a"],
    "label in ['dog', 'cow'] or split in ('train',)": ["a", "b", "d"],
    "label not in ['dog']": ["a", "c"],
    "100 < width <= 300": ["b", "c"],
    "width > -1 and gps": ["a"],
    "not label": ["d"],
    "sharpness != 50": ["a", "d"],
    "split": ["a", "b", "d"],
}


@pytest.mark.parametrize(("condition", "samples"), HOLDS.items(), ids=HOLDS)
def test_a_condition_holds_for(condition: str, samples: list[str]) -> None:
    assert held(condition) == samples


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("mislabel -> relabel to suggested", {"a": "dog", "b": None}),
        ("mislabel → relabel to T-Shirt long", {"a": "T-Shirt long", "b": "T-Shirt long"}),
        (
            "label == 'a -> b' or mislabel -> relabel to 'suggested'",
            dict.fromkeys("ab", "suggested"),
        ),
    ],
)
def test_a_new_label_is_the_surest_suggestion_or_what_the_rule_says(
    text: str, label: dict[str, str | None]
) -> None:
    found = rules.touched(rules.parse(text, 1), ROWS, SAID)
    assert dict(found.iter_rows()) == label


ODD = {
    "mislabel": "has no `-> action`",
    "mislabel -> delete": "after `->` comes keep, remove",
    "mislabel -> relabel": "after `->` comes keep, remove",
    "-> remove": "invalid syntax",
    "mislabel and -> remove": "invalid syntax",
    "mislabel > 0.9 -> remove": "mislabel is a flag: there or not; mislabel.confidence is a number",
    "width -> remove": "`width` is neither true nor false",
    "confidence > 0.9 -> remove": "confidence and suggested belong to a flag; name one",
    "width > 3 -> relabel to suggested": "names no flag that could suggest a label",
    "label in 'cat' -> remove": "`in` needs a list",
    "label is 'cat' -> remove": "write == or !=",
    "width > mislabel.mood -> remove": "`mislabel.mood` is not understood",
    "width > 3 + 4 -> remove": "`3 + 4` is not understood",
    "True -> remove": "`True` is neither true nor false",
    "label == True -> remove": "`True` is not understood",
    "__import__('os').system('touch pwned') -> remove": "is neither true nor false",
    "().__class__ -> remove": "is neither true nor false",
    "label == label.__class__ -> remove": "is not understood",
    "[x for x in label] -> remove": "is neither true nor false",
    "(lambda: mislabel)() -> remove": "is neither true nor false",
    "label == f'{label}' -> remove": "is not understood",
    "(" * 500 + "mislabel" + ")" * 500 + " -> remove": "rule 1",
}


@pytest.mark.parametrize(("text", "message"), ODD.items(), ids=range(len(ODD)))
def test_what_a_rule_cannot_mean_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"rule 1, ") as caught:
        rules.parse(text, 1)
    assert message in str(caught.value)


def test_a_comparison_of_text_and_number_names_the_rule() -> None:
    with pytest.raises(ConfigError, match=r"clean\.rules: rule 1, .*label > 3"):
        held("label > 3")


def test_a_flag_that_nobody_raises_is_a_mistake() -> None:
    rule = rules.parse("mislable -> remove", 2)
    with pytest.raises(ConfigError, match=r"rule 2, .*: mislable: neither .*did you mean mislabel"):
        rules.refuse_unknown(rule, {"mislabel": True})


def test_every_name_of_a_fact_is_a_column_that_the_judgement_has() -> None:
    from imagemill.clean import checks
    from imagemill.tables import FACTS, SAMPLES

    known: dict[str, Any] = {**FACTS.columns, **SAMPLES.columns}
    assert {*rules.TRUTHS, *rules.NUMBERS} <= set(checks.FACTS)
    assert set(rules.TEXTS) <= set(known)
    assert make.digest("a")
