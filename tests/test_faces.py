"""Two sources of faces that overlap, collide and contradict each other, merged by the pipeline."""

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import polars as pl
import pytest
import yaml

from imagemill import stage
from imagemill.tables import CONFLICTS, LISTING, SAMPLES
from tests import make
from tests.conftest import Project, fill
from tests.draw import photo_bytes

FACES = """
source  key         photo  identity  name     out                 kept as
album   ann/1.png      11  ann       1_album  .                   .
album   ann/2.png      12  ann       2        .                   .
album   ann/9.png      12  ann       .        same_bytes          album/ann/2.png
cards   m1/1.png       13  ann       1_cards  .                   .
cards   m1/7.png       12  ann       .        same_bytes          album/ann/2.png
album   bob/1.png      21  bob       1        .                   .
album   bob/x/2.png    22  bob       2_album# .                   .
album   bob/y/2.png    23  bob       2_album# .                   .
cards   bob/4.png      24  bob       4        .                   .
album   cem/1.png      31  cem       1        .                   .
album   cem/2.png      32  cem       2        .                   .
album   cem/3.png      33  cem       .        identity_conflict   .
album   cem/4.png      33  cem       .        identity_conflict   .
cards   dan/3.png      33  dan       .        identity_conflict   .
cards   dan/1.png      41  dan       1        .                   .
cards   dan/2.png      42  dan       2        .                   .
cards   eve/1.png      51  eve       .        identity_too_small  .
album   fay/1.png      61  fay       .        identity_too_small  .
album   fay/2.png      61  fay       .        same_bytes          album/fay/1.png
album   gus/1.png      71  gus       1_album  .                   .
cards   m2/1.png       72  gus       1_cards  .                   .
album   stray.png      81  .         .        no_layout           .
"""
"""Every file: the seed of its photo, and what is to become of it. ``#``: a hash follows."""

PEOPLE = "id,person\nm1,ann\nm2,gus\nm3,cem\n"
"""What the cards call people, and what the album does."""

CONF: dict[str, Any] = {
    "defaults": [
        {"/source@sources.album": "folder"},
        {"/source@sources.cards": "folder"},
        {"/layout@sources.album.layout": "imagefolder"},
        {"/layout@sources.cards.layout": "imagefolder"},
        {"/table@tables.people": "csv"},
        {"override /merge": "identities"},
    ],
    "about": {"title": "Drawn faces"},
    "sources": {
        "album": {"path": "album", "layout": {"folders": ["identity"]}},
        "cards": {
            "path": "cards",
            "layout": {
                "folders": ["identity"],
                "aliases": {"identity": {"table": "people", "alias": "id", "name": "person"}},
            },
        },
    },
    "tables": {"people": {"path": "people.csv"}},
}


def expected() -> list[list[str | None]]:
    rows = [line.split() for line in FACES.strip().splitlines()[1:]]
    return [[None if cell == "." else cell for cell in row] for row in rows]


def config(*, backwards: bool) -> str:
    """The dataset's file, with its sources one way round or the other."""
    chosen = dict(CONF)
    if backwards:
        chosen["sources"] = dict(reversed(CONF["sources"].items()))
        chosen["defaults"] = [*CONF["defaults"][3::-1], *CONF["defaults"][4:]]
    return "# @package _global_\n" + yaml.safe_dump(chosen, sort_keys=False)


Merge = Callable[..., Project]


@pytest.fixture
def merged(project: Project, monkeypatch: pytest.MonkeyPatch) -> Merge:
    """Build the faces up to the merge."""
    monkeypatch.setenv("IMAGEMILL_ENGINE", "engine=inline")
    monkeypatch.chdir(project.root)
    fill(project.root, {f"{s}/{key}": int(n or 0) for s, key, n, *_ in expected()})
    (project.root / "people.csv").write_text(PEOPLE)

    def run(*overrides: str, backwards: bool = False) -> Project:
        project.conf("dataset/faces.yaml", config(backwards=backwards))
        project.datasets(faces=list(overrides))
        import_module("stages.config").main("faces")
        for name in ("scan", "download", "merge"):
            main = import_module(f"stages.{name}").main
            stage.run(main, name, "faces", keep=name != "merge")
        return project

    return run


def test_every_face_has_the_identity_name_and_reason_of_the_table(merged: Merge) -> None:
    samples = SAMPLES.read(merged().root / "data/faces/merge")
    found = {row["sample"]: row for row in samples.iter_rows(named=True)}
    assert len(found) == len(expected())
    for source, key, photo, identity, name, out, kept_as in expected():
        row = found[f"{source}/{key}"]
        digest = make.sha(photo_bytes(int(photo or 0)))
        said = name.replace("#", f"_{digest[:16]}") if name else None
        assert (row["identity"], row["name"]) == (identity, said), row
        assert (row["reason"], row["kept_as"]) == (out, kept_as), row
        assert row["digest"] == (None if key == "eve/1.png" or not identity else digest)


def test_the_conflict_names_who_says_what(merged: Merge) -> None:
    rows = CONFLICTS.read(merged().root / "data/faces/merge")
    photo = make.sha(photo_bytes(33))
    assert rows.rows() == [
        (photo, "cem", ["album/cem/3.png", "album/cem/4.png"], False),
        (photo, "dan", ["cards/dan/3.png"], False),
    ]


@pytest.mark.parametrize(
    ("policy", "images", "reason"),
    [
        (["merge.on_identity_conflict=drop"], 13, {"identity_conflict": 3}),
        (["merge.on_identity_conflict=review"], 13, {"identity_review": 3}),
        (["merge.on_identity_conflict=vote"], 14, {"identity_conflict": 1}),
        (["merge.on_identity_conflict=first"], 14, {"identity_conflict": 1}),
        (
            ["merge.on_identity_conflict=first", "merge.priority=[cards]"],
            14,
            {"identity_conflict": 2},
        ),
    ],
    ids=["drop", "review", "vote", "first", "cards first"],
)
def test_the_result_is_the_same_to_the_byte_whatever_the_order_of_sources(
    merged: Merge, policy: list[str], images: int, reason: dict[str, int]
) -> None:
    first = merged(*policy).files("data/faces/merge")
    assert set(first) == {
        f"data/faces/merge/{name}"
        for name in ("samples.parquet", "conflicts.parquet", "summary.json")
    }
    project = merged(*policy, backwards=True)
    assert project.files("data/faces/merge") == first
    found = json.loads((project.root / "data/faces/merge/summary.json").read_text())
    assert found["images"] == images
    assert reason.items() <= found["out"].items()


def test_the_figures_are_those_of_the_table(merged: Merge) -> None:
    found = json.loads((merged().root / "data/faces/merge/summary.json").read_text())
    assert found == {
        "distribution": {"1": 0, "2": 3, "3-5": 2, "6-10": 0, "11-20": 0, "21-50": 0, ">50": 0},
        "identities": 5,
        "identities_from_one_source": 2,
        "identities_from_several_sources": 3,
        "identities_listed": 7,
        "identities_too_small": 2,
        "images": 13,
        "images_per_identity": 2.6,
        "listed": 22,
        "out": {"identity_conflict": 3, "identity_too_small": 2, "no_layout": 1, "same_bytes": 3},
        "sources": {"album": {"kept": 8, "listed": 14}, "cards": {"kept": 5, "listed": 8}},
    }


def test_who_is_alone_under_one_name_is_wanted_under_two(merged: Merge) -> None:
    listing = LISTING.read(merged().root / "data/faces/scan")
    unwanted = listing.filter(~pl.col("wanted")).select("source", "key", "reason")
    assert unwanted.rows() == [
        ("album", "stray.png", "no_layout"),
        ("cards", "eve/1.png", "identity_too_small"),
    ]


def test_a_table_that_no_layout_asks_is_never_read(merged: Merge) -> None:
    project = merged()
    before = project.files("data/faces/merge")
    tables = project.root / "data/faces/scan/tables"
    (tables / "annotations.parquet").write_bytes(b"far too much")
    (tables / "names.json").write_text(json.dumps(["annotations", "people"]))
    stage.run(import_module("stages.merge").main, "merge", "faces", keep=False)
    assert project.files("data/faces/merge") == before


@pytest.mark.slow
def test_dvc_shows_the_figures_of_a_merge_and_what_changed(tracked: Project) -> None:
    tracked.run("dvc", "repro", "-q", "merge")
    tracked.run("git", "add", ".")
    tracked.run("git", "commit", "-qm", "built")
    shown = json.loads(tracked.run("dvc", "metrics", "show", "--json").stdout)
    (found,) = shown[""]["data"].values()
    assert found["data"]["images"] == 12
    assert found["data"]["distribution"]["6-10"] == 2
    (tracked.root / "pets/cat/0.png").unlink()
    tracked.run("dvc", "repro", "-q", "merge")
    changed = json.loads(tracked.run("dvc", "metrics", "diff", "--json").stdout)
    figures = changed["data/pets/merge/summary.json"]
    assert figures["images"] == {"old": 12, "new": 11, "diff": -1}
    assert "identities" not in figures
