"""Nothing that belongs together lies on both sides of a split, and a split is for good."""

from itertools import combinations
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from imagemill import leaks
from imagemill.errors import GateError
from imagemill.tables import LEAKS, MANIFEST, PAIRS, SAMPLES, VERDICTS
from tests import make

GIVEN: dict[str, Any] = {
    "splits": "given",
    "fractions": {},
    "seed": 0,
    "together": ["copies"],
    "remove_from": ["test", "val", "train"],
    "gate": "fail",
    "min_images": 1,
}
ASSIGNED = {**GIVEN, "splits": "assigned", "fractions": {"train": 0.8, "test": 0.2}}

Sample = dict[str, Any]


def decide(
    samples: list[Sample], pairs: list[tuple[str, str]] | None = None, **config: Any
) -> tuple[dict[str, Any], pl.DataFrame]:
    """The final row of each sample, and the leaks found."""
    rows = [{"digest": make.digest(s["key"]), **s} for s in samples]
    alike = make.frame(PAIRS, *[make.pair(a, b) for a, b in pairs or []])
    usual = {**GIVEN, **config}
    manifest, found = leaks.decide(
        make.frame(SAMPLES, *rows),
        make.frame(VERDICTS, *rows),
        alike,
        leaks.Config.model_validate(usual),
    )
    assert manifest.schema == pl.Schema(MANIFEST.columns)
    assert found.schema == pl.Schema(LEAKS.columns)
    assert len(manifest) == len(samples)
    return {row["key"]: row for row in manifest.iter_rows(named=True)}, found


def kept(final: dict[str, Any]) -> set[str]:
    return {key for key, row in final.items() if row["verdict"] == "keep"}


def sample(key: str, split: str | None = None, **more: Any) -> Sample:
    return {"key": key, "split": split, **more}


TRIO = [sample("r", "train"), sample("v", "val"), sample("t", "test")]


def test_of_a_leaking_pair_the_split_named_first_loses_its_image():
    final, found = decide(TRIO, [("r", "t")])
    assert kept(final) == {"r", "v"}
    assert final["t"]["reasons"] == ["leak"]
    (row,) = found.iter_rows(named=True)
    assert (row["a"], row["b"], row["removed"]) == ("album/r", "album/t", "album/t")
    assert (row["split_a"], row["split_b"], row["kind"]) == ("train", "test", "perceptual")


def test_what_has_left_makes_nothing_else_leave():
    final, found = decide(TRIO, [("v", "r"), ("t", "v")])
    assert kept(final) == {"r", "t"}
    assert len(found) == 2


def test_equal_bytes_on_two_sides_are_a_leak():
    twins = [sample("a", "train"), sample("b", "test", digest=make.digest("a"))]
    final, found = decide(twins)
    assert kept(final) == {"a"}
    assert found["kind"].to_list() == ["bytes"]


def test_pairs_on_one_side_and_samples_without_a_split_are_no_leaks():
    rows = [sample("a", "train"), sample("b", "train"), sample("c")]
    final, found = decide(rows, [("a", "b"), ("a", "c")])
    assert kept(final) == {"a", "b", "c"}
    assert found.is_empty()


def test_a_sample_that_clean_removed_leaks_nothing():
    rows = [sample("a", "train", verdict="remove", reasons=["blurred"]), sample("b", "test")]
    final, found = decide(rows, [("a", "b")])
    assert found.is_empty()
    assert final["a"]["reasons"] == ["blurred"]


@pytest.mark.parametrize("kind", ["group", "identity"])
def test_a_group_on_two_sides_is_a_leak_only_where_it_must_stay_together(kind):
    rows = [sample(f"r{n}", "train", **{kind: "g"}) for n in range(3)]
    rows += [sample(f"t{n}", "test", **{kind: "g"}) for n in range(3)] + [sample("x", "test")]
    final, found = decide(rows, together=["copies", kind])
    assert kept(final) == {"r0", "r1", "r2", "x"}
    assert set(found["kind"]) == {kind}
    assert decide(rows)[1].is_empty()


def test_the_leaks_listed_of_a_large_group_are_as_many_as_its_samples():
    rows = [sample(f"{n:04}", ("train", "test")[n % 2], group="g") for n in range(2000)]
    final, found = decide(rows, together=["group"])
    assert len(kept(final)) == 1000
    assert len(found) <= 2000


def test_a_group_leaves_also_where_the_leak_shows_only_after_another_one_left():
    rows = [
        sample("r", "train"),
        sample("v1", "val", group="g"),
        sample("v2", "val", group="g"),
        sample("t", "test", group="g"),
    ]
    final, _ = decide(rows, [("r", "v1")], together=["copies", "group"])
    assert kept(final) == {"r", "v2"}


def test_a_leak_between_splits_that_lose_nothing_stops_the_build_or_warns(capsys):
    with pytest.raises(GateError) as raised:
        decide(TRIO, [("r", "v")], remove_from=["test"])
    assert "1 pairs still lie across splits" in str(raised.value)
    assert "album/r (train) ~ album/v (val): perceptual" in str(raised.value)
    assert "`leaks.remove_from`" in str(raised.value)
    final, found = decide(TRIO, [("r", "v")], remove_from=["test"], gate="warn")
    assert kept(final) == {"r", "v", "t"}
    assert found["removed"].to_list() == [None]
    assert "warning: leaks: 1 pairs still lie across splits" in capsys.readouterr().err


@pytest.mark.parametrize(("min_images", "left"), [(2, {"r", "v"}), (3, set())])
def test_min_images_counts_what_is_left_in_the_end(min_images, left):
    final, _ = decide(TRIO, [("r", "t")], min_images=min_images)
    assert kept(final) == left


def test_an_identity_with_too_few_images_left_goes():
    rows = [sample("a", "train", identity="p"), sample("b", "test", identity="p")]
    rows += [sample("c", "train", identity="q"), sample("d", "train", identity="q")]
    final, _ = decide(rows, [("a", "b")], min_images=2)
    assert kept(final) == {"c", "d"}
    assert final["a"]["reasons"] == ["identity_too_small"]
    assert final["b"]["reasons"] == ["leak"]


def test_the_transform_of_a_leak_takes_b_to_a_whichever_is_first():
    first, last = sorted("ab", key=make.digest)
    rows = [
        sample("z", "train", digest=make.digest(first)),
        sample("y", "test", digest=make.digest(last)),
    ]
    config = leaks.Config.model_validate(GIVEN)
    pairs = make.frame(PAIRS, make.pair("a", "b", transform="rot90"))
    _, found = leaks.decide(make.frame(SAMPLES, *rows), make.frame(VERDICTS, *rows), pairs, config)
    (row,) = found.iter_rows(named=True)
    assert (row["a"], row["b"], row["transform"]) == ("album/y", "album/z", "rot270")


# Assigned splits


def splits(final: dict[str, Any]) -> dict[str, str]:
    return {key: row["split"] for key, row in final.items()}


def crowd(count: int, **more: Any) -> list[Sample]:
    return [sample(f"{n:04}", **more) for n in range(count)]


def test_assigned_splits_have_about_the_shares_asked_for():
    shares = {"train": 0.7, "val": 0.1, "test": 0.2}
    final, _ = decide(crowd(3000), **{**ASSIGNED, "fractions": shares})
    found = list(splits(final).values())
    assert all(abs(found.count(name) / 3000 - share) < 0.03 for name, share in shares.items())
    assert set(found) == set(shares)


def test_fractions_need_not_add_up_to_one():
    final, _ = decide(crowd(500), **{**ASSIGNED, "fractions": {"a": 0.1, "b": 0.1}})
    found = list(splits(final).values())
    assert 200 < found.count("a") < 300


def test_another_seed_is_another_split():
    rows = crowd(100)
    assert splits(decide(rows, **ASSIGNED)[0]) != splits(decide(rows, **{**ASSIGNED, "seed": 1})[0])


def test_to_assign_splits_takes_their_names():
    with pytest.raises(ValidationError, match="`fractions` must name the splits"):
        leaks.Config.model_validate({**ASSIGNED, "fractions": {}})


def test_a_removed_sample_is_given_no_split():
    final, _ = decide([sample("a", verdict="remove", reasons=["dark"]), sample("b")], **ASSIGNED)
    assert final["a"]["split"] is None
    assert final["b"]["split"] in ("train", "test")


def test_more_images_of_other_things_move_none_of_the_old():
    old = [sample(f"{n}", group=f"{n % 30}") for n in range(100)]
    new = [sample(f"new {n}", group=f"new {n % 9}") for n in range(100)]
    config = {**ASSIGNED, "together": ["copies", "group"]}
    pairs = [("1", "2"), ("3", "4")]
    before = splits(decide(old, pairs, **config)[0])
    after = splits(decide(old + new, [*pairs, ("new 1", "new 2")], **config)[0])
    assert all(after[key] == split for key, split in before.items())


def test_a_group_that_grows_stays_in_its_split():
    config = {**ASSIGNED, "together": ["group"]}
    for n in range(40):
        old = [sample("a", group="g"), sample("b", group="g")]
        before = splits(decide(old, **config)[0])
        after = splits(decide([*old, sample(f"new {n}", group="g")], **config)[0])
        assert after == {**before, f"new {n}": before["a"]}


KEYS = [f"{n}" for n in range(12)]
words = st.sampled_from([None, "p", "q", "r"])
samples = st.lists(
    st.fixed_dictionaries(
        {
            "digest": st.sampled_from(KEYS[:9]).map(make.digest),
            "group": words,
            "identity": words,
            "split": st.sampled_from(["train", "val", "test"]),
            "verdict": st.sampled_from(["keep", "keep", "remove"]),
        }
    ),
    min_size=1,
    max_size=len(KEYS),
).map(lambda rows: [{"key": key, **row} for key, row in zip(KEYS, rows, strict=False)])
alike = st.sets(st.sampled_from(list(combinations(KEYS[:9], 2))), max_size=5)
bonds = st.sets(st.sampled_from(["copies", "group", "identity"])).map(sorted)


def straddling(
    final: dict[str, Any], pairs: set[tuple[str, str]], together: list[str]
) -> list[Any]:
    rows = [row for row in final.values() if row["verdict"] == "keep"]
    copies = {frozenset(map(make.digest, pair)) for pair in pairs}
    return [
        (one["key"], other["key"])
        for one, other in combinations(rows, 2)
        if one["split"] != other["split"]
        and (
            one["digest"] == other["digest"]
            or frozenset([one["digest"], other["digest"]]) in copies
            or any(one[k] == other[k] is not None for k in together if k != "copies")
        )
    ]


@settings(max_examples=150, deadline=None)
@given(samples, alike, bonds, st.permutations(["train", "val", "test"]), st.randoms())
def test_nothing_straddles_given_splits_whatever_the_order_of_rows(
    rows, pairs, together, remove_from, chance
):
    config = {"together": together, "remove_from": remove_from}
    final, found = decide(rows, sorted(pairs), **config)
    assert straddling(final, pairs, together) == []
    lost = {row["sample"] for row in final.values() if row["reasons"] == ["leak"]}
    assert set(found["removed"]) - {None} == lost
    shuffled = chance.sample(rows, len(rows))
    again, listed = decide(shuffled, chance.sample(sorted(pairs), len(pairs)), **config)
    assert again == final
    assert listed.equals(found)


@settings(max_examples=100, deadline=None)
@given(samples, alike, bonds)
def test_nothing_straddles_assigned_splits(rows, pairs, together):
    together = sorted({"copies", *together})
    config = {**ASSIGNED, "fractions": {"a": 0.3, "b": 0.3, "c": 0.4}, "together": together}
    final, found = decide(rows, sorted(pairs), **config)
    assert straddling(final, pairs, together) == []
    assert found.is_empty()
