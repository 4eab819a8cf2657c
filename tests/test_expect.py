"""What is expected is held against what is there, and a build that falls short says where."""

import shutil
import sys
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imagemill import expect
from imagemill.config import project as config
from imagemill.config.compose import resolve
from imagemill.errors import ConfigError, GateError
from imagemill.expect import Bounds, Figures, Photos, Result
from imagemill.expect.shrinkage import losses
from stages.config import SECTIONS
from tests import make
from tests.conftest import PETS, Project

Rows = dict[str, list[str]]


def listing(reason: str | None = None, **sources: dict[str, int]) -> pl.DataFrame:
    """So many objects of each identity of each source."""
    rows = [
        {"source": source, "key": f"{identity}/{n}.jpg", "identity": identity.split("/")[-1]}
        for source, counts in sources.items()
        for identity, count in counts.items()
        for n in range(count)
    ]
    columns = dict.fromkeys(("source", "key", "identity", "label", "reason"), pl.String)
    return pl.DataFrame([{**row, "reason": reason} for row in rows], schema=columns)


def figures(**bounds: Any) -> Figures:
    return Figures.model_validate(bounds)


def refusal(call: Any, *given: Any) -> str:
    with pytest.raises(GateError) as error:
        call(*given)
    return str(error.value)


def test_nothing_expected_is_met_by_anything():
    expect.sources(listing(faces={"ann": 1}), {})
    expect.result(listing(faces={"ann": 1}), Result())
    expect.photos(pl.DataFrame(), Photos())


@pytest.mark.parametrize(
    ("bounds", "met", "unmet"),
    [
        ({"least": 3}, (3, 4), (2,)),
        ({"most": 3}, (2, 3), (4,)),
        ({"least": 2, "most": 3}, (2, 3), (1, 4)),
        ({"least": 0.5, "most": 0.5}, (0.5,), (0.49, 0.51)),
    ],
)
def test_both_ends_of_a_bound_are_within_it(bounds, met, unmet):
    assert [Bounds(**bounds).wrong(value) for value in met] == [""] * len(met)
    assert all(Bounds(**bounds).wrong(value) for value in unmet)


@pytest.mark.parametrize("wrong", [{"least": 3, "most": 2}, {"leest": 3}, {"least": "3"}])
def test_a_bound_that_nothing_can_meet_is_refused(wrong):
    with pytest.raises(ValidationError):
        Bounds.model_validate(wrong)


FACES = {"ann": 3, "bob": 1}
"""Two identities, four images, two each on average, none skipped."""


@pytest.mark.parametrize(
    ("figure", "met", "unmet", "said"),
    [
        ("identities", {"least": 2}, {"least": 3}, "at least 3       2  TOO LOW"),
        ("images", {"most": 4}, {"most": 3}, "at most 3       4  TOO HIGH"),
        ("images_per_identity", {"least": 2}, {"least": 2.5}, "at least 2.5       2  TOO LOW"),
        ("skipped_share", {"most": 0.2}, {"most": 0.15}, "at most 0.15     0.2  TOO HIGH"),
    ],
)
def test_a_figure_of_a_source_is_that_of_its_listing(figure, met, unmet, said):
    rows = pl.concat(
        [listing(faces=FACES), listing("no_layout", faces={"stray": 1}).with_columns(identity=None)]
    ).with_columns(pl.lit(None, pl.String).alias("label"))
    rows = pl.concat([rows, listing(more={"eve": 99})])
    expect.sources(rows, {"faces": figures(**{figure: met})})
    text = refusal(expect.sources, rows, {"faces": figures(**{figure: unmet})})
    assert said in text
    assert f"expect.sources.faces.{figure}" in text


def test_what_the_listing_proves_useless_counts_as_listed_and_as_skipped():
    rows = listing("identity_too_small", faces=FACES)
    text = refusal(
        expect.sources,
        rows,
        {"faces": figures(identities={"least": 2}, skipped_share={"most": 0.4})},
    )
    assert text.splitlines()[2].split() == [
        *("expect.sources.faces.identities", "at", "least", "2", "2", "met")
    ]


def test_labels_count_where_there_are_no_identities():
    rows = listing(pets={"cat": 2, "dog": 1}).rename({"identity": "label", "label": "identity"})
    expect.sources(rows, {"pets": figures(identities={"least": 2, "most": 2})})


def test_the_message_is_a_table_of_all_expectations_and_says_where_to_look():
    rows = pl.concat([listing(faces=FACES, more={"eve": 9}), listing("no_layout", more={"x": 3})])
    text = refusal(
        expect.sources,
        rows,
        {
            "faces": figures(identities={"least": 1000}, images={"least": 2, "most": 5}),
            "more": figures(images_per_identity={"least": 3}),
        },
    )
    assert text.splitlines() == [
        "expect: 1 of 3 expectations is not met",
        "  expectation                                    expected  actual",
        "  expect.sources.faces.identities          at least 1,000       2  TOO LOW",
        "  expect.sources.faces.images                      2 to 5       4  met",
        "  expect.sources.more.images_per_identity      at least 3       6  met",
        "Look at `sources.faces`: 4 objects from ann/0.jpg to bob/0.jpg; left out: none. Check its "
        "path or prefix, `include`, `exclude` and layout, or mend `expect.sources.faces`.",
    ]


def test_a_source_expected_is_one_that_is_there():
    with pytest.raises(ConfigError, match=r"expect\.sources\.fases: no such source; .* faces\?"):
        expect.sources(listing(faces=FACES), {"fases": figures(images={"least": 1})})
    wrong = Result.model_validate({"images_from": {"fases": {"least": 1}}})
    with pytest.raises(ConfigError, match=r"expect\.result\.images_from\.fases: no such source"):
        expect.result(listing(faces=FACES), wrong)


def test_the_result_counts_what_is_kept_and_names_the_source_that_gave_least():
    samples = pl.concat(
        [listing("identity_too_small", single={"s1": 1, "s2": 1}), listing(more={"eve": 4})]
    )
    wanted = {"identities": {"least": 2}, "skipped_share": {"most": 0.5}}
    wanted["images_from"] = {"single": {"least": 1}, "more": {"least": 4}}
    text = refusal(expect.result, samples, Result.model_validate(wanted))
    assert text.splitlines() == [
        "expect: 2 of 4 expectations are not met",
        "  expectation                          expected  actual",
        "  expect.result.identities           at least 2       1  TOO LOW",
        "  expect.result.skipped_share       at most 0.5  0.3333  met",
        "  expect.result.images_from.single   at least 1       0  TOO LOW",
        "  expect.result.images_from.more     at least 4       4  met",
        "Look at `sources.single`: 0 of 2 objects kept; left out: identity_too_small 2.",
        "Look at `sources.more`: 4 of 4 objects kept; left out: none.",
        "If these are right, mend `expect.result`.",
    ]


CROPS = {
    "width": {"least": 112, "most": 112},
    "height": {"least": 112, "most": 112},
    "modes": ["RGB"],
    "formats": ["JPEG"],
}


def photos(*changed: dict[str, Any]) -> pl.DataFrame:
    usual = {"source": "faces", "width": 112, "height": 112, "mode": "RGB", "format": "JPEG"}
    return pl.DataFrame([{"sample": f"faces/{n}", **usual, **row} for n, row in enumerate(changed)])


def test_photos_as_expected_pass():
    expect.photos(photos({}, {}), Photos.model_validate(CROPS))


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"width": 111}, "expect.photos.width         112  111 to 112  1 DIFFER"),
        ({"height": 113}, "expect.photos.height         112  112 to 113  1 DIFFER"),
        ({"mode": "L"}, "expect.photos.modes         RGB  L, RGB  1 DIFFER"),
        ({"format": "PNG"}, "expect.photos.formats        JPEG  JPEG, PNG  1 DIFFER"),
        ({"format": None}, "expect.photos.formats        JPEG  JPEG  1 DIFFER"),
    ],
)
def test_a_photo_that_differs_stops_the_build_and_is_named(changed, line):
    text = refusal(expect.photos, photos({}, changed, {}), Photos.model_validate(CROPS))
    assert [" ".join(each.split()) for each in text.splitlines()].count(" ".join(line.split())) == 1
    assert "Look at faces/1; " in text
    assert text.count("  met") == 3


def test_of_many_photos_that_differ_the_first_are_named():
    text = refusal(expect.photos, photos(*[{"mode": "L"}] * 7), Photos.model_validate(CROPS))
    assert "Look at faces/0, faces/1, faces/2, faces/3, faces/4, ...; mode: L 7; sources: " in text


# In a config


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{reslt: {}}", "expect.reslt: unknown key; did you mean result?"),
        (
            "{result: {identites: {least: 3}}}",
            "expect.result.identites: unknown key; did you mean identities?",
        ),
        (
            "{sources: {pets: {images: {leest: 3}}}}",
            "expect.sources.pets.images.leest: unknown key; did you mean least?",
        ),
        (
            "{result: {images: 300}}",
            "expect.result.images: Value error, write {least: 300}, {most: 300} or both; got 300",
        ),
    ],
)
def test_a_mistake_in_an_expectation_is_named(project: Project, wrong: str, said: str) -> None:
    project.conf("dataset/pets.yaml", f"{PETS}expect: {wrong}\n")
    with pytest.raises(ConfigError) as error:
        resolve(config.Project(project.root), "pets", SECTIONS)
    assert str(error.value) == f"conf/dataset/pets.yaml: {said}"


# Sources that shrank


def people(*prefixes: str, count: int = 10) -> dict[str, int]:
    return {f"{prefix}{n}": 2 for prefix in prefixes for n in range(count)}


def test_a_source_may_lose_so_many_of_its_identities_and_no_more():
    before = listing(faces=people("p"))
    expect.shrunk(before, listing(faces=people("p", count=9)), 0.1)
    fewer = listing(faces=people("p", count=8))
    text = refusal(expect.shrunk, before, fewer, 0.1)
    assert text.startswith(
        "sources.faces: lists 8 identities, and 10 at the last build: 20.0% fewer"
    )
    expect.shrunk(before, fewer, None)


def test_what_grew_or_is_new_or_was_taken_out_of_the_config_has_not_shrunk():
    before = listing(faces=people("p"), gone=people("g"))
    expect.shrunk(before, listing(faces=people("p", count=30), new=people("n", count=1)), 0.0)
    expect.shrunk(listing(), listing(faces=people("p")), 0.0)


def test_a_person_who_moved_or_lost_photos_is_not_lost():
    before = listing(faces={"a/ann": 9, "a/bob": 9})
    expect.shrunk(before, listing(faces={"b/ann": 1, "c/bob": 1}), 0.0)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (
            people("set/a/", "set/b/", "set/c/"),
            people("set/b/"),
            ["set/a/: 10 identities before, 0 now", "set/c/: 10 identities before, 0 now"],
        ),
        (
            people("set/a0", "set/ab", "set/b0", count=200),
            people("set/a0", "set/b0", count=200),
            ["set/ab*: 200 identities before, 0 now"],
        ),
        (people("1/x/", "2/y/", "2/z/"), people("2/z/"), ["1/", "2/y/"]),
        (
            people("a", "b", count=300),
            dict(list(people("a", "b", count=300).items())[::2]),
            ["a*: 300 identities before, 150 now", "b*: 300 identities before, 150 now"],
        ),
    ],
    ids=["folders", "beginnings of many folders", "folders of several levels", "a bit everywhere"],
)
def test_the_prefixes_that_vanished_are_named(before, now, said):
    renamed = [
        listing(faces=counts).with_columns(pl.col("key").str.head(-6).alias("identity"))
        for counts in (before, now)
    ]
    text = refusal(expect.shrunk, *renamed, 0.1)
    lines = text.splitlines()[1:-1]
    assert len(lines) == len(said)
    assert all(line.strip().startswith(start) for line, start in zip(lines, said, strict=True))


def test_of_many_prefixes_the_largest_are_named_and_the_rest_counted():
    before = listing(faces=people(*(f"{letter}/" for letter in "abcdefgh"), count=12))
    before = before.with_columns(identity="key")
    text = refusal(expect.shrunk, before, before.filter(pl.col("key").str.starts_with("h/")), 0.1)
    assert text.splitlines()[1].strip() == "a/: 24 identities before, 0 now"
    assert "  and 2 more prefixes" in text


keys = st.lists(st.text("ab/", min_size=1, max_size=6), unique=True, min_size=1, max_size=30)


@given(keys, st.randoms())
def test_prefixes_never_name_more_than_what_was_lost(keys, chance):
    before = pl.DataFrame({"source": "s", "key": keys, "identity": keys, "label": keys})
    now = before.sample(fraction=chance.random(), seed=chance.randrange(99))
    for loss in losses(before, now, "s"):
        under = before.filter(pl.col("key").str.starts_with(loss.prefix))
        assert loss.before == len(under)
        assert loss.now == len(under.join(now, on="key", how="semi"))


# A merge that was to keep 300,000 identities, and silently kept 18,019: one source's listing had
# lost its folders. Here 300 and 18.

STORY = """\
# @package _global_
# Faces in parts, as two exports left them.
defaults:
  - /source@sources.faces_only: folder
  - /source@sources.reidnet_v2: folder
  - /layout@sources.faces_only.layout: flat
  - /layout@sources.reidnet_v2.layout: flat
  - override /merge: identities
about: {title: Faces}
sources:
  faces_only:
    path: faces_only
    layout: {pattern: "(?P<identity>.+)_face[.]png"}
  reidnet_v2:
    path: reidnet_v2
    layout: {pattern: "[^/]+/(?P<identity>[^/]+)/.+"}
"""

EXPECTED = """\
expect:
  sources:
    reidnet_v2:
      identities: {least: 300}
      images_per_identity: {least: 2, most: 4}
"""


def story(project: Project, parts: int, conf: str = STORY) -> None:
    """Two sources: 40 single faces, and 30 or fewer parts with ten people of two photos each."""
    project.conf("dataset/reidnet.yaml", conf)
    project.datasets(reidnet=[])
    root = project.root
    make.fill(root / "faces_only", {f"s{n}_face.png": b"s%d" % n for n in range(40)})
    photos = [
        (f"part_{p:02}/p{p:02}{n}/{k}.jpg") for p in range(parts) for n in range(10) for k in "ab"
    ]
    make.fill(root / "reidnet_v2", {key: key.encode() for key in photos})


def failing(project: Project, stage: str) -> str:
    """Run a stage as DVC does; return what it says when it fails."""
    done = project.run(sys.executable, "-m", f"stages.{stage}", "reidnet", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    return done.stdout


def test_a_source_that_lost_its_folders_since_the_last_build_stops_it(project: Project) -> None:
    story(project, parts=30)
    for stage in ("config", "scan", "download"):
        project.run(sys.executable, "-m", f"stages.{stage}", "reidnet")
    for part in range(2, 30):
        shutil.rmtree(project.root / f"reidnet_v2/part_{part:02}")
    shutil.rmtree(project.root / "reidnet_v2/part_01/p018")
    shutil.rmtree(project.root / "reidnet_v2/part_01/p019")
    assert failing(project, "scan").splitlines()[-8:] == [
        "error: sources.reidnet_v2: lists 18 identities, and 300 at the last build: 94.0% fewer, "
        "`expect.max_shrunk` allows 10.0%.",
        "  part_02/: 10 identities before, 0 now",
        "  part_03/: 10 identities before, 0 now",
        "  part_04/: 10 identities before, 0 now",
        "  part_05/: 10 identities before, 0 now",
        "  part_06/: 10 identities before, 0 now",
        "  and 23 more prefixes",
        "Check that the source is whole, and `sources.reidnet_v2`: path or prefix, `include`, "
        "layout. If they are gone on purpose, build once with expect.max_shrunk=null.",
    ]
    project.datasets(reidnet=["expect.max_shrunk=null"])
    for stage in ("config", "scan"):
        project.run(sys.executable, "-m", f"stages.{stage}", "reidnet")


def test_a_source_that_never_listed_what_is_expected_stops_the_first_build(
    project: Project,
) -> None:
    story(project, parts=2, conf=STORY + EXPECTED)
    project.run(sys.executable, "-m", "stages.config", "reidnet")
    assert failing(project, "scan").splitlines()[-5:] == [
        "error: expect: 1 of 2 expectations is not met",
        "  expectation                                        expected  actual",
        "  expect.sources.reidnet_v2.identities           at least 300      20  TOO LOW",
        "  expect.sources.reidnet_v2.images_per_identity        2 to 4       2  met",
        "Look at `sources.reidnet_v2`: 40 objects from part_00/p000/a.jpg to part_01/p019/b.jpg; "
        "left out: none. Check its path or prefix, `include`, `exclude` and layout, or mend "
        "`expect.sources.reidnet_v2`.",
    ]
    assert not (project.root / "data/reidnet/scan/listing.parquet").exists()


def test_a_merge_that_keeps_less_than_expected_stops_and_names_the_source(project: Project) -> None:
    least = "expect: {result: {identities: {least: 340}, images_from: {faces_only: {least: 40}}}}\n"
    story(project, parts=30, conf=STORY + least)
    for stage in ("config", "scan", "download"):
        project.run(sys.executable, "-m", f"stages.{stage}", "reidnet")
    said = failing(project, "merge").splitlines()
    assert ["Total", "identities", "300"] in [line.split() for line in said]
    assert said[-7:] == [
        "error: expect: 2 of 2 expectations are not met",
        "  expectation                               expected  actual",
        "  expect.result.identities              at least 340     300  TOO LOW",
        "  expect.result.images_from.faces_only   at least 40       0  TOO LOW",
        "Look at `sources.faces_only`: 0 of 40 objects kept; left out: identity_too_small 40.",
        "Look at `sources.reidnet_v2`: 600 of 600 objects kept; left out: none.",
        "If these are right, mend `expect.result`.",
    ]
    assert not (project.root / "data/reidnet/merge").exists()
