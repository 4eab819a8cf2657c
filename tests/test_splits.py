"""Units stay whole, samples that are frozen never move, newcomers follow or even out."""

from itertools import combinations
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from imagemill import clusters, splits
from imagemill.errors import ConfigError
from tests.make import digest

USUAL: dict[str, Any] = {
    "fractions": {"train": 0.8, "test": 0.2},
    "seed": 0,
    "together": ["copies", "group"],
    "identities": "any",
    "draw": "even",
    "rare": "spread",
    "folds": 0,
    "folded": "train",
    "frozen": None,
}

Row = dict[str, str | None]
Pairs = set[tuple[str, str]]


def image(name: str, **more: str | None) -> Row:
    usual = {"digest": digest(name), "label": "cat", "identity": None, "group": None}
    return {"sample": name, **usual, **more}


def frame(rows: list[Row]) -> pl.DataFrame:
    columns = ("sample", "digest", "label", "identity", "group")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String))


def paired(names: Pairs | list[tuple[str, str]]) -> pl.DataFrame:
    rows = [tuple(sorted(map(digest, pair))) for pair in names]
    return pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")


def config(**more: Any) -> splits.Config:
    return splits.Config.model_validate({**USUAL, **more})


def assign(
    rows: list[Row],
    pairs: Pairs | list[tuple[str, str]] = frozenset(),  # type: ignore[assignment]
    held: dict[str, str] | None = None,
    away: list[Row] | None = None,
    **more: Any,
) -> dict[str, str | None]:
    """The split of each sample, or the reason why it has none."""
    there = {digest(name): split for name, split in (held or {}).items()}
    frozen = pl.DataFrame({"digest": [*there], "split": [*there.values()]}) if there else None
    done = splits.assign(frame(rows), paired(pairs), config(**more), frozen, frame(away or []))
    assert done["sample"].to_list() == [row["sample"] for row in rows]
    assert (done["split"].is_null() == done["reason"].is_not_null()).all()
    return dict(done.select("sample", pl.coalesce("split", "reason")).iter_rows())


def crowd(count: int, **more: str | None) -> list[Row]:
    return [image(f"{more.get('label', '')}{n:04}", **more) for n in range(count)]


def count(found: dict[str, str | None], split: str, start: str = "") -> int:
    return sum(each == split for name, each in found.items() if name.startswith(start))


# Even


def test_every_split_has_its_share_of_all_and_of_each_label():
    rows = crowd(70, label="cat") + crowd(25, label="dog") + crowd(5, label="owl")
    found = assign(rows)
    assert [count(found, "test", label) for label in ("cat", "dog", "owl")] == [14, 5, 1]


def test_what_rounding_leaves_over_adds_up_to_the_shares():
    rows = [row for label in range(100) for row in crowd(7, label=f"{label:03}")]
    found = assign(rows)
    assert {count(found, "test", f"{label:03}") for label in range(100)} == {1, 2}
    assert count(found, "test") == 140


@pytest.mark.parametrize(("rare", "reached"), [("spread", 50), ("share", 20)])
def test_a_rare_label_reaches_every_split_where_asked(rare, reached):
    rows = [row for label in range(50) for row in crowd(2, label=f"{label:03}")]
    found = assign(rows + crowd(900, label="cat"), rare=rare)
    assert sum(count(found, "test", f"{label:03}") == 1 for label in range(50)) >= reached
    assert count(found, "test") == pytest.approx(200, abs=0 if rare == "share" else 30)


def test_labels_of_one_image_are_shared_out_too():
    found = assign([image(f"{n}", label=f"{n}") for n in range(200)])
    assert count(found, "test") == 40


def test_in_the_open_set_mode_an_identity_lies_whole_in_one_split():
    rows = [image(f"{p}-{n}", identity=f"{p}", label=f"{p}") for p in range(50) for n in range(6)]
    found = assign(rows, identities="open")
    where = [{found[f"{p}-{n}"] for n in range(6)} for p in range(50)]
    assert all(len(each) == 1 for each in where)
    assert sum(each == {"test"} for each in where) == 10


def test_in_the_closed_set_mode_every_identity_is_in_every_split_where_it_has_enough_units():
    rows = [image(f"{p}-{n}", identity=f"{p}") for p in range(9) for n in range(p + 1)]
    fractions = {"train": 0.8, "val": 0.1, "test": 0.1}
    found = assign(rows, identities="closed", fractions=fractions)
    for p in range(9):
        assert len({found[f"{p}-{n}"] for n in range(p + 1)}) == min(3, p + 1)


def test_images_without_a_label_are_shared_out_like_a_label():
    found = assign([image(f"{n}", label=None) for n in range(10)])
    assert count(found, "test") == 2


def test_another_seed_is_another_split():
    assert assign(crowd(50)) != assign(crowd(50), seed=1)


def test_nothing_is_assigned_where_nothing_is_kept():
    assert assign([]) == {}


@pytest.mark.parametrize("draw", ["even", "hashed"])
def test_folds_divide_a_split_into_equal_parts_of_whole_units(draw):
    rows = [image(f"{n}", group=f"{n // 3}", label=f"{n % 2}") for n in range(1500)]
    given = config(folds=5, draw=draw)
    done = splits.assign(frame(rows), paired([("0", "700")]), given)
    inside = done.filter(split="train")
    assert done.filter(pl.col("fold").is_null())["split"].unique().to_list() == ["test"]
    sizes = inside["fold"].value_counts()
    assert sorted(sizes["fold"]) == [0, 1, 2, 3, 4]
    off = 3 if draw == "even" else 80
    assert all(abs(size - len(inside) / 5) <= off for size in sizes["count"])
    folds = dict(done.select("sample", "fold").iter_rows())
    assert all(folds[f"{n}"] == folds[f"{n - n % 3}"] for n in range(1500))
    assert folds["0"] == folds["700"]


# Hashed


def test_a_hashed_split_has_about_the_shares_asked_for():
    shares = {"train": 0.7, "val": 0.1, "test": 0.2}
    found = assign(crowd(3000), draw="hashed", fractions=shares)
    assert all(abs(count(found, name) / 3000 - share) < 0.03 for name, share in shares.items())


def test_a_hashed_split_needs_no_file_to_keep_old_images_where_they_are():
    old = [image(f"{n}", group=f"{n % 30}") for n in range(100)]
    new = [image(f"new {n}", group=f"new {n % 9}") for n in range(100)]
    before = assign(old, [("1", "2")], draw="hashed")
    after = assign(new + old, [("1", "2"), ("new 1", "new 2")], draw="hashed")
    assert {name: after[name] for name in before} == before


def test_a_hashed_group_that_grows_stays_where_it_is():
    for n in range(40):
        old = [image("a", group="g"), image("b", group="g")]
        before = assign(old, draw="hashed")
        after = assign([*old, image(f"new {n}", group="g")], draw="hashed")
        assert after == {**before, f"new {n}": before["a"]}


# Frozen


def test_newcomers_even_out_what_is_frozen():
    held = {f"{n:04}": "train" for n in range(80)}
    found = assign(crowd(100), held=held)
    assert {found[name] for name in held} == {"train"}
    assert count(found, "test") == 20


def test_a_newcomer_follows_the_frozen_image_or_group_that_it_belongs_to():
    held = {"a": "test", "b": "train"}
    rows = [image("a", group="g"), image("b")]
    rows += [image("copy of b"), image("of g", group="g"), image("copy of that")]
    found = assign(rows, [("b", "copy of b"), ("of g", "copy of that")], held)
    assert found == {
        "a": "test",
        "b": "train",
        "copy of b": "train",
        "of g": "test",
        "copy of that": "test",
    }


def test_a_newcomer_that_would_join_two_splits_is_left_out():
    held = {"a": "test", "b": "train"}
    rows = [image("a"), image("b", group="g"), image("new", group="g")]
    found = assign(rows, [("a", "new")], held)
    assert found == {"a": "test", "b": "train", "new": "joins_splits"}


def test_of_newcomers_that_hang_together_only_those_leave_that_touch_another_split():
    held = {"a": "train", "b": "test", "c": "train"}
    rows = [image(name) for name in "abc"] + [image(f"{n}", group="new") for n in range(6)]
    found = assign(rows, [("a", "0"), ("b", "1"), ("c", "2")], held)
    assert found.pop("1") == "joins_splits"
    assert {found[f"{n}"] for n in (0, 2, 3, 4, 5)} == {"train"}


def test_a_frozen_group_keeps_its_newcomers_whatever_one_of_them_touches():
    held = {"a": "train", "b": "test"}
    copies = [image(f"{n}") for n in range(3)]
    rows = [image("a", group="g"), image("b"), image("x", group="g"), image("y", group="g")]
    pairs = [("x", f"{n}") for n in range(3)] + [("b", f"{n}") for n in range(3)]
    found = assign(rows + copies, pairs, held)
    assert (found["x"], found["y"]) == ("joins_splits", "train")
    assert {found[f"{n}"] for n in range(3)} == {"test"}


def test_an_image_that_takes_the_place_of_a_frozen_one_goes_where_that_was():
    for split in ("train", "test"):
        assert assign([image("larger")], [("larger", "a")], {"a": split}) == {"larger": split}
        gone = [image("a", group="g")]
        assert assign([image("b", group="g")], held={"a": split}, away=gone) == {"b": split}


def test_a_frozen_image_that_went_and_came_back_has_its_split():
    held = {f"{n:04}": "test" for n in range(3)}
    assert count(assign(crowd(50)[3:], held=held), "test") == 9
    found = assign(crowd(50), held=held)
    assert {found[name] for name in held} == {"test"}


def test_a_split_with_no_share_keeps_what_it_has_and_takes_no_newcomers():
    fractions = {"train": 0.8, "test": 0.2, "exam": 0.0}
    found = assign(crowd(60), held={f"{n:04}": "exam" for n in range(10)}, fractions=fractions)
    assert [count(found, name) for name in fractions] == [40, 10, 10]


def test_a_frozen_split_that_the_config_does_not_name_is_an_error():
    with pytest.raises(ConfigError, match="frozen in tset, which is not named; did you mean test"):
        assign(crowd(3), held={"0000": "tset"})


# Config


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fractions": {"train": 0.8, "test": 0.1}}, "add up to 0.9; they must add up to 1"),
        ({"fractions": {}}, "add up to 0; they must add up to 1"),
        ({"fractions": {"a/b": 1.0}}, "should match pattern"),
        ({"folds": 1}, "`folds: 1` divides nothing"),
        ({"folds": 2, "folded": "val"}, "`folded: val` is none of the splits"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        config(**wrong)


# Whatever the data

NAMES = [f"{n}" for n in range(14)]
words = st.sampled_from([None, "g", "h", "i"])
worlds = st.fixed_dictionaries(
    {
        name: st.builds(
            image,
            st.just(name),
            label=st.sampled_from("ab"),
            group=words,
            identity=st.sampled_from([None, "p", "q"]),
        )
        for name in NAMES
    }
)
several = st.lists(st.sets(st.sampled_from(NAMES)), min_size=1, max_size=4)
alike = st.sets(st.sampled_from(list(combinations(NAMES, 2))), max_size=6)
shares = st.sampled_from(
    [{"train": 0.8, "test": 0.2}, {"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 0.7, "b": 0.3, "c": 0.0}]
)
modes = st.sampled_from(["any", "open", "closed"])


def sets(rows: list[Row], pairs: Pairs, identities: str) -> dict[str, str]:
    """Name each sample's unit, by the plainest means."""
    names = {str(row["sample"]) for row in rows}
    links = [pair for pair in pairs if set(pair) <= names] + [(name, name) for name in names]
    for kind in ["group"] + ["identity"] * (identities == "open"):
        links += [(f"{row['sample']}", f"{kind}!{row[kind]}") for row in rows if row[kind]]
    return clusters.connected(links)


def straddling(
    found: dict[str, str | None], units: list[Row], pairs: Pairs, kind: str
) -> list[Any]:
    kept = [row for row in units if found[str(row["sample"])] != "joins_splits"]
    where = sets(kept, pairs, kind)
    return [
        (one, other)
        for one, other in combinations([str(row["sample"]) for row in kept], 2)
        if where[one] == where[other] and found[one] != found[other]
    ]


@settings(max_examples=200)
@given(worlds, several, alike, shares, modes, st.sampled_from(["even", "hashed"]), st.randoms())
def test_as_data_comes_and_goes_no_unit_straddles_and_no_frozen_image_moves(
    world: dict[str, Row],
    builds: list[set[str]],
    pairs: Pairs,
    fractions: dict[str, float],
    identities: str,
    draw: str,
    chance: Random,
) -> None:
    held: dict[str, str] = {}
    more = {"fractions": fractions, "identities": identities, "draw": draw}
    for there in builds:
        kept = [world[name] for name in sorted(there)]
        away = [world[name] for name in NAMES if name not in there]
        found = assign(kept, pairs, held, away, **more)
        assert straddling(found, kept, pairs, identities) == []
        assert all(found[name] == split for name, split in held.items() if name in there)
        shuffled = chance.sample(kept, len(kept))
        other_way = [pair[::-1] for pair in chance.sample(sorted(pairs), len(pairs))]
        turned = dict(chance.sample(sorted(held.items()), len(held)))
        assert assign(shuffled, other_way, turned, away[::-1], **more) == found
        if draw == "even":
            beyond(found, kept, pairs, held, away, more)
        held |= {name: str(split) for name, split in found.items() if split != "joins_splits"}


def beyond(
    found: dict[str, str | None],
    kept: list[Row],
    pairs: Pairs,
    held: dict[str, str],
    away: list[Row],
    more: dict[str, Any],
) -> None:
    """Check the bound of ``splits.even``, where every unit that is drawn has one label."""
    drawn, bound = units_that_are_drawn(kept, pairs, held, away, more["identities"])
    named = "identity" if more["identities"] == "closed" else "label"
    label = {str(row["sample"]): row[named] or row["label"] for row in kept}
    if any(len({label[name] for name in unit}) > 1 for unit in drawn):
        return
    whole = {name for name in label if found[name] not in ("joins_splits", None)}
    whole = {name for name in whole if more["fractions"][found[name]]}
    for each in set(label.values()):
        of = [name for name in whole if label[name] == each]
        largest = max([len(unit) for unit in drawn if label[unit[0]] == each], default=0)
        for split, share in more["fractions"].items():
            have = sum(found[name] == split for name in of)
            fixed = sum(found[name] == split for name in of if name in bound)
            assert have == fixed or have < share * len(of) + largest


def units_that_are_drawn(
    kept: list[Row], pairs: Pairs, held: dict[str, str], away: list[Row], identities: str
) -> tuple[list[list[str]], set[str]]:
    """Return the units that touch nothing frozen, and the samples of all others."""
    every = kept + [row for row in away if row["sample"] in held]
    units: dict[str, list[str]] = {}
    for name, unit in sets(every, pairs, identities).items():
        if "!" not in name:
            units.setdefault(unit, []).append(name)
    drawn = [unit for unit in units.values() if not set(unit) & set(held)]
    return drawn, {name for unit in units.values() for name in unit} - {n for u in drawn for n in u}
