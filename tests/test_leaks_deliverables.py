"""What people and training code take away of the final manifest."""

import csv
import json
from pathlib import Path
from typing import Any

from imagemill import leaks
from imagemill.tables import PAIRS, SAMPLES, VERDICTS
from tests import make
from tests.test_leaks import config, sample


def delivered(tmp_path: Path, rows: list[dict[str, Any]], **changed: str) -> dict[str, Any]:
    """What is written for people and training code; some labels were changed by clean."""
    told = [{"digest": make.digest(row["key"]), **row} for row in rows]
    judged = [{**row, "label": changed.get(row["key"], row.get("label", "cat"))} for row in told]
    made = leaks.decide(
        make.frame(SAMPLES, *told), make.frame(VERDICTS, *judged), PAIRS.frame(), config()
    )
    leaks.write(tmp_path, made, config(), "album", leaks.Benchmarks([], tmp_path, [], 8))
    with (tmp_path / "final_manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["image_id"]: row for row in rows}


def test_the_final_manifest_joins_cleaning_and_leaks_and_min_images_in_the_guides_columns(tmp_path):
    out = {"verdict": "remove", "reasons": ["blurred", "dark"]}
    rows = [
        sample("0", "train", digest="4" * 64, label="owl"),
        sample("1", "test", digest="4" * 64, label="owl"),
        sample("2", "train", flags=["private_metadata"]),
        sample("3", "train", label="dog"),
        sample("4", "train", **out),
    ]
    told = delivered(tmp_path, rows, **{"3": "cat"})
    columns = ("label", "reason", "user_tags", "user_action", "new_label", "split")
    assert {key: tuple(row[name] for name in columns) for key, row in told.items()} == {
        "0": ("owl", "", "train_test_leak", "keep", "", "train"),
        "1": ("owl", "leak", "train_test_leak", "remove", "", "test"),
        "2": ("cat", "", "private_metadata", "keep", "", "train"),
        "3": ("dog", "", "", "relabel", "cat", "train"),
        "4": ("cat", "blurred,dark", "", "remove", "", "train"),
    }
    assert told["1"]["image_path"] == "album/1"


def test_the_guides_loader_reads_removal_list_and_relabel_map(tmp_path):
    out = {"verdict": "remove", "reasons": ["dark"]}
    delivered(tmp_path, [sample("7", label="dog"), sample("12", **out)], **{"7": "cat"})
    with (tmp_path / "removal_list.txt").open() as file:
        assert {int(line.strip()) for line in file} == {12}
    relabelled = json.loads((tmp_path / "relabel_map.json").read_text())
    assert relabelled.get(str(7), "dog") == "cat"


def test_images_of_several_sources_are_named_with_their_source(tmp_path):
    out = {"verdict": "remove", "reasons": ["dark"]}
    rows = [sample("1", **out), sample("1", source="attic")]
    told = [{**row, "digest": make.digest(f"{n}")} for n, row in enumerate(rows)]
    assert set(delivered(tmp_path, told)) == {"album/1", "attic/1"}
    assert (tmp_path / "removal_list.txt").read_text() == "album/1\n"


def test_a_name_with_a_line_break_removes_no_other_image(tmp_path):
    out = {"verdict": "remove", "reasons": ["dark"]}
    delivered(tmp_path, [sample("a\nb\rc", **out), sample("b")])
    assert (tmp_path / "removal_list.txt").read_text() == "a\\nb\\rc\n"
