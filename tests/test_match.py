"""Pairs are found exactly, verified, and a matter of two images alone."""

import random
import shutil
from importlib.util import find_spec
from io import BytesIO
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageChops, ImageOps
from PIL.Image import Transpose

from imagemill import match
from imagemill.calibration import Tracked
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.match import verify
from imagemill.measure.functions import Models
from imagemill.tables import (
    EMBEDDINGS,
    FACTS,
    INVERSE,
    KEYPOINTS,
    PAIRS,
    THUMB_SIDE,
    THUMBS,
    TRANSFORMS,
    Table,
)
from tests import draw, make

SIDE = THUMB_SIDE
CONFIG = match.Config(
    radius=8,
    keypoint_radius=4,
    min_colours=0.95,
    min_similarity=0.95,
    min_score=0.85,
    min_texture=6.0,
    calibration=Tracked(file=None, embedder=None, keypoints=None),
)
NONE = Models(None, None)

TURNS: dict[str, list[Transpose]] = {
    "none": [],
    "rot90": [Transpose.ROTATE_90],
    "rot180": [Transpose.ROTATE_180],
    "rot270": [Transpose.ROTATE_270],
    "flip": [Transpose.FLIP_LEFT_RIGHT],
    "flip90": [Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_90],
    "flip180": [Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180],
    "flip270": [Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_270],
}


def turned(image: Image.Image, transform: str) -> Image.Image:
    for turn in TURNS[transform]:
        image = image.transpose(turn)
    return image


def photograph(name: str) -> Image.Image:
    """A photograph that ships with scikit-image."""
    folder = Path(find_spec("skimage").submodule_search_locations[0]) / "data"
    return Image.open(folder / name).convert("RGB")


def recompressed(image: Image.Image) -> Image.Image:
    return Image.open(BytesIO(make.file(image, "JPEG", quality=30)))


COPIES = {
    "recompressed": recompressed,
    "smaller": lambda i: i.resize((i.width // 3, i.height // 3)),
    "stretched": lambda i: i.resize((i.width, i.height * 2)),
    "brighter": lambda i: i.point(lambda v: min(255, v + 25)),
    "grey": lambda i: i.convert("L"),
    "mirrored": lambda i: i.transpose(Transpose.FLIP_LEFT_RIGHT),
    "on its side": lambda i: i.transpose(Transpose.ROTATE_90),
    "upside down": lambda i: i.transpose(Transpose.ROTATE_180),
}
PHOTOGRAPHS = ["astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png"]


def measured(images: dict[str, Image.Image], models: Models = NONE) -> match.Measured:
    """What is measured of images, each under the digest of its name."""
    rows = [
        {"digest": make.digest(name), **make.measured(image, models)}
        for name, image in images.items()
    ]
    return tables(rows)


def tables(rows: list[dict[str, Any]]) -> match.Measured:
    def some(table: Table) -> pl.DataFrame:
        there = [row for row in rows if set(table.columns) <= set(row)]
        return table.frame([{name: row[name] for name in table.columns} for row in there])

    facts = make.frame(FACTS, *({k: v for k, v in r.items() if k in FACTS.columns} for r in rows))
    return match.Measured(facts, some(THUMBS).lazy(), some(EMBEDDINGS), some(KEYPOINTS))


def find(
    measured: match.Measured,
    config: match.Config = CONFIG,
    memo: Path | None = None,
    engine: Engine = make.INLINE,
) -> pl.DataFrame:
    """The pairs, from what ``memo`` remembers; from nothing where none is given."""
    with TemporaryDirectory() as fresh:
        return match.find(measured, config, match.known(memo or Path(fresh), config), engine)


def pairs(images: dict[str, Image.Image], **given: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """The pairs found, by the names of their images, each the way round it was found."""
    names = {make.digest(name): name for name in images}
    found = find(measured(images), CONFIG.model_copy(update=given))
    assert found.schema == pl.Schema(PAIRS.columns)
    assert (found["a"] < found["b"]).all()
    return {(names[r["a"]], names[r["b"]]): r for r in found.iter_rows(named=True)}


def together(found: dict[tuple[str, str], Any]) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in found}


# Verification


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_turned_thumbnail_is_that_of_the_turned_image(transform):
    image = draw.photo(1, 32, 32).convert("L")
    ours = verify.turned(np.asarray(image)[None], transform)[0]
    assert (ours == np.asarray(turned(image, transform))).all()


@pytest.mark.parametrize("number", range(len(TRANSFORMS)))
def test_the_inverse_of_a_transform_undoes_it(number):
    thumb = np.asarray(draw.photo(1, 32, 32).convert("L"))[None]
    there = verify.turned(thumb, TRANSFORMS[number])
    assert (verify.turned(there, TRANSFORMS[INVERSE[number]]) == thumb).all()


def thumb(image: Image.Image) -> np.ndarray:
    return np.frombuffer(make.measured(image)["thumb"], np.uint8).reshape(SIDE, SIDE)


def batch(left: np.ndarray, right: np.ndarray, transform: str = "none") -> verify.Batch:
    return verify.Batch(left, right, transform, np.zeros(len(left), np.int64))


def score(one: np.ndarray, other: np.ndarray) -> float:
    return float(verify.scores(batch(one[None], other[None]))[0])


def test_the_score_is_one_for_equals_and_for_shifted_ones_and_low_for_others():
    whole = np.asarray(draw.photo(1, 60, 60).convert("L"))
    here = whole[6:54, 6:54]
    assert score(here, here) == 1
    assert score(here, whole[3:51, 9:57]) > 0.99
    assert score(here, whole[:48, ::-1][:, :48]) < 0.6
    assert score(here, 255 - here) < 0
    assert score(here, np.full_like(here, 9)) == score(np.full_like(here, 9), here) == -1


def cropped(image: Image.Image, part: float, across: float, down: float) -> Image.Image:
    """What is left when ``part`` of the area is cut away, so much of it left and above."""
    side = (1 - part) ** 0.5
    left, top = (1 - side) * across * image.width, (1 - side) * down * image.height
    return image.crop((left, top, left + side * image.width, top + side * image.height))


MOVED = {
    "crop of 5 % at a corner": lambda i: cropped(i, 0.05, 0, 0),
    "crop of 10 % off the middle": lambda i: cropped(i, 0.10, 0.3, 0.8),
    "crop of 20 % at a corner": lambda i: cropped(i, 0.20, 1, 0),
    "pad of 3 %": lambda i: ImageOps.expand(i, 9, (255, 255, 255)),
    "shift of 3 %": lambda i: ImageChops.offset(i, 9, 0).crop((9, 0, 300, 300)),
    "rotation by 2 degrees": lambda i: i.rotate(2, Image.Resampling.BICUBIC),
    "rotation by -4 degrees": lambda i: i.rotate(-4, Image.Resampling.BICUBIC),
    "crop of a brighter one": lambda i: cropped(COPIES["brighter"](i), 0.1, 1, 1),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("change", MOVED.values(), ids=MOVED)
def test_a_copy_that_was_moved_a_little_verifies_either_way_round(name, change):
    image = photograph(name).crop((40, 40, 340, 340))
    one, other = thumb(image), thumb(change(image))
    assert min(score(one, other), score(other, one)) > 0.87


def test_different_photographs_do_not_verify():
    images = [thumb(photograph(name).crop((40, 40, 340, 340))) for name in PHOTOGRAPHS]
    assert max(score(*pair) for pair in combinations(images, 2)) < 0.6


def test_a_picture_with_another_corner_is_no_copy():
    """Two photos of one scene agree in most places; a copy agrees all over."""
    whole = thumb(photograph("astronaut.png"))
    other = whole.copy()
    other[24:, 24:] = thumb(photograph("coffee.png"))[24:, 24:]
    assert score(whole, other) < 0.8


def test_a_score_does_not_depend_on_what_is_scored_beside_it():
    stack = np.stack([np.asarray(draw.photo(n, SIDE, SIDE).convert("L")) for n in range(20)])
    left, right = (np.array(side) for side in zip(*combinations(range(20), 2), strict=True))
    together = verify.scores(batch(stack[left], stack[right], "rot90"))
    rows = (slice(i, i + 1) for i in range(len(left)))
    each = (batch(stack[left[row]], stack[right[row]], "rot90") for row in rows)
    alone = [verify.scores(one)[0] for one in each]
    assert (together == alone).all()


# Pairs of images


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("one", "other"), [("x", "y"), ("y", "x")])
def test_the_transform_of_a_pair_takes_b_to_a(transform, one, other):
    image = photograph("coffee.png").crop((100, 50, 400, 290))
    images = {one: image, other: turned(image, transform).resize((150, 130))}
    ((names, row),) = pairs(images).items()
    a, b = (np.asarray(images[name].convert("L").resize((32, 32)), float) for name in names)
    assert np.abs(verify.turned(b[None], row["transform"])[0] - a).mean() < 6
    assert row["score"] > 0.9


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_copies_are_found_among_unlike_images(change):
    originals = {name: photograph(name).crop((40, 40, 340, 340)) for name in PHOTOGRAPHS}
    copies = {f"copy of {name}": change(image) for name, image in originals.items()}
    expected = {frozenset([name, f"copy of {name}"]) for name in originals}
    assert together(pairs({**originals, **copies})) == expected


def test_equal_pixels_are_a_pair_of_their_own_tier():
    image = draw.photo(1)
    found = pairs({"a": image, "b": image, "c": recompressed(image)})
    tiers = {frozenset(names): row["tier"] for names, row in found.items()}
    assert tiers[frozenset("ab")] == "pixels"
    assert tiers[frozenset("ac")] == tiers[frozenset("bc")] == "perceptual"
    assert len(found) == 3


def flat(grey: int, spot: int) -> Image.Image:
    image = Image.new("L", (64, 64), grey)
    image.paste(spot, (20, 20, 30, 30))
    return image


def test_flat_images_match_only_by_equal_pixels():
    images = {"a": flat(200, 205), "b": flat(200, 205), "c": flat(201, 206), "d": flat(90, 95)}
    assert together(pairs(images)) == {frozenset("ab")}
    assert together(pairs(images, min_texture=0.5)) > {frozenset("ab"), frozenset("ac")}


@pytest.mark.parametrize(("width", "height"), [(2, 1), (8, 1), (2, 2), (3, 3), (3, 40)])
def test_images_of_a_few_pixels_match_only_by_equal_pixels(width, height):
    random = np.random.default_rng(3)
    levels = random.integers(0, 256, (20, height, width, 3), dtype=np.uint8)
    images = {str(number): Image.fromarray(each) for number, each in enumerate(levels)}
    assert find(measured(images)).is_empty()
    again = {"again": images["0"].copy(), **images}
    assert find(measured(again))["tier"].to_list() == ["pixels"]


@pytest.mark.parametrize(("min_score", "found"), [(0.9, True), (1.0, False)])
def test_a_pair_scores_at_least_the_limit(min_score, found):
    image = photograph("chelsea.png")
    assert bool(pairs({"a": image, "b": recompressed(image)}, min_score=min_score)) is found


@pytest.mark.parametrize("name", ["chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg"])
@pytest.mark.parametrize("part", [0.03, 0.05, 0.08])
def test_a_crop_is_known_by_the_enlarged_middle(name, part):
    image = photograph(name)
    left, top = (round(side * part / 2) for side in image.size)
    crop = image.crop((left, top, image.width - left, image.height - top))
    for one, other in ((image, crop), (crop, image)):
        assert len(pairs({"a": one, "b": other}, radius=16)) == 1


def test_hashes_within_the_radius_are_compared_and_no_others():
    image = photograph("chelsea.png")
    images = {"a": image, "b": image.crop((6, 6, image.width - 6, image.height - 6))}
    (row,) = pairs(images, radius=16, min_score=0.0).values()
    distance = row["distance"]
    assert 0 < distance <= 16
    assert pairs(images, radius=distance, min_score=0.0)
    assert not pairs(images, radius=distance - 1, min_score=0.0)


def family(seed: int) -> dict[str, Image.Image]:
    """Some photos with copies and near copies of them."""
    chance = random.Random(seed)
    images: dict[str, Image.Image] = {}
    for n in range(4):
        image = photograph(chance.choice(PHOTOGRAPHS)).crop((40 * n, 40, 40 * n + 200, 240))
        images[f"{n}"] = image
        for name in chance.sample(sorted(COPIES), 3):
            images[f"{n} {name}"] = COPIES[name](image)
        images[f"{n} again"] = image
    return images


@pytest.mark.parametrize("seed", range(3))
def test_pairs_do_not_depend_on_the_order_or_the_presence_of_other_images(seed):
    images = family(seed)
    frames = measured(images)
    everything = find(frames)
    facts, thumbs, *more = (
        frame.lazy().collect().sample(fraction=1, shuffle=True, seed=seed) for frame in frames
    )
    assert find(match.Measured(facts, thumbs.lazy(), *more)).equals(everything)
    chance = random.Random(seed)
    for _ in range(6):
        names = chance.sample(sorted(images), len(images) // 2)
        some = pl.Series([make.digest(name) for name in names])
        both = pl.col("a").is_in(some.implode()) & pl.col("b").is_in(some.implode())
        assert find(only(frames, names)).equals(everything.filter(both))


def only(frames: match.Measured, names: list[str]) -> match.Measured:
    digests = pl.Series([make.digest(name) for name in names], dtype=pl.String)
    wanted = pl.col("digest").is_in(digests.implode())
    return match.Measured(*(frame.filter(wanted) for frame in frames))


@pytest.mark.parametrize("seed", range(4))
def test_a_build_that_remembers_finds_what_a_build_from_nothing_finds(tmp_path, seed):
    """Images come, go and come back; now and then the memo is gone."""
    images = family(seed)
    frames = measured(images)
    chance = random.Random(seed)
    for step in range(8):
        some = chance.sample(sorted(images), chance.randint(0, len(images)))
        if step == 5:
            shutil.rmtree(tmp_path)
        assert find(only(frames, some), memo=tmp_path).equals(find(only(frames, some)))


def test_an_image_that_comes_back_is_compared_with_what_came_in_between(tmp_path):
    image = photograph("chelsea.png")
    images = {"a": image, "b": recompressed(image), "c": photograph("coffee.png")}
    frames = measured(images)
    for names, count in ((["a", "c"], 0), (["b", "c"], 0), (["a", "b", "c"], 1)):
        assert len(find(only(frames, names), memo=tmp_path)) == count


def test_only_new_pictures_are_compared(tmp_path, capsys):
    frames = measured(family(0))
    names = sorted(family(0))
    find(only(frames, names[:-1]), memo=tmp_path)
    capsys.readouterr()
    find(frames, memo=tmp_path)
    assert ": 1 compared, " in capsys.readouterr().err
    find(frames, memo=tmp_path)
    assert ": 0 compared, " in capsys.readouterr().err


def test_what_other_images_left_in_the_memo_does_no_harm(tmp_path):
    """Two datasets share a memo: images of one were never compared with those of the other."""
    images = family(1)
    frames = measured(images)
    names = sorted(images)
    for part in (names[::2], names[1::2]):
        find(only(frames, part), memo=tmp_path)
    assert find(frames, memo=tmp_path).equals(find(frames))


def test_a_damaged_memo_is_forgotten(tmp_path):
    frames = measured(family(2))
    expected = find(frames, memo=tmp_path)
    (file,) = tmp_path.glob("match-*/*.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    assert find(frames, memo=tmp_path).equals(expected)


def test_the_memo_keeps_few_sets_of_pictures(tmp_path):
    images = family(3)
    frames = measured(images)
    for count in range(1, 9):
        find(only(frames, sorted(images)[:count]), memo=tmp_path)
    assert len(list(tmp_path.glob("match-*/*"))) == 4


@pytest.mark.parametrize("change", [{"radius": 9}, {"min_score": 0.5}, {"min_texture": 1.0}])
def test_other_limits_have_a_memory_of_their_own(tmp_path, change):
    images = {name: photograph(name) for name in PHOTOGRAPHS}
    images |= {f"{name} again": each.crop((9, 9, 290, 290)) for name, each in images.items()}
    frames = measured(images)
    find(frames, memo=tmp_path)
    other = CONFIG.model_copy(update=change)
    assert find(frames, other, memo=tmp_path).equals(find(frames, other))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_pairs_are_equal_on_every_engine(monkeypatch, count):
    monkeypatch.setattr(match, "BATCH", 3)
    frames = measured(family(0))
    assert find(frames, engine=make.workers(count)).equals(find(frames))


def test_unreadable_images_have_no_pairs_and_no_images_give_none():
    facts = make.frame(FACTS, {"digest": make.digest("x"), "reason": "corrupt", "pixels": None})
    none = tables([])
    assert find(none._replace(facts=facts)).is_empty()
    assert find(none).is_empty()


@pytest.mark.parametrize("pixels", ["same", None])
def test_more_pairs_than_can_be_worked_with_are_refused_by_name(monkeypatch, pixels):
    monkeypatch.setattr(match, "MOST", 1000)
    made = make.measured(draw.photo(1))
    names = [f"{n}" for n in range(50)]
    rows = [{**made, "digest": make.digest(n), "pixels": pixels or n} for n in names]
    with pytest.raises(BuildError, match=f"look like image {min(map(make.digest, names))}"):
        find(tables(rows))


def test_many_images_of_one_picture_are_verified_once():
    made = make.measured(draw.photo(1))
    rows = [{**made, "digest": make.digest(f"{n}"), "pixels": f"{n}"} for n in range(600)]
    found = find(tables(rows))
    assert len(found) == 600 * 599 // 2
    assert found.unique(["a", "b"]).height == len(found)
    assert set(found["score"]) == {1.0}
