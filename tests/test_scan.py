"""The listing names every object, and says of each whether it is worth fetching."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from imagemill import scan
from imagemill.errors import GateError, SourceError
from imagemill.tables import INDEX, LISTING
from tests import make

PEOPLE = {"kind": "imagefolder", "folders": ["identity"], "join": None, "constants": {}}
THINGS = {"kind": "imagefolder", "folders": ["label"], "join": None, "constants": {}}


def settings(root: Path, **given: Any) -> scan.Config:
    sources = {
        name: {"kind": "folder", "path": str(root / name), "include": ["*"], "exclude": []}
        for name in given.get("layouts", {"album": PEOPLE})
    }
    usual = {
        "sources": sources,
        "layouts": {"album": PEOPLE},
        "tables": {},
        "min_images": 1,
        "limit": None,
        "expect": {},
        "max_shrunk": None,
    }
    return scan.Config.model_validate({**usual, **given})


def listed(root: Path, **given: Any) -> pl.DataFrame:
    config = settings(root, **given)
    before = scan.Before.none()
    found = scan.listing(config, root, scan.read_tables(config, root, before), before)
    LISTING.write(root, found)  # has the columns it promises
    return LISTING.read(root)


def reasons(listing: pl.DataFrame) -> dict[str, str | None]:
    assert (listing["wanted"] == listing["reason"].is_null()).all()
    return dict(listing.select(pl.concat_str("source", pl.lit("/"), "key"), "reason").iter_rows())


def people(root: Path, **counts: int) -> None:
    make.fill(
        root / "album",
        {f"{n}/{i}.png": f"{n}{i}".encode() for n, c in counts.items() for i in range(c)},
    )


@pytest.mark.parametrize(("least", "out"), [(2, []), (3, ["album/bob/0.png", "album/bob/1.png"])])
def test_what_min_images_proves_useless_is_listed_and_not_wanted(tmp_path, least, out):
    people(tmp_path, ann=3, bob=2)
    found = reasons(listed(tmp_path, min_images=least))
    assert len(found) == 5
    assert [key for key, reason in found.items() if reason == "identity_too_small"] == out


def test_an_identity_counts_over_all_sources(tmp_path):
    people(tmp_path, ann=1, bob=1)
    make.fill(tmp_path / "more", {"ann/0.png": b"more"})
    found = listed(tmp_path, min_images=2, layouts={"album": PEOPLE, "more": PEOPLE})
    assert reasons(found)["album/bob/0.png"] == "identity_too_small"
    assert set(found.filter("wanted")["key"]) == {"ann/0.png"}


def test_a_misfit_and_an_object_that_cannot_be_had_keep_their_reasons(tmp_path):
    people(tmp_path, ann=2)
    make.fill(tmp_path / "album", {"loose.png": b"x"})
    (tmp_path / "album/ann/link.png").symlink_to("nowhere")
    found = reasons(listed(tmp_path, min_images=9))
    assert found.pop("album/loose.png") == "no_layout"
    assert found.pop("album/ann/link.png") == "vanished"
    assert set(found.values()) == {"identity_too_small"}


@pytest.mark.parametrize("given", [{}, {"limit": 3}])
def test_an_unchanged_source_gives_an_equal_listing(tmp_path, given):
    people(tmp_path, ann=3, bob=2, cem=4)
    first = listed(tmp_path, **given)
    (tmp_path / "album/ann/0.png").touch()
    assert listed(tmp_path, **given).equals(first)


@pytest.mark.parametrize("limit", range(1, 13))
def test_a_limit_wants_whole_identities_until_it_is_reached(tmp_path, limit):
    people(tmp_path, ann=3, bob=2, cem=4, dan=2)
    found = listed(tmp_path, limit=limit).with_columns(pl.col("key").str.head(3).alias("who"))
    whole = found.group_by("who").agg(pl.col("wanted").n_unique())
    assert set(whole["wanted"]) == {1}
    wanted = found["wanted"].sum()
    assert min(limit, 11) <= wanted <= limit + 3
    assert set(found["reason"]) <= {None, "beyond_limit"}


def test_a_limit_on_things_without_identity_is_exact_and_grows_by_adding(tmp_path):
    make.fill(tmp_path / "album", {f"cat/{n}.png": b"%d" % n for n in range(50)})
    wanted = [
        set(listed(tmp_path, layouts={"album": THINGS}, limit=limit).filter("wanted")["key"])
        for limit in (10, 20, 50, 60)
    ]
    assert [len(each) for each in wanted] == [10, 20, 50, 50]
    assert wanted[0] < wanted[1] < wanted[2]


def test_objects_that_are_out_use_up_nothing_of_a_limit(tmp_path):
    people(tmp_path, ann=1, bob=3, cem=3)
    found = listed(tmp_path, limit=6, min_images=2)
    assert found["wanted"].sum() == 6


def test_a_source_that_lists_nothing_is_an_error_that_names_it(tmp_path):
    (tmp_path / "album").mkdir()
    with pytest.raises(
        SourceError, match=r"sources\.album: .* lists nothing\. Check `sources\.album\.path`"
    ):
        listed(tmp_path)


def test_a_source_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SourceError, match=r"sources\.album: .* does not exist"):
        listed(tmp_path)


@pytest.mark.parametrize("name", ["a/b", ""])
def test_a_source_name_cannot_make_two_samples_one(tmp_path, name):
    folder = {"kind": "folder", "path": ".", "include": ["*"], "exclude": []}
    with pytest.raises(ValidationError):
        settings(tmp_path, sources={name: folder})


def test_a_table_is_read_under_its_name(tmp_path):
    people(tmp_path, ann=1)
    (tmp_path / "labels.csv").write_text("file,label\nann/0.png,cat\n")
    csv = {"kind": "csv", "path": "labels.csv", "separator": ",", "columns": []}
    config = settings(tmp_path, tables={"labels": csv})
    tables = scan.read_tables(config, tmp_path, scan.Before.none())
    assert tables["labels"].rows() == [("ann/0.png", "cat")]


def test_the_log_says_how_much_is_there_and_how_much_is_new(tmp_path, capsys):
    people(tmp_path, ann=3)
    found = listed(tmp_path)
    assert "scan: album: 3 objects, 3 of them new or changed" in capsys.readouterr().err
    assert scan.summary(found) == "scan: 3 objects listed, 3 wanted (0.0 MB)"


def pinned(config: scan.Config) -> scan.Config:
    """Return the config with every source and table pinned."""
    said = config.model_dump()
    for each in [*said["sources"].values(), *said["tables"].values()]:
        each["refresh"] = "never"
    return scan.Config.model_validate(said)


def built(root: Path, config: scan.Config) -> scan.Before:
    """Return what a build leaves that fetched all that is wanted."""
    tables = scan.read_tables(config, root, scan.Before.none())
    rows = scan.listing(config, root, tables, scan.Before.none())
    index = rows.with_columns(pl.lit(None, pl.String).alias("detail"))
    return scan.Before(index.select(*INDEX.columns).lazy(), tables)


def again(root: Path, config: scan.Config, before: scan.Before) -> pl.DataFrame:
    return scan.listing(config, root, scan.read_tables(config, root, before), before)


def test_a_pinned_source_lists_what_is_held_though_all_of_it_is_gone(tmp_path):
    people(tmp_path, ann=3, bob=1)
    config = settings(tmp_path, min_images=2)
    before = built(tmp_path, config)
    expected = listed(tmp_path, min_images=2)
    shutil.rmtree(tmp_path / "album")
    found = again(tmp_path, pinned(config), before)
    assert found.select(*LISTING.columns).sort("key").equals(expected)


def test_of_a_pinned_source_nothing_becomes_wanted_that_is_not_held(tmp_path):
    people(tmp_path, ann=3, bob=1)
    before = built(tmp_path, settings(tmp_path, min_images=2))
    found = again(tmp_path, pinned(settings(tmp_path, min_images=1)), before)
    assert reasons(found)["album/bob/0.png"] == "not_held"
    assert len(found.filter("wanted")) == 3


def test_a_pinned_source_still_obeys_the_config(tmp_path):
    people(tmp_path, ann=3, bob=2)
    before = built(tmp_path, settings(tmp_path))
    found = again(tmp_path, pinned(settings(tmp_path, min_images=3)), before)
    assert reasons(found)["album/bob/0.png"] == "identity_too_small"
    assert len(found.filter("wanted")) == 3


def test_a_pinned_table_says_what_it_said(tmp_path):
    people(tmp_path, ann=1)
    (tmp_path / "labels.csv").write_text("file,label\nann/0.png,cat\n")
    csv = {"kind": "csv", "path": "labels.csv", "separator": ",", "columns": []}
    config = settings(tmp_path, tables={"labels": csv})
    before = built(tmp_path, config)
    (tmp_path / "labels.csv").unlink()
    assert scan.read_tables(pinned(config), tmp_path, before)["labels"].rows() == [
        ("ann/0.png", "cat")
    ]


@pytest.mark.parametrize("what", ["sources.album", "tables.labels"])
def test_what_was_never_built_cannot_be_pinned(tmp_path, what):
    csv = {"kind": "csv", "path": "labels.csv", "separator": ",", "columns": []}
    tables = {"labels": csv} if what == "tables.labels" else {}
    config = pinned(settings(tmp_path, tables=tables))
    with pytest.raises(SourceError, match=f"^{what}: `refresh: never`, and no earlier .*dvc pull"):
        again(tmp_path, config, scan.Before.none())


def test_a_source_that_lost_its_folders_stops_the_build_and_says_which(tmp_path):
    people(tmp_path, **{f"p{n}": 2 for n in range(10)})
    config = settings(tmp_path, max_shrunk=0.1)
    before = built(tmp_path, config)
    shutil.rmtree(tmp_path / "album/p3")
    again(tmp_path, config, before)
    shutil.rmtree(tmp_path / "album/p7")
    with pytest.raises(GateError, match=r"lists 8 identities, and 10 at(?s:.*)p3/: 1 identities"):
        again(tmp_path, config, before)


def test_a_table_that_lost_its_rows_stops_the_build(tmp_path):
    people(tmp_path, ann=1, bob=1)
    names = {"table": "t", "key": "file", "columns": {"identity": "who"}}
    layout = {"album": {"kind": "table", "join": names, "constants": {}}}
    csv = {"kind": "csv", "path": "t.csv", "separator": ",", "columns": []}
    config = settings(tmp_path, layouts=layout, tables={"t": csv}, max_shrunk=0.1)
    (tmp_path / "t.csv").write_text("file,who\nann/0.png,ann\nbob/0.png,bob\n")
    before = built(tmp_path, config)
    (tmp_path / "t.csv").write_text("file,who\nann/0.png,ann\n")
    with pytest.raises(GateError, match="lists 1 identities, and 2 at the last build"):
        again(tmp_path, config, before)


def test_what_a_source_must_list_is_checked_before_anything_is_read(tmp_path, capsys):
    people(tmp_path, ann=3)
    with pytest.raises(GateError, match=r"expect.sources.album.identities +at least 2 +1 +TOO LOW"):
        listed(tmp_path, expect={"album": {"identities": {"least": 2}}})
    assert "new or changed" not in capsys.readouterr().err


def test_a_file_that_is_not_wanted_is_not_read(tmp_path, capsys):
    people(tmp_path, ann=3, bob=1)
    found = listed(tmp_path, min_images=2)
    assert "4 objects, 3 of them new or changed" in capsys.readouterr().err
    assert found.filter(~pl.col("wanted"))["digest"].to_list() == [None]
