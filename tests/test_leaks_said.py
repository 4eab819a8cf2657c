"""What the leaks stage says: the gate, the CSV of the guide, the summary, errors of the config."""

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from imagemill import leaks, sheets
from imagemill.config.compose import resolve
from imagemill.config.project import Project
from imagemill.errors import ConfigError, GateError
from imagemill.leaks import sheet
from imagemill.tables import PAIRS as PAIRS_TABLE
from imagemill.tables import SAMPLES, VERDICTS
from stages.config import SECTIONS
from tests import make
from tests.conftest import ROOT
from tests.test_leaks import AKIN, GIVEN, KINDS, NEAR, PIXELS, config, decision, sample

ALL: dict[str, Any] = {
    "methods": ["exact", "perceptual", "semantic"],
    "max_distance": 5,
    "together": ["group"],
    "remove_from": [],
}

ROWS = [
    sample("r1", "train", label="cat"),
    sample("t1", "test", label="dog"),
    sample("r2", "train"),
    sample("t2", "test"),
    sample("r3", "train"),
    sample("v3", "val"),
    sample("r4", "train", digest="4" * 64, group="g"),
    sample("t4", "test", digest="4" * 64, group="g"),
]
PAIRS = [
    ("r1", "t1", PIXELS),
    ("t2", "r2", {**NEAR, "transform": "rot90", "score": 0.9375}),
    ("r3", "v3", AKIN),
]


OUT = Path("data/album/leaks")


def stopped(**more: Any) -> str:
    """What the gate says where it stops the build."""
    given = {**ALL, **more}
    with pytest.raises(GateError) as raised:
        leaks.refuse(
            decision(ROWS, PAIRS, **given), config(**given), "album", Path("data/album/leaks")
        )
    return str(raised.value)


def test_the_gate_stops_the_build_with_one_screen_that_shows_the_worst_and_where_the_rest_is():
    said = stopped().splitlines()
    assert said[0] == (
        "leaks: more remain than `leaks.allowed` says: "
        "1 bytes, 1 pixels, 1 perceptual, 1 semantic, 1 group"
    )
    assert len(said) <= 24
    assert max(map(len, said)) <= 110
    assert "  album/r4 (train) ~ album/t4 (test): bytes" in said
    assert "  album/r4 (train) ~ album/t4 (test): group g" in said
    near = "album/r2 (train) ~ album/t2 (test): perceptual, 5 bits apart, likeness 0.938"
    assert f"  {near}" in said
    assert "Look at them: `imagemill leaks album` draws a page" in said[-1]
    assert said[-1].endswith("data/album/leaks/leaks.csv lists all.")
    assert any("`leaks.remove_from`" in line for line in said)


def test_a_screen_is_enough_however_many_leaks_there_are():
    many = [sample(f"{n}", ("train", "test")[n % 2], group=f"{n // 2}") for n in range(5000)]
    given = {"together": ["group"], "remove_from": []}
    with pytest.raises(GateError, match="2,500 group") as raised:
        leaks.refuse(decision(many, **given), config(**given), "album", Path("out"))
    assert len(str(raised.value).splitlines()) <= 24


def test_a_kind_that_warns_does_not_stop_the_build(capsys):
    given = {**ALL, "gate": dict.fromkeys(KINDS, "warn")}
    leaks.refuse(decision(ROWS, PAIRS, **given), config(**given), "album", Path("out"))
    assert "warning: leaks: more remain than `leaks.allowed` says" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["bytes", "pixels", "perceptual", "semantic", "group"])
def test_each_kind_has_a_gate_of_its_own(kind):
    others = {each: "warn" for each in KINDS if each != kind}
    assert f"~ album/{ {'semantic': 'v3'}.get(kind, 't') }" in stopped(gate=others)
    given = {**ALL, "gate": {**others, kind: "warn"}}
    leaks.refuse(decision(ROWS, PAIRS, **given), config(**given), "album", Path("out"))


@pytest.mark.parametrize("kind", ["bytes", "pixels", "perceptual", "semantic", "group"])
def test_as_many_leaks_may_remain_as_are_allowed_and_no_more(kind):
    others = {each: 9 for each in KINDS if each != kind}
    assert "1 " + kind in stopped(allowed=others)
    given = {**ALL, "allowed": {**others, kind: 1}}
    leaks.refuse(decision(ROWS, PAIRS, **given), config(**given), "album", Path("out"))


def test_what_was_removed_is_not_held_against_the_build():
    given = {**ALL, "remove_from": ["test", "val"]}
    made = decision(ROWS, PAIRS, **given)
    leaks.refuse(made, config(**given), "album", Path("out"))
    assert {kind: count.worth for kind, count in made.before.items()} == {
        "bytes": 1,
        "pixels": 1,
        "perceptual": 1,
        "semantic": 1,
        "group": 1,
    }
    assert sum(count.pairs for count in made.after.values()) == 0


def said(tmp_path: Path, **more: Any) -> list[dict[str, str]]:
    """The rows of the CSV."""
    given = {**ALL, **more}
    made = decision(ROWS, PAIRS, **given)
    settings = config(**given)
    others = leaks.Benchmarks.read(settings, tmp_path, tmp_path)
    leaks.write(tmp_path, made, settings, "album", others)
    with (tmp_path / "leaks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_begins_with_the_columns_of_the_cleaning_guide(tmp_path):
    said(tmp_path)
    header = (tmp_path / "leaks.csv").read_text().splitlines()[0]
    guide = "train_image,test_image,method,similarity,leak_type,hamming_distance"
    assert header.startswith(guide + ",")


def test_a_row_of_the_csv_says_how_it_was_found_on_which_scale(tmp_path):
    rows = {row["leak_type"]: row for row in said(tmp_path)}
    told = {
        kind: (row["train_image"], row["test_image"], row["method"], row["hamming_distance"])
        for kind, row in rows.items()
    }
    assert told == {
        "bytes": ("album/r4", "album/t4", "exact", ""),
        "pixels": ("album/r1", "album/t1", "exact", ""),
        "perceptual": ("album/r2", "album/t2", "perceptual", "5"),
        "semantic": ("album/r3", "album/v3", "semantic", ""),
        "group": ("album/r4", "album/t4", "group", ""),
    }
    scale = {kind: row["similarity"] for kind, row in rows.items()}
    assert {**scale, "semantic": scale["semantic"][:4]} == {
        "bytes": "1.0",
        "pixels": "1.0",
        "perceptual": "0.921875",
        "semantic": "0.95",
        "group": "",
    }
    assert (rows["pixels"]["train_label"], rows["pixels"]["test_label"]) == ("cat", "dog")
    assert rows["perceptual"]["score"] == "0.9375"


@pytest.mark.parametrize(
    ("split_a", "split_b", "remove_from", "first"),
    [
        ("train", "test", ["test"], "a"),
        ("test", "train", ["test"], "b"),
        ("val", "test", ["test", "val"], "a"),
        ("test", "val", ["test", "val"], "b"),
        ("val", "train", ["train", "val"], "b"),
        ("one", "two", [], "a"),
        ("two", "one", [], "b"),
    ],
)
def test_the_training_image_is_of_the_split_that_is_trained_on_or_loses_last(
    split_a, split_b, remove_from, first
):
    rows = [sample("a", split_a), sample("b", split_b)]
    made = decision(rows, [("a", "b", {"transform": "rot90"})], remove_from=remove_from)
    (row,) = sheet.rows(made.leaks, remove_from).iter_rows(named=True)
    assert row["train_image"] == f"album/{first}"
    (leak,) = made.leaks.iter_rows(named=True)
    turned = {"rot90": "rot270", "rot270": "rot90"}[leak["transform"]]
    assert row["transform"] == (leak["transform"] if first == "a" else turned)


def test_no_cell_of_a_csv_is_a_formula(tmp_path):
    bad = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a=b", "plain", None]
    sheets.write(tmp_path / "x.csv", pl.DataFrame({"text": bad, "number": range(-4, 5)}))
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [
        *("'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "a=b", "plain", "")
    ]
    assert rows[0]["number"] == "-4"


def test_the_summary_and_the_certificate_count_the_same(tmp_path):
    said(tmp_path, remove_from=["test"])
    text = (tmp_path / "summary.txt").read_text()
    told = json.loads((tmp_path / "certificate.json").read_text())
    assert told["splits"] == {"train": 4, "val": 1}
    for split, count in told["splits"].items():
        assert f"  {split}: {count}\n" in text
    for kind, row in told["leaks"].items():
        assert [kind, str(row["found"]), str(row["left"])] in [
            line.split()[:3] for line in text.splitlines()
        ]
    assert told["leaks"]["semantic"]["left"] == 1
    assert not told["leaks"]["semantic"]["passed"]
    assert told["not_checked"] == ["identity", "against"]
    assert told["thresholds"]["perceptual"]["max_distance"] == 5
    assert told["expected_miss_rate"] is None


def test_the_same_split_in_any_order_has_the_same_certificate(tmp_path):
    texts = []
    for name, rows in (("a", ROWS), ("b", ROWS[::-1])):
        made, settings = decision(rows, PAIRS, **ALL), config(**ALL)
        (tmp_path / name).mkdir()
        others = leaks.Benchmarks.read(settings, tmp_path, tmp_path)
        leaks.write(tmp_path / name, made, settings, "album", others)
        files = sorted((tmp_path / name).iterdir())
        texts.append([(path.name, path.read_bytes()) for path in files])
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("more", "advice"),
    [
        (
            {},
            "Name the splits that may lose images in `leaks.remove_from`, or use `leaks=assigned`",
        ),
        ({"splits": "assigned"}, "Add them to `leaks.assign.together` (or `identities: open`)"),
        ({"splits": "assigned", "frozen": "0" * 64}, "They are frozen apart: mend their lines"),
    ],
)
def test_the_advice_fits_how_the_splits_are_made(more, advice):
    assign = {**GIVEN["assign"], "frozen": more.pop("frozen", None)}
    given = {**ALL, **more, "assign": assign}
    with pytest.raises(GateError) as raised:
        leaks.refuse(decision(ROWS, PAIRS, **ALL), config(**given), "album", Path("out"))
    assert advice in str(raised.value)


def certified(tmp_path: Path, held: pl.DataFrame | None, **more: Any) -> dict[str, Any]:
    """The certificate of assigned splits."""
    rows = [sample(f"{n}") for n in range(9)]
    given = {"splits": "assigned", "assign": {**GIVEN["assign"], **more}}
    settings = config(**given)
    told = [{"digest": make.digest(row["key"]), **row} for row in rows]
    tables = (make.frame(SAMPLES, *told), make.frame(VERDICTS, *told), PAIRS_TABLE.frame())
    made = leaks.decide(*tables, settings, held)
    leaks.write(tmp_path, made, settings, "album", leaks.Benchmarks([], tmp_path, [], 8))
    said: dict[str, Any] = json.loads((tmp_path / "certificate.json").read_text())
    return said


def test_the_certificate_says_how_splits_were_assigned_and_what_of_them_is_for_good(tmp_path):
    free = certified(tmp_path, None)["assigned"]
    assert (free["fractions"], free["draw"], free["frozen"]) == (
        {"a": 0.3, "b": 0.3, "c": 0.4},
        "even",
        None,
    )
    assert "Images in each split, assigned, not frozen:" in (tmp_path / "summary.txt").read_text()
    digests = {"digest": [make.digest("1"), make.digest("gone")], "split": ["a", "b"]}
    held = certified(tmp_path, pl.DataFrame(digests), frozen="f" * 64, folds=2)["assigned"]
    assert held["frozen"] == {"file_sha256": "f" * 64, "images": 1}
    assert (held["folds"], held["folded"]) == (2, "a")
    assert "assigned, 1 of them frozen:" in (tmp_path / "summary.txt").read_text()


def test_the_certificate_of_given_splits_says_so(tmp_path):
    said(tmp_path)
    told = json.loads((tmp_path / "certificate.json").read_text())
    assert (told["made"], told["assigned"]) == ("given by the sources", None)
    assert told["expected_miss_rate"] is None
    assert "not measured" in told["expected_miss_rate_is"]


def test_a_miss_rate_that_was_measured_is_on_the_certificate(tmp_path):
    said(tmp_path, reach={**GIVEN["reach"], "miss_rate": 0.02})
    assert json.loads((tmp_path / "certificate.json").read_text())["expected_miss_rate"] == 0.02


# The config


def composed(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    told = {"datasets": {"solar": list(overrides)}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(told))
    found: dict[str, Any] = resolve(Project(tmp_path), "solar", SECTIONS)["leaks"]
    return found


def test_the_guides_first_two_runs_are_a_line_of_overrides(tmp_path):
    found = composed(tmp_path, "leaks=given", "leaks.methods=[perceptual]", "leaks.max_distance=5")
    assert (found["methods"], found["max_distance"]) == (["perceptual"], 5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["leaks.max_distance=9"], "is beyond `match.radius`, 8,"),
        (["leaks.max_distance=6", "match.radius=5"], "set match.radius=6"),
        (["leaks.methods=[exact,semantic]"], "choose an embedder"),
        (["+leaks.against.b={path: x.parquet, hits: remove}"], "must be a file in fingerprints/"),
        (
            ["+leaks.against.b={path: fingerprints/../x, hits: remove}"],
            "must be a file in fingerprints/",
        ),
        (["leaks.gate.grop=warn"], "did you mean"),
    ],
)
def test_a_threshold_beyond_what_match_looks_for_is_refused_when_the_config_is_composed(
    tmp_path, overrides, message
):
    with pytest.raises(ConfigError) as raised:
        composed(tmp_path, *overrides)
    assert message in str(raised.value)
    assert "leaks." in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_distance_that_no_method_uses_is_not_compared_with_the_radius(tmp_path):
    found = composed(tmp_path, "leaks.methods=[exact]", "leaks.max_distance=9")
    assert found["max_distance"] == 9
