"""A split that the sources give, with leaks of each kind planted: found, shown, then assigned."""

import csv
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image
from skimage import data as photographs

from imagemill import certificates, verify
from imagemill.errors import GateError
from imagemill.tables import MANIFEST
from tests import make
from tests.conftest import Build, Project, make_project
from tests.draw import photo

ALBUM = """\
# @package _global_
# Photos in folders by split and label, and who sent them.
defaults:
  - /source@sources.album: folder
  - /layout@sources.album.layout: imagefolder
  - /table@tables.senders: csv
  - override /leaks: given
about: {title: Album}
tables:
  senders: {path: senders.csv}
sources:
  album:
    path: album
    layout:
      folders: [split, label]
      join: {table: senders, key: image, part: '.*/([^/]+)[.][a-z]+', columns: {group: sender}}
leaks:
  together: [group]
  remove_from: []
"""

WARN = "leaks.gate={bytes: warn, pixels: warn, perceptual: warn, semantic: warn, group: warn}"


def cut(name: str, left: int, top: int, width: int = 200, height: int = 200) -> Image.Image:
    whole = Image.fromarray(getattr(photographs, name)()).convert("RGB")
    return whole.crop((left, top, left + width, top + height))


CAT, CUP = cut("chelsea", 120, 40), cut("coffee", 200, 100)
FACE, ROCKET = cut("astronaut", 120, 0), cut("rocket", 200, 100)

PHOTOS = {
    "train/pet/cat.png": make.file(CAT),
    "test/pet/cat_again.png": make.file(CAT),
    "train/thing/cup.png": make.file(CUP),
    "test/thing/cup_stored_otherwise.png": make.file(CUP, compress_level=1),
    "train/pet/face.png": make.file(FACE),
    "test/pet/face_saved_anew.jpg": make.file(FACE, "JPEG", quality=50),
    "train/thing/rocket.png": make.file(ROCKET),
    "test/thing/rocket_close.png": make.file(ROCKET.crop((30, 30, 170, 170)).resize((200, 200))),
    **{f"train/pet/p{n}.png": make.file(photo(n)) for n in range(12)},
    **{f"train/thing/t{n}.png": make.file(photo(100 + n)) for n in range(12)},
    **{f"test/pet/q{n}.png": make.file(photo(200 + n)) for n in range(6)},
}

SENDERS = {Path(key).stem: f"{n}" for n, key in enumerate(PHOTOS)}
SENDERS |= {"p0": "anna", "p1": "anna", "q0": "anna", "q1": "anna", "t3": "bob", "q2": "bob"}
SENDERS |= {"p4": "carl", "p5": "carl", "q4": "dora", "q5": "dora"}


def fill_album(root: Path) -> Project:
    """Make a project with one dataset, ``album``."""
    made = make_project(root)
    made.conf("dataset/album.yaml", ALBUM)
    make.fill(made.root / "album", PHOTOS)
    lines = [f"{image},{sender}\n" for image, sender in SENDERS.items()]
    (made.root / "senders.csv").write_text("".join(["image,sender\n", *lines]))
    return made


@pytest.fixture
def album(tmp_path: Path) -> Project:
    return fill_album(tmp_path / "project")


def listed(album: Project) -> dict[tuple[str, str], str]:
    """What the CSV lists: the two files and the kind of leak between them."""
    with (album.root / "data/album/leaks/leaks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ends = [(Path(row["train_image"]).name, Path(row["test_image"]).name) for row in rows]
    return {end: row["leak_type"] for end, row in zip(ends, rows, strict=True)}


BYTES = {("cat.png", "cat_again.png"): "bytes"}
PIXELS = {("cup.png", "cup_stored_otherwise.png"): "pixels"}
NEAR = {("face.png", "face_saved_anew.jpg"): "perceptual"}
AKIN = {("rocket.png", "rocket_close.png"): "semantic"}
GUIDE = {
    "exact": (["leaks.methods=[exact]"], BYTES | PIXELS),
    "perceptual": (
        ["leaks.methods=[perceptual]", "leaks.max_distance=5"],
        BYTES | PIXELS | NEAR,
    ),
    "exact perceptual semantic": (
        [
            "leaks.methods=[exact,perceptual,semantic]",
            "leaks.max_distance=5",
            "leaks.min_similarity=0.95",
            "embedder@measure.embedder=opennsfw",
        ],
        BYTES | PIXELS | NEAR | AKIN,
    ),
}
"""The three runs of the cleaning guide's phase on leaks, by their ``--methods``."""


@pytest.mark.parametrize("run", GUIDE)
def test_each_of_the_guides_runs_is_a_line_of_config_and_finds_what_it_should(
    album: Project, build: Build, run: str
) -> None:
    overrides, expected = GUIDE[run]
    album.datasets(album=["leaks.together=[]", WARN, *overrides])
    build(album, "album")
    assert listed(album) == expected
    header = (album.root / "data/album/leaks/leaks.csv").read_text().splitlines()[0]
    guide = "train_image,test_image,method,similarity,leak_type,hamming_distance"
    assert header.startswith(f"{guide},")
    flagged = MANIFEST.read(album.root / "data/album/leaks").explode("flags", empty_as_null=False)
    both = {name for pair in expected for name in pair}
    assert {Path(key).name for key in flagged.filter(flags="train_test_leak")["key"]} == both


def test_groups_across_given_splits_stop_the_build_and_are_counted_exactly(
    album: Project, build: Build
) -> None:
    album.datasets(album=["leaks.methods=[]"])
    with pytest.raises(GateError, match="2 group"):
        build(album, "album")
    told = json.loads((album.root / ".imagemill/tmp/album.leaks/certificate.json").read_text())
    where = {Path(key).stem: key.split("/")[0] for key in PHOTOS}
    honest = [
        (one, other)
        for one, other in combinations(where, 2)
        if SENDERS[one] == SENDERS[other] and where[one] != where[other]
    ]
    said = told["leaks"]["group"]
    assert said["pairs_left"] == len(honest) == 5
    assert said["images_left"] == len({name for pair in honest for name in pair}) == 6
    assert said["left"] == len({SENDERS[one] for one, _ in honest}) == 2
    assert not said["passed"]
    assert not (album.root / "data/album/leaks").exists()
    told = album.run("imagemill", "leaks", "album").stdout.splitlines()
    assert told[-1] == "look at .imagemill/leaks/album/index.html#leaks"
    text = (album.root / ".imagemill/leaks/album/index.html").read_text()
    assert "still lie across splits" in text
    assert text.count("<img") >= 2


def test_a_warning_lets_the_build_go_on_and_the_package_says_what_remains(
    album: Project, build: Build
) -> None:
    album.datasets(album=["leaks.methods=[]", WARN])
    build(album, "album")
    assert "remaining: 2 group" in verify.dataset(album.root, "album")


def test_as_many_threads_as_there_are_give_the_same_split(
    album: Project, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    album.datasets(album=["leaks=assigned", "leaks.assign.folds=3"])
    build(album, "album")
    before = album.files("data/album/leaks")
    assert len(before) == 9
    for threads in ("1", "3"):
        monkeypatch.setenv("POLARS_MAX_THREADS", threads)
        album.run("python", "-m", "stages.leaks", "album")
        assert album.files("data/album/leaks") == before


def test_the_split_that_may_lose_images_loses_them(album: Project, build: Build) -> None:
    album.datasets(album=["leaks.remove_from=[test]"])
    build(album, "album")
    final = MANIFEST.read(album.root / "data/album/leaks")
    gone = final.filter(verdict="remove")
    names = {"cat_again", "cup_stored_otherwise", "face_saved_anew", "q0", "q1", "q2"}
    assert {Path(key).stem for key in gone["key"]} == names
    assert gone["reasons"].to_list() == [["leak"]] * 6
    assert "remaining: none" in verify.dataset(album.root, "album")


def test_an_assigned_split_has_no_group_on_two_sides_and_its_certificate_says_so(
    album: Project, build: Build
) -> None:
    album.datasets(album=["leaks=assigned"])
    build(album, "album")
    kept = MANIFEST.read(album.root / "data/album/leaks").filter(verdict="keep")
    sides = Counter(sender for sender, _ in set(kept.select("group", "split").iter_rows()))
    assert set(sides.values()) == {1}
    assert kept["split"].n_unique() == 2
    folder = album.root / "data/album/package/imagefolder"
    told = certificates.read(folder / certificates.FILE)
    group = told["leaks"]["group"]
    assert (group["found"], group["left"], group["pairs_left"], group["passed"]) == (0, 0, 0, True)
    assert told["made"] == "assigned by imagemill"
    assert told["assigned"]["together"] == ["copies", "group"]
    said = verify.dataset(album.root, "album")
    assert "checked for leaks of bytes, pixels, perceptual, group; remaining: none" in said
