"""Sources become one set of samples: every row judged, none lost, whatever their order."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill import identities, layouts, merge
from imagemill.errors import ConfigError, GateError, SourceError
from imagemill.tables import CONFLICTS, INDEX, SAMPLES
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
    "expect": {},
    "limit": None,
}


def settled(*rows: tuple[str, str] | tuple[str, str, str], **config: Any) -> merge.Merged:
    """What becomes of (source, key, reason) rows; the content is named ``=x`` at a key's end."""
    index = []
    for source, text, *reason in rows:
        key, _, content = text.partition("=")
        same = make.digest(content or f"{source}/{key}")
        index.append(
            {"source": source, "key": key, "digest": same, "reason": next(iter(reason), None)}
        )
    settings = merge.Config.model_validate({**USUAL, **config})
    found = merge.merge(make.frame(INDEX, *index), {}, settings)
    assert found.samples.schema == pl.Schema(SAMPLES.columns)
    assert found.conflicts.schema == pl.Schema(CONFLICTS.columns)
    assert sorted(found.samples["sample"]) == sorted(f"{r['source']}/{r['key']}" for r in index)
    return found


def merged(*rows: tuple[str, str] | tuple[str, str, str], **config: Any) -> dict[str, Any]:
    """The samples of such rows, by name, in the order of rows."""
    samples = settled(*rows, **config).samples
    found = {row["sample"]: row for row in samples.iter_rows(named=True)}
    return {name: found[name] for s, text, *_ in rows if (name := f"{s}/{text.partition('=')[0]}")}


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


SHARED = [
    ("faces", "t/ann/1=x"),
    ("faces", "t/ann/2=x"),
    ("more", "t/bob/1=x"),
    ("faces", "t/ann/3=y"),
    ("more", "t/bob/2=y"),
]
"""Two photos of two people: of the first more objects say ann, of the second as many say each."""


@pytest.mark.parametrize(
    ("policy", "reason", "left"),
    [
        ("drop", "identity_conflict", []),
        ("review", "identity_review", []),
        ("first", "identity_conflict", ["more/t/bob/1", "more/t/bob/2"]),
        ("vote", "identity_conflict", ["faces/t/ann/1"]),
    ],
)
def test_a_policy_says_who_is_believed_of_the_same_bytes(policy, reason, left):
    found = merged(*SHARED, on_identity_conflict=policy, priority=["more"])
    assert [sample for sample, row in found.items() if not row["reason"]] == left
    assert set(reasons(found).values()) <= {reason, "same_bytes"}


@pytest.mark.parametrize(
    ("policy", "believed"),
    [("drop", []), ("review", []), ("first", ["ann", "ann"]), ("vote", ["ann"])],
)
def test_who_says_what_of_the_same_bytes_is_kept_for_people_to_decide(policy, believed):
    rows = settled(*SHARED, on_identity_conflict=policy).conflicts.sort("digest", "identity")
    assert {(r["digest"], r["identity"]): r["samples"] for r in rows.iter_rows(named=True)} == {
        (make.digest("x"), "ann"): ["faces/t/ann/1", "faces/t/ann/2"],
        (make.digest("x"), "bob"): ["more/t/bob/1"],
        (make.digest("y"), "ann"): ["faces/t/ann/3"],
        (make.digest("y"), "bob"): ["more/t/bob/2"],
    }
    assert rows.filter("stays")["identity"].to_list() == believed


def test_one_thing_said_several_times_is_no_conflict():
    found = settled(("faces", "t/ann/1=x"), ("more", "t/ann/1=x"), ("faces", "u/ann/1=x"))
    assert found.conflicts.is_empty()


@pytest.mark.parametrize("policy", ["drop", "first", "vote", "review"])
def test_a_sample_without_identity_has_no_say_where_identities_are_disputed(policy):
    rows = [
        ("faces", "t/ann/1=x"),
        ("more", "t/bob/1=x"),
        *[("things", f"cat/{n}=x") for n in "123"],
    ]
    found = settled(*rows, on_identity_conflict=policy, priority=["things"])
    assert set(found.conflicts["identity"]) == {"ann", "bob"}
    kept = found.samples.filter(pl.col("reason").is_null())["sample"].to_list()
    assert kept == (["faces/t/ann/1"] if policy == "first" else [])


def test_labels_vote_where_one_sample_names_no_identity():
    rows = [("people", "cat/tom/1=x"), ("things", "cat/1=x"), ("things", "dog/1=x")]
    found = merged(*rows, on_identity_conflict="vote")
    assert reasons(found) == {"things/cat/1": "same_bytes", "things/dog/1": "identity_conflict"}


def test_every_place_where_the_same_bytes_lie_stays_known():
    rows = [("faces", "t/ann/1=x"), ("faces", "t/ann/2=x"), ("more", "t/ann/9=x")]
    found = settled(*rows, ("more", "u/ann/9=x"), ("more", "t/ann/8=y")).samples
    stands = pl.coalesce("kept_as", "sample").alias("stands")
    places = found.group_by(stands).agg(pl.col("sample").sort()).sort("stands")
    assert dict(places.iter_rows()) == {
        "faces/t/ann/1": ["faces/t/ann/1", "faces/t/ann/2", "more/t/ann/9"],
        "more/t/ann/8": ["more/t/ann/8"],
        "more/u/ann/9": ["more/u/ann/9"],
    }


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
        "on_identity_conflict": st.sampled_from(["drop", "first", "vote", "review"]),
        "on_label_conflict": st.sampled_from(["drop", "vote"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(drawn, configs, st.randoms())
def test_the_result_does_not_depend_on_the_order_of_rows_or_sources(rows, config, chance):
    found = merged(*rows, **config)
    layouts = dict(chance.sample(sorted(LAYOUTS.items()), len(LAYOUTS)))
    again = settled(*chance.sample(rows, len(rows)), **config, layouts=layouts)
    assert {row["sample"]: row for row in again.samples.iter_rows(named=True)} == found
    conflicts = settled(*rows, **config).conflicts
    assert again.conflicts.sort("digest", "identity").equals(conflicts.sort("digest", "identity"))
    kept = [row for row in found.values() if row["reason"] is None]
    assert all(row["label"] and row["name"] for row in kept)
    assert len({(r["split"], r["label"], r["name"].lower()) for r in kept}) == len(kept)
    assert all(
        found[row["kept_as"]]["digest"] == row["digest"] for row in found.values() if row["kept_as"]
    )
    units = [row["identity"] or row["label"] for row in kept]
    assert all(units.count(unit) >= config["min_images"] for unit in units)


# Aliases


def united(*people: tuple[str | None, str | None], **config: Any) -> list[str | None]:
    """The identities of three samples, with (alias, name) rows for those of ``more``."""
    table = pl.DataFrame(people, schema={"id": pl.String, "person": pl.String}, orient="row")
    aliases = {"identity": {"table": "people", "alias": "id", "name": "person"}}
    layouts = {"faces": LAYOUTS["faces"], "more": {**LAYOUTS["more"], "aliases": aliases}}
    rows = [("faces", "t/ann/1"), ("more", "t/m17/1"), ("more", "t/m18/2")]
    index = make.frame(INDEX, *({"source": source, "key": key} for source, key in rows))
    chosen = merge.Config.model_validate({**USUAL, "layouts": layouts, **config})
    samples = merge.merge(index, {"people": table}, chosen).samples.sort("sample")
    assert (samples["identity"] == samples["label"]).all()
    return samples["identity"].to_list()


def test_one_person_under_two_names_is_united_by_a_table():
    assert united(("m17", "ann"), ("m99", "bob")) == ["ann", "ann", "m18"]


@pytest.mark.parametrize("row", [("m17", None), ("m17", ""), (None, "ann"), ("", "ann")])
def test_who_has_no_other_name_keeps_the_name(row):
    assert united(row) == ["ann", "m17", "m18"]


def test_an_alias_may_be_said_twice_but_not_of_two_people():
    assert united(("m17", "ann"), ("m17", "ann")) == ["ann", "ann", "m18"]
    said = r"tables\.people: 1 of column id .* names: m17 is ann in row 1, m17 is bob in row 3"
    with pytest.raises(SourceError, match=said):
        united(("m17", "ann"), ("m18", "bob"), ("m17", "bob"))


def test_an_alias_that_no_source_uses_is_an_orphan():
    aliases = {"identity": {"table": "people", "alias": "id", "name": "person"}}
    specs = {"layouts": {"more": {**LAYOUTS["more"], "aliases": aliases}}}
    chosen = merge.Config.model_validate({**USUAL, **specs}).layouts
    rows = pl.DataFrame({"source": ["more"] * 2, "key": ["t/m17/1", "t/m18/1"]})
    people = pl.DataFrame({"id": ["m17", "m99", None], "person": ["ann", "bob", "cem"]})
    found = layouts.orphans(rows, chosen, {"people": people})
    assert found.rows() == [("people", "id", "m99")]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"table": "peple"}, r"aliases\.identity\.table: no table peple; did you mean people\?"),
        ({"alias": "ids"}, r"aliases\.identity: no column ids; did you mean id\?"),
    ],
)
def test_a_table_of_aliases_is_one_that_is_there(wrong, said):
    spec = {"table": "people", "alias": "id", "name": "person", **wrong}
    layouts = {**LAYOUTS, "faces": {**LAYOUTS["faces"], "aliases": {"identity": spec}}}
    with pytest.raises(ConfigError, match=rf"sources\.faces\.layout\.{said}"):
        united(layouts=layouts)


# Figures


def few(source: str, counts: dict[str, int]) -> list[tuple[str, str]]:
    return [(source, f"t/{name}/{n}") for name, count in counts.items() for n in range(count)]


def test_the_figures_are_those_that_people_count():
    wide = {"a1": 1, "a2": 2, "a3": 3, "a5": 5, "a6": 6, "a10": 10, "a11": 11, "a51": 51}
    rows = [*few("faces", wide), *few("more", {"a2": 1, "b20": 20, "b21": 21, "b50": 50, "z": 1})]
    skipped = [(*row, "identity_too_small") for row in few("faces", {"s1": 1, "s2": 1})]
    stray = [("faces", "stray.png"), ("faces", "t/a5/9", "vanished")]
    found = identities.figures(settled(*rows, *skipped, *stray, min_images=2).samples)
    assert found["distribution"] == {
        "1": 0,
        "2": 0,
        "3-5": 3,
        "6-10": 2,
        "11-20": 2,
        "21-50": 2,
        ">50": 1,
    }
    assert found["identities_from_one_source"] == 9
    assert found["identities_from_several_sources"] == 1
    assert found["identities_too_small"] == 4
    assert found["identities_listed"] == found["identities"] + found["identities_too_small"] == 14
    assert found["images"] == sum(wide.values()) - 1 + 92 == found["listed"] - 6
    assert found["images_per_identity"] == found["images"] / 10
    assert found["out"] == {"identity_too_small": 4, "no_layout": 1, "vanished": 1}
    assert found["sources"]["more"] == {"kept": 92, "listed": 93}


def test_the_summary_is_a_block_that_people_know():
    rows = [*few("faces", {"ann": 2, "bob": 1}), *few("more", {"ann": 1})]
    samples = settled(*rows, min_images=2).samples
    assert identities.text(samples, identities.figures(samples)).splitlines() == [
        "  Total identities                    1",
        "  Total images                        3",
        "  Identities from single source       0",
        "  Identities from multiple sources    1",
        "  Skipped (too few images)            1",
        "  Avg images per identity           3.0",
        "    identities with 1 image           0",
        "    identities with 2 images          0",
        "    identities with 3-5 images        1",
        "    identities with 6-10 images       0",
        "    identities with 11-20 images      0",
        "    identities with 21-50 images      0",
        "    identities with >50 images        0",
        "  Images left out                     1",
        "    identity_too_small                1",
        "  Images from faces, of 3             2",
        "  Images from more, of 1              1",
    ]


def test_labels_are_not_called_identities():
    samples = settled(("things", "cat/1.png")).samples
    assert "Total labels" in identities.text(samples, identities.figures(samples))


def test_nothing_merged_has_figures_too():
    found = identities.figures(settled(("faces", "stray.png")).samples)
    assert (found["identities"], found["images_per_identity"], found["identities_listed"]) == (
        0,
        0,
        0,
    )


def test_the_result_must_be_as_expected_but_not_that_of_a_quick_trial(capsys):
    samples = settled(("faces", "t/ann/1")).samples
    expected = {"expect": {"images": {"least": 2}}}
    with pytest.raises(GateError, match=r"expect\.result\.images +at least 2 +1 +TOO LOW"):
        merge.refuse_unexpected(samples, merge.Config.model_validate({**USUAL, **expected}))
    trial = merge.Config.model_validate({**USUAL, **expected, "limit": 1})
    merge.refuse_unexpected(samples, trial)
    assert "`limit` asks for a part, so nothing is expected" in capsys.readouterr().err


# Bytes without identity


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
    samples, _ = merge.merge(make.frame(INDEX, *rows), {}, merge.Config.model_validate(USUAL))
    assert samples["reason"].null_count() == 4
