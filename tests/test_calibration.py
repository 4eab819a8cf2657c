"""A calibration says what a dataset's own images say, and builds obey it."""

from io import BytesIO
from typing import Any

import polars as pl
import pytest
import yaml
from PIL import Image, ImageChops, ImageDraw, ImageFont

from imagemill import calibration, match, measure
from imagemill.calibration import Calibration, edits, trial
from imagemill.calibration.making import calibrate
from imagemill.engine import Engine
from imagemill.measure.functions import Models
from imagemill.tables import PAIRS, PLACES
from tests import make
from tests.conftest import Build, Project
from tests.crops import photographs
from tests.test_match import CONFIG, find, measured

NONE = Models(None, None)
WRITTEN = "calibrations/pets.json"


def learn(project: Project, *, engine: Engine = make.INLINE, **given: Any) -> Calibration:
    calibrate(project.root, "pets", **{"target": 0.99, "count": 400, **given}, engine=engine)
    return read(project)


def read(project: Project) -> Calibration:
    return calibration.parse((project.root / WRITTEN).read_bytes(), WRITTEN)


def put(project: Project, images: list[Image.Image]) -> None:
    """Make these the images of the dataset ``pets``."""
    for path in (project.root / "pets").rglob("*.png"):
        path.unlink()
    make.fill(
        project.root / "pets", {f"cat/{n}.png": make.file(each) for n, each in enumerate(images)}
    )


def cards(count: int) -> list[Image.Image]:
    """Cards of one kind that differ in a name, a number and a small portrait."""
    return [card(number) for number in range(count)]


def card(number: int) -> Image.Image:
    image = Image.new("RGB", (320, 200), "#e8eef2")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 320, 36), fill="#27496d")
    draw.text((12, 8), "MEMBER CARD", fill="white", font=ImageFont.load_default(20))
    image.paste(photographs()[30 + number].resize((70, 90)), (16, 60))
    font = ImageFont.load_default(18)
    for line, text in enumerate(
        (f"No. {number * 7919 % 100000:05}", "valid until 2030", "Class B")
    ):
        draw.text((110, 62 + 34 * line), text, fill="black", font=font)
    draw.rectangle((0, 180, 320, 200), fill="#c84b31")
    return image


# Edits


@pytest.mark.parametrize("kind", edits.KINDS)
def test_an_edit_changes_the_photo_the_same_way_each_time(kind: str) -> None:
    photo = photographs()[0]
    before = photo.tobytes()
    one, again = (edits.edited(photo, kind, make.digest("a")) for _ in range(2))
    assert one == again
    assert photo.tobytes() == before
    shown = make.opened(one).image
    small = edits.small(photo)
    assert shown.size != small.size or ImageChops.difference(shown, small).getbbox()
    if kind != "mirror":
        assert one != edits.edited(photo, kind, make.digest("b"))


@pytest.mark.parametrize("kind", edits.KINDS)
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (2000, 9)])
def test_no_size_is_too_small_to_edit(kind: str, size: tuple[int, int]) -> None:
    assert make.opened(edits.edited(Image.new("RGB", size, "red"), kind, make.digest("a"))).image


# What is planted


def test_recall_is_the_share_of_planted_edits_that_match_finds(
    project: Project, build: Build
) -> None:
    photos = [each for each in photographs() if min(each.size) >= 150][:20]
    put(project, photos)
    build(project, "pets")
    found = learn(project)
    data = project.root / "data/pets"
    settings = yaml.safe_load((data / "config.yaml").read_text())
    limits = measure.Config.model_validate(settings["measure"]).limits
    config = match.Config.model_validate(settings["match"])
    places = PLACES.read(data / "download")
    tried = trial.planted(places, data / "download/packs", limits, NONE, config, make.INLINE)
    hits = (tried["together"] >= found.min_score).fill_null(value=False).sum()
    assert len(tried) == 4 * found.edited
    assert found.recall["together"].value == pytest.approx(hits / len(tried), abs=1e-4)
    assert found.recall["perceptual"] == found.recall["together"]
    assert found.recall["semantic"].value == 0
    kinds = tried.group_by("kind").agg((pl.col("together") >= found.min_score).sum() / pl.len())
    for kind, share in kinds.iter_rows():
        assert found.recall_of[kind].value == pytest.approx(share, abs=1e-4)


def test_a_planted_edit_is_found_where_match_makes_it_a_pair_and_with_the_same_score(
    project: Project, build: Build
) -> None:
    photos = [each for each in photographs() if min(each.size) >= 150][:8]
    put(project, photos)
    build(project, "pets")
    data = project.root / "data/pets"
    config = CONFIG.model_copy(update={"min_score": -1.0})
    places = PLACES.read(data / "download")
    tried = trial.planted(places, data / "download/packs", make.LIMITS, NONE, config, make.INLINE)
    files = {make.sha(make.file(photo)): photo for photo in photos}
    images = dict(files)
    for digest, kind in tried.select("digest", "kind").iter_rows():
        copy = edits.edited(files[digest], kind, digest)
        images[f"{digest} {kind}"] = Image.open(BytesIO(copy))
    pairs = found_by_match(images, config)
    for digest, kind, score in tried.select("digest", "kind", "together").iter_rows():
        assert pairs.get(frozenset((digest, f"{digest} {kind}"))) == score, kind


def found_by_match(images: dict[str, Image.Image], config: match.Config) -> dict[Any, float]:
    names = {make.digest(name): name for name in images}
    rows = find(measured(images), config).select("a", "b", "score").iter_rows()
    return {frozenset((names[a], names[b])): round(score, 4) for a, b, score in rows}


# Thresholds


def test_the_threshold_rises_where_different_images_are_alike(
    project: Project, build: Build
) -> None:
    project.datasets(pets=["clean=none"])
    put(project, cards(60))
    build(project, "pets")
    found = learn(project)
    assert found.candidates > 500
    assert found.min_score > found.shipped
    before, _ = found.before
    now = found.precision["together"]
    assert now is not None
    assert before is None or before.low < now.low
    assert now.low >= 0.99 or found.reached is False
    build(project, "pets")
    wrong = PAIRS.read(project.root / "data/pets/match")
    assert len(wrong) <= 2
    assert set(wrong["tier"]) <= {"perceptual"}


def test_where_hardly_any_images_are_alike_the_threshold_stays_and_recall_is_told(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    found = learn(project)
    assert found.reached is None
    assert found.min_score == found.shipped == 0.815
    assert found.precision == {"perceptual": None, "together": None}
    assert found.recall["together"].low > 0.3
    said = calibrate(project.root, "pets", 0.99, 400, make.INLINE)
    assert "too few pairs" in said


def test_a_higher_precision_asks_for_no_lower_threshold(project: Project, build: Build) -> None:
    put(project, photographs()[:100])
    build(project, "pets")
    scores = [learn(project, target=target, count=20).min_score for target in (0.5, 0.9, 0.999)]
    assert scores == sorted(scores)
