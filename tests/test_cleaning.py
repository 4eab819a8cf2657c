"""docs/cleaning.md is true: its commands run on drawn photos with an export of an audit."""

import csv
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from imagemill.config.compose import resolve
from imagemill.config.project import Project as Config
from imagemill.reviews import file, rows
from imagemill.reviews.taxonomy import Taxonomy
from imagemill.tables import EVIDENCE, MANIFEST, SAMPLES
from stages.config import SECTIONS
from tests.conftest import ROOT, Project, make_project, track
from tests.draw import photo, photo_bytes
from tests.test_guide import shows

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs/cleaning.md").read_text()


class Block(NamedTuple):
    """A fenced block of the page, and what the page says that it prints."""

    language: str
    text: str
    shown: str


FENCE = r"^```(bash|python|yaml)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?"
BLOCKS = [Block(*found) for found in re.findall(FENCE, GUIDE, re.M | re.S)]
NAMES = {"it came": "clothing_none", "they came": "clothing_none", "have them": "clothing_audit"}


def draw(root: Path) -> None:
    """Draw 48 photos: a copy among those to train on, and one on both sides of the split."""
    for number, (split, label, count) in enumerate(
        [("train", "hat", 16), ("train", "shoes", 16), ("test", "hat", 8), ("test", "shoes", 8)]
    ):
        for at in range(count):
            path = root / split / label / f"{at:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo_bytes(1000 * number + at))
    for copied, of in (("train/hat/14.png", 4), ("test/hat/07.png", 5)):
        again = BytesIO()
        photo(of).save(again, "PNG", compress_level=1)
        (root / copied).write_bytes(again.getvalue())


FLAGS = [
    ("train/hat/00.png", "mislabel", 0.97, "shoes"),
    ("train/hat/01.png", "mislabel", 0.93, "shoes"),
    ("train/shoes/02.png", "mislabel", 0.8, "hat"),
    ("test/shoes/02.png", "mislabel", 0.7, "hat"),
    ("test/shoes/03.png", "mislabel", 0.4, "hat"),
    ("train/hat/03.png", "outlier", 0.99, ""),
    ("train/hat/06.png", "outlier", 0.98, ""),
    ("train/hat/08.png", "outlier", 0.6, ""),
    ("train/gloves/00.png", "outlier", 0.6, ""),
]


def export(path: Path) -> None:
    """Write what Visual Layer would export of these photos."""
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as sheet:
        writer = csv.writer(sheet)
        header = "image_id image_path label issue_type confidence suggested_label reason"
        writer.writerow(header.split())
        for number, (key, flag, sure, label) in enumerate(FLAGS):
            place = f"/home/kushagra/data/clothes/{key}"
            writer.writerow([number, place, key.split("/")[1], flag, sure, label, "see the image"])


class World(NamedTuple):
    """The project in which the page's commands have run, and what each printed."""

    project: Project
    said: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Everything that the page does, in its order."""
    root = tmp_path_factory.mktemp("cleaning")
    project = make_project(root / "project")
    draw(project.root / "photos")
    export(root / "Downloads/clothing_vl_export.csv")
    project.datasets(clothing=[], clothing_none=[], clothing_audit=[])
    shutil.copy(ROOT / ".gitattributes", project.root)
    track(project)
    made = World(project, {})
    mailed = root / "Downloads/clothing.Saeed.reviews.csv"
    mailed.write_text(
        file.HEADER + "\n" + rows.line(kept(project.root / "photos/train/hat/08.png"))
    )
    for block in BLOCKS:
        if block.language == "yaml":
            configure(project, block.text)
        else:
            made.said[block.text] = run(block, root, project)
    return made


def kept(image: Path) -> rows.Review:
    """Return what an offline page has saved of an image."""
    digest = sha256(image.read_bytes()).hexdigest()
    tags = ("outlier_valid",)
    return rows.Review(digest, tags=tags, action="keep", reviewer="Saeed", time=rows.now())


def test_the_page_is_served_as_shown(world: World) -> None:
    command, shown = re.findall(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```", GUIDE, re.M | re.S)[0]
    started = subprocess.Popen(
        [*command.split(), "--port", "0"],
        cwd=world.project.root,
        env=world.project.env(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stderr
    with started, started.stderr:
        said = started.stderr.readline() + started.stderr.readline()
        started.terminate()
    assert re.sub(r":\d+/", ":8347/", said) == shown


def configure(project: Project, text: str) -> None:
    """Write a dataset's file as the page has it; a part of one is for another test."""
    if text.startswith("# @package"):
        second = text.splitlines()[1]
        name = next((name for words, name in NAMES.items() if words in second), "clothing")
        project.conf(f"dataset/{name}.yaml", text)


def run(block: Block, home: Path, project: Project) -> str:
    """Run a command or a piece of Python as a user would; return all that it says."""
    shell = (
        ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    )
    done = subprocess.run(
        [*shell, block.text],
        cwd=project.root,
        env={**os.environ, **project.env(), "HOME": str(home), "IMAGEMILL_ENGINE": "engine=inline"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return f"{done.stdout}\nexit code {done.returncode}\n"


def test_every_command_of_the_page_prints_what_the_page_shows(
    world: World, subtests: pytest.Subtests
) -> None:
    for block in BLOCKS:
        if block.language != "yaml":
            with subtests.test(block.text):
                said = world.said[block.text]
                assert said.endswith("exit code 0\n"), said
                assert not shows(block.shown, said), said


def test_after_a_review_no_image_is_read_again(world: World) -> None:
    again = next(text for text in world.said if "git add reviews" in text)
    ran = re.findall(r"Running stage '(\w+)@", world.said[again])
    assert set(ran) <= {"config", "scan", "clean", "leaks", "deliver"}


def test_every_file_of_the_guides_list_is_there(world: World) -> None:
    out = world.project.root / "Dataset_Cleaning_Results"
    table = GUIDE.partition("| folder | files |")[2].partition("\n\n")[0]
    for folder, names in re.findall(r"^\| `(\w+/)` \| (.*) \|$", table, re.M):
        for name in re.findall(r"`([\w.]+)`", names):
            assert (out / folder / name).is_file(), name


def test_the_final_manifest_has_every_image_that_goes_or_changes(world: World) -> None:
    data = world.project.root / "data/clothing"
    manifest = MANIFEST.read(data / "leaks")
    given = dict(SAMPLES.read(data / "merge").select("sample", "label").iter_rows())
    expected = {}
    for row in manifest.iter_rows(named=True):
        if row["verdict"] == "remove":
            expected[row["sample"]] = "remove"
        elif row["label"] != given[row["sample"]]:
            expected[row["sample"]] = "relabel"
    path = data / "deliver/Manifests/clothing_final_cleaning_manifest.csv"
    with path.open(newline="") as sheet:
        told = list(csv.DictReader(sheet))
    found = {row["image_path"]: row["user_action"] for row in told}
    assert {
        name: action for name, action in found.items() if action in ("remove", "relabel")
    } == expected
    leaked = {row["image_path"] for row in told if "train_test_leak" in row["user_tags"]}
    assert leaked == {"photos/test/hat/07.png", "photos/train/hat/05.png"}


def test_the_guides_merge_of_leaks_and_manifest_gives_what_ours_has(world: World) -> None:
    """Step 3.3 of the guide flags each image of the manifest that is a test image of a leak."""
    folder = world.project.root / "Dataset_Cleaning_Results/Manifests"
    with (folder / "clothing_leaks_report.csv").open(newline="") as sheet:
        leaks = list(csv.DictReader(sheet))
    columns = "train_image,test_image,method,similarity,leak_type,hamming_distance"
    assert list(leaks[0])[:6] == columns.split(",")
    with (folder / "clothing_final_cleaning_manifest.csv").open(newline="") as sheet:
        manifest = {row["image_path"]: row for row in csv.DictReader(sheet)}
    for image in {row["test_image"] for row in leaks}:
        assert "train_test_leak" in manifest[image]["user_tags"]
        assert manifest[image]["user_action"] == "remove"


def test_a_contradiction_is_told_as_the_page_shows(world: World) -> None:
    shown = GUIDE.partition("who says otherwise is shown:\n\n```text\n")[2].partition("```")[0]
    root = world.project.root
    samples = SAMPLES.read(root / "data/clothing/merge")
    (digest,) = samples.filter(sample="photos/train/hat/01.png")["digest"]
    said = rows.Review(digest, action="keep", reviewer="Saeed", time=rows.now())
    taxonomy = Taxonomy(tags={})
    file.append(root, "clothing", [said], taxonomy)
    done = world.project.run("dvc", "repro", "clean@clothing").stdout
    pattern = re.sub(r"line \d+", "line …", shown)
    assert not shows(pattern, done), done
    assert "kept_by_review" in EVIDENCE.read(root / "data/clothing/clean")["code"].to_list()


@pytest.mark.parametrize("text", [b.text for b in BLOCKS if b.text.startswith("leaks:")])
def test_the_settings_of_the_page_make_a_config(text: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    given = next(b.text for b in BLOCKS if b.text.startswith("# @package"))
    (tmp_path / "conf/dataset/clothing.yaml").write_text(given + text)
    (tmp_path / "audits").mkdir()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"datasets": {"clothing": []}}))
    found = resolve(Config(tmp_path), "clothing", SECTIONS)
    assert found["leaks"]["max_distance"] == 5


def test_every_file_that_the_page_names_is_there(world: World) -> None:
    for path in re.findall(r"`((?:conf|tests|data/clothing)/[\w./]+)`", GUIDE):
        there = (ROOT / path).exists() or (world.project.root / path).exists()
        assert there, path
