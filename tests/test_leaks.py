"""Nothing that belongs together lies on both sides of a split, and a split is for good."""

from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill import leaks
from imagemill.errors import GateError
from imagemill.tables import LEAKS, MANIFEST, PAIRS, SAMPLES, VERDICTS, Table
from tests import make

KINDS = ("bytes", "pixels", "perceptual", "semantic", "group", "identity", "against")
GIVEN: dict[str, Any] = {
    "splits": "given",
    "assign": {
        "fractions": {"a": 0.3, "b": 0.3, "c": 0.4},
        "seed": 0,
        "together": ["copies", "group"],
        "identities": "any",
        "draw": "even",
        "rare": "spread",
        "folds": 0,
        "folded": "a",
        "frozen": None,
    },
    "reach": {
        "radius": 8,
        "min_score": 0.9,
        "embedder": "onnx",
        "min_similarity": 0.8,
        "miss_rate": None,
    },
    "methods": ["exact", "perceptual"],
    "max_distance": None,
    "min_similarity": 0.95,
    "together": [],
    "remove_from": ["test", "val", "train"],
    "report_only": [],
    "gate": dict.fromkeys(KINDS, "fail"),
    "allowed": dict.fromkeys(KINDS, 0),
    "against": {},
    "min_images": 1,
}
AKIN_TOO = Table(PAIRS.file, {**PAIRS.columns, "similarity": pl.Float32}, PAIRS.key)

Sample = dict[str, Any]
Pair = tuple[Any, ...]


def config(**given: Any) -> leaks.Config:
    """The usual config, with some values of its own; gate and allowed take only what differs."""
    told = {**GIVEN, **given}
    for name in ("gate", "allowed"):
        told[name] = {**GIVEN[name], **given.get(name, {})}
    return leaks.Config.model_validate(told)


def decision(
    samples: list[Sample], pairs: list[Pair] | None = None, **given: Any
) -> leaks.Decision:
    rows = [{"digest": make.digest(s["key"]), **s} for s in samples]
    alike = make.frame(
        AKIN_TOO,
        *[make.pair(*pair[:2], **more) for pair in pairs or [] for more in pair[2:] or [{}]],
    )
    made = leaks.decide(
        make.frame(SAMPLES, *rows), make.frame(VERDICTS, *rows), alike, config(**given)
    )
    assert made.manifest.schema == pl.Schema(MANIFEST.columns)
    assert made.leaks.schema == pl.Schema(LEAKS.columns)
    assert len(made.manifest) == len(samples)
    return made


def decide(
    samples: list[Sample], pairs: list[Pair] | None = None, **given: Any
) -> tuple[dict[str, Any], pl.DataFrame]:
    """The final row of each sample, and the leaks found."""
    made = decision(samples, pairs, **given)
    leaks.refuse(made, config(**given), "album", Path("data/album/leaks"))
    return {row["key"]: row for row in made.manifest.iter_rows(named=True)}, made.leaks


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
    final, found = decide(rows, together=[kind])
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
    final, _ = decide(rows, [("r", "v1")], together=["group"])
    assert kept(final) == {"r", "v2"}


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
    pairs = make.frame(PAIRS, make.pair("a", "b", transform="rot90"))
    made = leaks.decide(make.frame(SAMPLES, *rows), make.frame(VERDICTS, *rows), pairs, config())
    (row,) = made.leaks.iter_rows(named=True)
    assert (row["a"], row["b"], row["transform"]) == ("album/y", "album/z", "rot270")


def found(*more: dict[str, Any], **given: Any) -> list[tuple[Any, ...]]:
    """Kind, method, distance and similarity of each leak of pairs r-t, s-u, ... in a split each."""
    names = ["rt", "su", "vw", "xy"][: len(more)]
    rows = [sample(one, "train") for one, _ in names] + [sample(two, "test") for _, two in names]
    pairs = [(one, two, each) for (one, two), each in zip(names, more, strict=True)]
    leaks = decision(rows, pairs, **given).leaks
    columns = ("kind", "method", "distance", "similarity")
    return sorted(leaks.select(*columns).iter_rows(), key=str)


PIXELS = {"tier": "pixels", "distance": 0, "similarity": 1.0}
NEAR = {"tier": "perceptual", "distance": 5, "similarity": 0.97}
FAR = {"tier": "perceptual", "distance": 6, "similarity": 0.96}
SCENE = {"tier": "semantic", "distance": None, "similarity": 0.9499}
AKIN = {"tier": "semantic", "distance": None, "similarity": 0.95}


@pytest.mark.parametrize(
    ("methods", "kinds"),
    [
        (["exact"], {"pixels"}),
        (["perceptual"], {"pixels", "perceptual"}),
        (["exact", "perceptual"], {"pixels", "perceptual"}),
        (["semantic"], {"pixels", "semantic"}),
        (["exact", "perceptual", "semantic"], {"pixels", "perceptual", "semantic"}),
        ([], set()),
    ],
)
def test_the_methods_say_which_pairs_are_leaks(methods, kinds):
    rows = found(PIXELS, NEAR, AKIN, methods=methods)
    assert {kind for kind, *_ in rows} == kinds


def test_a_perceptual_leak_is_within_max_distance_and_beyond_it_may_be_a_semantic_one():
    assert found(NEAR, FAR, max_distance=5) == [("perceptual", "perceptual", 5, 0.921875)]
    assert len(found(NEAR, FAR, max_distance=6)) == 2
    assert len(found(NEAR, FAR, max_distance=None)) == 2
    three = found(NEAR, FAR, max_distance=5, methods=["exact", "perceptual", "semantic"])
    assert three == [
        ("perceptual", "perceptual", 5, 0.921875),
        ("semantic", "semantic", None, pytest.approx(0.96)),
    ]


def test_a_semantic_leak_has_at_least_the_similarity_asked_for():
    rows = found(SCENE, AKIN, methods=["semantic"])
    assert rows == [("semantic", "semantic", None, pytest.approx(0.95))]


def test_equal_pixels_are_found_by_every_method_each_on_its_own_scale():
    assert found(PIXELS, methods=["exact", "semantic"]) == [("pixels", "exact", None, 1.0)]
    assert found(PIXELS, methods=["perceptual"]) == [("pixels", "perceptual", 0, 1.0)]
    assert found(PIXELS, methods=["semantic"]) == [("pixels", "semantic", None, 1.0)]


def test_a_leak_has_the_labels_of_both_sides():
    rows = [sample("b", "test", label="dog"), sample("a", "train", label="cat")]
    (row,) = decision(rows, [("a", "b")]).leaks.iter_rows(named=True)
    assert (row["a"], row["label_a"], row["b"], row["label_b"]) == (
        *("album/a", "cat"),
        *("album/b", "dog"),
    )


def test_every_sample_of_a_leak_is_flagged_and_those_that_stay_keep_their_flags():
    rows = [sample("r", "train", flags=["private_metadata"]), sample("t", "test"), sample("x")]
    final, _ = decide(rows, [("r", "t")])
    assert final["r"]["flags"] == ["private_metadata", "train_test_leak"]
    assert final["t"]["flags"] == ["train_test_leak"]
    assert final["x"]["flags"] == []


def test_kinds_that_are_only_reported_remove_nothing():
    rows = [*TRIO, sample("g1", "train", group="g"), sample("g2", "test", group="g")]
    final, leaks = decide(
        rows, [("r", "t")], together=["group"], report_only=["group"], gate={"group": "warn"}
    )
    assert kept(final) == {"r", "v", "g1", "g2"}
    assert set(leaks["kind"]) == {"perceptual", "group"}


G = make.digest("g")
APART = [
    sample("g1", digest=G, group="g"),
    sample("g2", group="g"),
    sample("h1", group="h"),
    sample("h2", digest=G, group="h"),  # g1 once more
]


def held(**split: str) -> pl.DataFrame:
    names = {"digest": [make.digest(key) for key in split], "split": [*split.values()]}
    return pl.DataFrame(names, schema={"digest": pl.String, "split": pl.String})


def assigned(rows: list[Sample], frozen: pl.DataFrame, **more: Any) -> leaks.Decision:
    """What is decided of assigned splits of which some are frozen."""
    given = [{"digest": make.digest(row["key"]), **row} for row in rows]
    told = config(splits="assigned", **more)
    return leaks.decide(
        make.frame(SAMPLES, *given), make.frame(VERDICTS, *given), PAIRS.frame(), told, frozen
    )


def test_equal_bytes_in_two_groups_that_are_frozen_apart_are_left_out_where_they_are_new():
    made = assigned(APART, held(g2="a", h1="b"))
    final = {row["key"]: row for row in made.manifest.iter_rows(named=True)}
    assert {key: row["split"] for key, row in final.items() if row["verdict"] == "keep"} == {
        "g2": "a",
        "h1": "b",
    }
    assert final["g1"]["reasons"] == final["h2"]["reasons"] == ["joins_splits"]
    assert made.left.is_empty()


def test_equal_bytes_in_two_groups_stop_the_build_where_they_are_frozen_too():
    made = assigned(APART, held(g="a", g2="a", h1="b"))
    assert made.manifest["split"].to_list() == ["a", "a", "b", "a"]
    assert made.frozen == 4
    with pytest.raises(GateError, match="1 group") as raised:
        leaks.refuse(made, config(splits="assigned"), "album", Path("out"))
    assert "album/h1 (b) ~ album/h2 (a): group h" in str(raised.value)


def test_a_split_that_may_lose_images_mends_what_is_frozen_apart():
    made = assigned(APART, held(g="a", g2="a", h1="b"), remove_from=["b"])
    assert {row["key"] for row in made.manifest.filter(verdict="keep").iter_rows(named=True)} == {
        *("g1", "g2", "h2")
    }
    assert made.left.is_empty()
    assert made.frozen == 3


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("pqrs"), st.sampled_from(["train", "val", "test", None])),
        min_size=1,
        max_size=30,
    )
)
def test_groups_that_straddle_are_counted_as_an_honest_count_of_all_pairs_would(shown):
    rows = [sample(f"{n}", split, group=group) for n, (group, split) in enumerate(shown)]
    made = decision(rows, together=["group"], remove_from=[], methods=[])
    honest = [
        (one, other)
        for one, other in combinations(rows, 2)
        if one["group"] == other["group"] and None not in (one["split"], other["split"])
        if one["split"] != other["split"]
    ]
    count = made.before["group"]
    assert count.pairs == len(honest)
    assert count.images == len({each["key"] for pair in honest for each in pair})
    assert count.sets == len({one["group"] for one, _ in honest})
    assert made.after == made.before


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
bonds = st.sets(st.sampled_from(["group", "identity"])).map(sorted)


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
            or any(one[k] == other[k] is not None for k in together)
        )
    ]


@settings(max_examples=150, deadline=None)
@given(samples, alike, bonds, st.permutations(["train", "val", "test"]), st.randoms())
def test_nothing_straddles_given_splits_whatever_the_order_of_rows(
    rows, pairs, together, remove_from, chance
):
    given = {"together": together, "remove_from": remove_from}
    final, found = decide(rows, sorted(pairs), **given)
    assert straddling(final, pairs, together) == []
    lost = {row["sample"] for row in final.values() if row["reasons"] == ["leak"]}
    assert set(found["removed"]) - {None} == lost
    shuffled = chance.sample(rows, len(rows))
    again, listed = decide(shuffled, chance.sample(sorted(pairs), len(pairs)), **given)
    assert again == final
    assert listed.equals(found)


@settings(max_examples=60, deadline=None)
@given(samples, alike, st.sampled_from(["any", "open"]))
def test_nothing_straddles_assigned_splits(rows, pairs, identities):
    held = ["group", *(["identity"] if identities == "open" else [])]
    assign = {**GIVEN["assign"], "identities": identities}
    final, found = decide(rows, sorted(pairs), splits="assigned", assign=assign)
    assert straddling(final, pairs, held) == []
    assert found.is_empty()
