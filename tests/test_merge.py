"""Sources become one set of samples: every row judged, none lost, whatever their order."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill import merge
from imagemill.errors import ConfigError
from imagemill.tables import INDEX, SAMPLES
from tests import make

FOLDERS = {"kind": "imagefolder", "join": None, "constants": {}}
LAYOUTS = {
    "faces": {**FOLDERS, "folders": ["split", "identity"]},
    "more": {**FOLDERS, "folders": ["split", "identity"]},
    "things": {**FOLDERS, "folders": ["label"]},
    "people": {**FOLDERS, "folders": ["label", "identity"]},
}
USUAL: dict[str, Any] = {
    "layouts": LAYOUTS,
    "min_images": 1,
    "priority": [],
    "on_identity_conflict": "drop",
    "on_label_conflict": "drop",
}


def merged(*rows: tuple[str, str] | tuple[str, str, str], **config: Any) -> dict[str, Any]:
    """The samples of (source, key, reason) rows; the content is named ``=x`` at a key's end."""
    index = []
    for source, text, *reason in rows:
        key, _, content = text.partition("=")
        same = make.digest(content or f"{source}/{key}")
        index.append(
            {"source": source, "key": key, "digest": same, "reason": next(iter(reason), None)}
        )
    settings = merge.Config.model_validate({**USUAL, **config})
    samples = merge.merge(make.frame(INDEX, *index), {}, settings)
    assert samples.schema == pl.Schema(SAMPLES.columns)
    assert sorted(samples["sample"]) == sorted(f"{r['source']}/{r['key']}" for r in index)
    return {row["sample"]: row for row in samples.iter_rows(named=True)}


def reasons(found: dict[str, Any]) -> dict[str, str]:
    return {sample: row["reason"] for sample, row in found.items() if row["reason"]}


def test_a_sample_is_named_by_source_and_key_and_bears_what_they_say():
    row = merged(("faces", "train/ann/1.png"))["faces/train/ann/1.png"]
    assert (row["split"], row["identity"], row["label"]) == ("train", "ann", "ann")
    assert (row["name"], row["reason"], row["kept_as"]) == ("1", None, None)


def test_what_an_earlier_stage_said_stays_and_counts_for_nothing():
    found = merged(
        ("faces", "train/ann/1.png", "vanished"), ("faces", "train/ann/2.png"), min_images=2
    )
    assert list(reasons(found).values()) == ["vanished", "identity_too_small"]


def test_misfits_are_out_with_their_reason():
    assert list(reasons(merged(("faces", "1.png"))).values()) == ["no_layout"]


@pytest.mark.parametrize(("least", "out"), [(2, []), (3, ["identity_too_small"] * 2)])
def test_an_identity_needs_so_many_images_over_all_sources(least, out):
    found = merged(("faces", "train/ann/1.png"), ("more", "test/ann/1.png"), min_images=least)
    assert list(reasons(found).values()) == out


def test_the_same_bytes_count_once_within_an_identity_and_split():
    found = merged(
        ("more", "train/ann/1.png=x"),
        ("faces", "train/ann/2.png=x"),
        ("faces", "train/ann/3.png=x"),
        ("faces", "test/ann/4.png=x"),
        min_images=2,
    )
    out = {"faces/train/ann/3.png": "same_bytes", "more/train/ann/1.png": "same_bytes"}
    assert reasons(found) == out
    assert {found[sample]["kept_as"] for sample in out} == {"faces/train/ann/2.png"}


def test_the_same_bytes_do_not_help_an_identity_to_enough_images():
    found = merged(("faces", "train/ann/1.png=x"), ("faces", "train/ann/2.png=x"), min_images=2)
    assert sorted(reasons(found).values()) == ["identity_too_small", "same_bytes"]


@pytest.mark.parametrize(
    ("priority", "first"), [([], "faces"), (["more"], "more"), (["faces", "more"], "faces")]
)
def test_of_the_same_bytes_the_most_trusted_source_keeps_its_sample(priority, first):
    rows = [("faces", "train/ann/1.png=x"), ("more", "train/ann/1.png=x")]
    found = merged(*rows, priority=priority)
    (out,) = reasons(found)
    assert not out.startswith(first)


def test_a_priority_names_sources():
    with pytest.raises(
        ConfigError, match=r"merge\.priority: face: no such source; did you mean faces\?"
    ):
        merged(("faces", "train/ann/1.png"), priority=["face"])


def test_the_same_bytes_under_two_identities_are_trusted_in_neither():
    found = merged(
        ("faces", "train/ann/1.png=x"), ("more", "test/bob/1.png=x"), ("more", "test/bob/2.png")
    )
    assert list(reasons(found).values()) == ["identity_conflict"] * 2
    assert found["more/test/bob/1.png"]["detail"] == "same bytes under ann, bob"


def test_the_same_bytes_under_two_labels_are_trusted_in_neither():
    found = merged(("things", "cat/1.png=x"), ("things", "dog/1.png=x"), ("things", "dog/2.png"))
    assert sorted(reasons(found)) == ["things/cat/1.png", "things/dog/1.png"]


@pytest.mark.parametrize(
    ("rows", "priority", "left"),
    [
        ([("faces", "t/ann/1=x"), ("more", "t/bob/1=x")], ["more"], "more/t/bob/1"),
        ([("faces", "t/ann/1=x"), ("more", "t/bob/1=x")], [], "faces/t/ann/1"),
        ([("faces", "t/bob/1=x"), ("faces", "t/ann/2=x")], [], "faces/t/ann/2"),
    ],
)
def test_or_the_more_trusted_source_is_believed(rows, priority, left):
    policy = {"on_identity_conflict": "first", "priority": priority}
    for order in (rows, rows[::-1]):
        found = merged(*order, **policy)
        assert set(found) - set(reasons(found)) == {left}


PEOPLE = [("people", "cat/ann/1"), ("people", "cat/ann/2"), ("people", "dog/ann/3")]


def test_an_image_whose_label_its_identity_does_not_bear_is_out():
    found = merged(*PEOPLE)
    assert reasons(found) == {"people/dog/ann/3": "label_conflict"}
    assert found["people/dog/ann/3"]["detail"] == "labelled dog, its identity cat"


def test_or_it_gets_the_label_of_its_identity():
    found = merged(*PEOPLE, on_label_conflict="vote")
    assert reasons(found) == {}
    assert {row["label"] for row in found.values()} == {"cat"}


@pytest.mark.parametrize("policy", ["drop", "vote"])
def test_an_identity_with_two_labels_of_equal_right_has_none(policy):
    found = merged(*PEOPLE, ("people", "dog/ann/4"), on_label_conflict=policy)
    assert list(reasons(found).values()) == ["label_conflict"] * 4
    assert found["people/dog/ann/4"]["detail"] == "labelled dog, its identity no one label"


def test_copies_of_one_image_have_one_vote():
    found = merged(
        *PEOPLE, ("people", "dog/ann/4=x"), ("people", "dog/ann/5=x"), ("people", "dog/ann/6=x")
    )
    assert set(reasons(found).values()) == {"label_conflict"}
    found = merged(*PEOPLE[:2], ("people", "dog/ann/4=x"), ("people", "dog/ann/5=x"))
    assert sorted(reasons(found)) == ["people/dog/ann/4", "people/dog/ann/5"]


# Names


def names(*rows: tuple[str, str]) -> list[str]:
    return [row["name"] for row in merged(*rows).values()]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("cat/photo.jpg", "photo"),
        ("cat/a/b/photo.tar.gz", "photo.tar"),
        ("cat/photo", "photo"),
        ("cat/.hidden", ".hidden"),
        ("cat/photo.", "photo"),
        ("cat/a b.c d", "a b"),
        ("cat/snö 日本.png", "snö 日本"),
    ],
)
def test_a_name_is_that_of_the_file_without_suffix(key, name):
    assert names(("things", key)) == [name]


def test_names_that_collide_get_their_source_and_then_their_hash():
    content = make.digest("things/cat/a/x.png")[:16]
    found = names(("things", "cat/a/x.png"), ("things", "cat/b/X.jpg"), ("people", "cat/ann/x.png"))
    assert found[0] == f"x_things_{content}"
    assert found[1].startswith("X_things_")
    assert found[2] == "x_people"


def test_equal_names_in_other_labels_or_splits_do_not_collide():
    assert names(("things", "cat/x.png"), ("things", "dog/x.png")) == ["x", "x"]
    assert names(("faces", "train/ann/x.png"), ("faces", "test/ann/x.png")) == ["x", "x"]


def test_a_sample_that_is_out_takes_no_name():
    found = merged(("things", "cat/a/x.png", "vanished"), ("things", "cat/b/x.png"))
    assert [row["name"] for row in found.values()] == [None, "x"]


def test_two_ways_to_write_an_accent_collide():
    one, two = names(("things", "cat/a/é.png"), ("things", "cat/b/e\u0301.png"))
    assert one != two
    assert {one[1:9], two[-24:-16]} == {"_things_"}


def test_a_name_that_looks_like_one_with_a_source_stays_apart_from_it():
    rows = [("things", "cat/a/x.png"), ("people", "cat/ann/x.png"), ("things", "cat/x_people.png")]
    assert len(set(names(*rows))) == 3


def test_a_very_long_name_is_cut_so_that_a_file_may_bear_it():
    found = names(("things", f"cat/{'日' * 80}.png"), ("things", f"cat/{'日' * 81}.png"))
    assert all(len(name.encode()) <= 240 for name in found)
    assert len(set(found)) == 2


# Order

splits, people = st.sampled_from(["train", "test"]), st.sampled_from(["ann", "bob"])
files = st.sampled_from(["1.png", "1.jpg", "x/1.png", "2.png"])
contents = st.sampled_from("abcdef")
rows = st.one_of(
    st.tuples(st.sampled_from(["faces", "more"]), splits, people, files, contents),
    st.tuples(st.just("people"), st.sampled_from(["cat", "dog"]), people, files, contents),
    st.tuples(
        st.just("things"), st.sampled_from(["cat", "dog", "1.png"]), st.just("x"), files, contents
    ),
)
drawn = st.lists(rows, max_size=12, unique_by=lambda row: row[:4]).map(
    lambda many: [(source, f"{'/'.join(parts)}={content}") for source, *parts, content in many]
)
configs = st.fixed_dictionaries(
    {
        "min_images": st.integers(1, 3),
        "priority": st.lists(st.sampled_from(sorted(LAYOUTS)), unique=True),
        "on_identity_conflict": st.sampled_from(["drop", "first"]),
        "on_label_conflict": st.sampled_from(["drop", "vote"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(drawn, configs, st.randoms())
def test_the_result_does_not_depend_on_the_order_of_rows_or_sources(rows, config, chance):
    found = merged(*rows, **config)
    layouts = dict(chance.sample(sorted(LAYOUTS.items()), len(LAYOUTS)))
    assert merged(*chance.sample(rows, len(rows)), **config, layouts=layouts) == found
    kept = [row for row in found.values() if row["reason"] is None]
    assert all(row["label"] and row["name"] for row in kept)
    assert len({(r["split"], r["label"], r["name"].lower()) for r in kept}) == len(kept)
    assert all(
        found[row["kept_as"]]["digest"] == row["digest"] for row in found.values() if row["kept_as"]
    )
    units = [row["identity"] or row["label"] for row in kept]
    assert all(units.count(unit) >= config["min_images"] for unit in units)


def test_the_summary_counts_what_is_in_and_why_the_rest_is_out():
    index = [{"source": "faces", "key": "train/ann/1"}, {"source": "more", "key": "train/ann/1"}]
    index.append({"source": "faces", "key": "1"})
    samples = merge.merge(make.frame(INDEX, *index), {}, merge.Config.model_validate(USUAL))
    assert merge.summary(samples).splitlines() == [
        "merge: 2 images of 1 identities or labels, 2.0 each; 1 from several sources",
        "merge: left out 1: no_layout",
    ]


def test_a_source_that_knows_only_labels_does_not_contradict_one_that_knows_identities():
    found = merged(("things", "cat/2.png=x"), ("people", "cat/tom/1.png=x"), priority=["things"])
    assert reasons(found) == {"things/cat/2.png": "same_bytes"}
    assert found["things/cat/2.png"]["kept_as"] == "people/cat/tom/1.png"


def test_the_same_bytes_under_another_bare_label_are_a_conflict():
    found = merged(("things", "dog/2.png=x"), ("people", "cat/tom/1.png=x"))
    assert set(reasons(found).values()) == {"identity_conflict"}
    assert len(reasons(found)) == 2


def test_empty_files_show_nothing_and_so_contradict_nothing():
    rows = [
        {"source": "things", "key": f"{label}/{n}.png", "digest": make.digest("empty"), "bytes": 0}
        for label in ("cat", "dog")
        for n in range(2)
    ]
    samples = merge.merge(make.frame(INDEX, *rows), {}, merge.Config.model_validate(USUAL))
    assert samples["reason"].null_count() == 4
