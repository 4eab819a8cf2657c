"""The demonstration dataset is what its truth table says."""

import csv
from collections import Counter
from pathlib import Path

import imagehash
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from imagemill import sample
from imagemill.errors import BuildError
from imagemill.sample.likeness import phash, quality
from imagemill.sample.photographs import WIDE, Photograph, opened

Row = dict[str, str]

PLANTED = {
    *("same_bytes", "same_pixels", "recompressed", "resized", "mirrored", "cropped_5"),
    *("cropped_20", "rotated_10", "rotated_90", "rotated_180", "rotated_270", "last_one"),
    *("leak_bytes", "leak_pixels", "leak_recompressed", "leak_mirrored"),
    *("identity_conflict", "name_collision", "single", "wrong_label", "no_label"),
    *("blurred", "dark", "bright", "tiny", "low_information", "odd_aspect", "animated"),
    *("truncated_jpeg", "truncated_png", "corrupt", "empty", "html", "noise", "bomb"),
    *("wrong_extension", "private_metadata", *(f"orientation_{n}" for n in range(1, 9))),
    *("mode_cmyk", "mode_16_bit", "mode_rgba", "mode_grey_alpha"),
    *("mode_palette", "mode_palette_alpha", "mode_gif", "mode_webp"),
}
UNIQUE = {"empty", "last_one", *(f"orientation_{n}" for n in range(1, 9))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sample")
    sample.write(made)
    return made


@pytest.fixture(scope="module")
def truth(folder: Path) -> list[Row]:
    return table(folder / "truth.csv")


@pytest.fixture(scope="module")
def unlike(folder: Path, truth: list[Row]) -> list[Row]:
    """Rows of the pictures that are no copies of any other and are fit for training."""
    return [row for row in truth if fit(row)]


@pytest.fixture(scope="module")
def hashes(folder: Path, truth: list[Row]) -> dict[str, NDArray[np.bool_]]:
    """By path, the hashes (8, 64) of each readable picture's rotations and mirrors."""
    return {path(row): variants(upright(folder / path(row))) for row in truth if row["width"]}


def table(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def path(row: Row) -> str:
    return f"{row['source']}/{row['key']}"


def fit(row: Row) -> bool:
    wrong_beside_the_image = {"wrong_label", "no_label", "single", "last_one"}
    return row["outcome"] in {"keep", "flag"} or row["problem"] in wrong_beside_the_image


def upright(file: Path) -> Image.Image:
    with Image.open(file) as stored:
        image = ImageOps.exif_transpose(stored)
        if image.mode.startswith("I"):
            return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
        return image.convert("RGB")


def variants(picture: Image.Image) -> NDArray[np.bool_]:
    turned = [
        start.rotate(90 * k, expand=True)
        for start in (picture, ImageOps.mirror(picture))
        for k in range(4)
    ]
    return np.stack([imagehash.phash(image).hash.ravel() for image in turned])


def nearest(some: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the least distances (n, m) of pictures (n, 8, 64) from pictures (m, 8, 64).

    Whichever of the two is turned.
    """
    return np.minimum(turning(some, others), turning(others, some).T)


def turning(some: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the least distances (n, m), turning ``some`` (n, 8, 64), not ``others``."""
    signs = (2 * some.astype(np.int64) - 1).reshape(-1, 64)
    alike = signs @ (2 * others[:, 0].astype(np.int64) - 1).T
    bits: NDArray[np.int64] = (64 - alike) // 2
    least: NDArray[np.int64] = bits.reshape(len(some), 8, len(others)).min(axis=1)
    return least


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_it_is_the_same_to_the_byte_whenever_it_is_written(folder: Path, tmp_path: Path) -> None:
    sample.write(tmp_path)
    assert contents(tmp_path) == contents(folder)


def test_it_is_small(folder: Path) -> None:
    files = contents(folder)
    assert 400 <= len(files) <= 600
    assert sum(map(len, files.values())) < 15_000_000


def test_every_file_has_one_row_of_truth(folder: Path, truth: list[Row]) -> None:
    files = set(contents(folder)) - {"labels.csv", "truth.csv"}
    assert Counter(map(path, truth)) == Counter(files)


def test_every_file_has_one_label_unless_that_is_its_problem(
    folder: Path, truth: list[Row]
) -> None:
    labelled = [row["file"] for row in table(folder / "labels.csv")]
    assert sorted(labelled) == sorted(path(r) for r in truth if r["problem"] != "no_label")


def test_an_identity_has_one_label_unless_that_is_its_problem(
    folder: Path, truth: list[Row]
) -> None:
    wrong = {path(row) for row in truth if row["problem"] == "wrong_label"}
    for row in table(folder / "labels.csv"):
        identity = Path(row["file"]).name.rpartition("_")[0]
        assert (row["label"] == identity.rpartition("-")[0]) == (row["file"] not in wrong)


def test_every_problem_is_planted(truth: list[Row]) -> None:
    counts = Counter(row["problem"] for row in truth if row["problem"] != "none")
    assert set(counts) == PLANTED
    assert {problem for problem, count in counts.items() if count == 1} == UNIQUE


def test_clean_images_are_kept_without_a_reason(truth: list[Row]) -> None:
    clean = [row for row in truth if row["problem"] == "none"]
    assert len(clean) > len(truth) / 2
    columns = ("stage", "outcome", "reason", "tier", "of")
    assert {tuple(row[c] for c in columns) for row in clean} == {("", "keep", "", "", "")}


def test_identities_train_and_most_are_tested_too(truth: list[Row]) -> None:
    album = [row for row in truth if row["source"] == "album"]
    parts = [row["key"].split("/")[:2] for row in album]
    train, test = ({name for split, name in parts if split == s} for s in ("train", "test"))
    assert test < train
    assert len(test) > 0.9 * len(train) > 60
    assert 0.60 <= sum(split == "train" for split, _ in parts) / len(parts) <= 0.75


def test_two_images_stay_in_every_identity_but_those_planted_small(truth: list[Row]) -> None:
    names = [(Path(row["key"]).name.rpartition("_")[0], row) for row in truth]
    kept = Counter(name for name, row in names if row["outcome"] in {"keep", "flag"})
    small = {name for name, row in names if row["reason"] == "identity_too_small"}
    assert {name for name, _ in names if kept[name] < 2} == small
    assert not any(kept[name] for name in small)


def test_cards_show_album_identities_and_others(truth: list[Row]) -> None:
    album = {row["key"].split("/")[1] for row in truth if row["source"] == "album"}
    cards = {row["key"].removesuffix("_face.png") for row in truth if row["source"] == "cards"}
    assert len(cards & album) >= 20
    assert len(cards - album) >= 20


def test_sizes_are_those_of_the_upright_picture(folder: Path, truth: list[Row]) -> None:
    for row in truth:
        if row["width"]:
            assert upright(folder / path(row)).size == (int(row["width"]), int(row["height"])), row
            assert row["width"] != row["height"]
        else:
            assert row["stage"] == "measure"
            assert row["outcome"] == "remove"


def test_the_hash_that_chooses_pictures_is_that_of_imagehash(
    folder: Path, unlike: list[Row]
) -> None:
    pictures = [upright(folder / path(row)) for row in unlike[::20]]
    for picture in pictures:
        assert (phash(picture) == imagehash.phash(picture).hash.ravel()).all()


def test_no_two_images_are_alike_unless_planted(
    unlike: list[Row], hashes: dict[str, NDArray[np.bool_]]
) -> None:
    bits = np.stack([hashes[path(row)] for row in unlike])
    distances = nearest(bits, bits)
    np.fill_diagonal(distances, 64)
    assert distances.min() > 12


def test_no_image_fit_for_training_comes_near_a_limit(folder: Path, unlike: list[Row]) -> None:
    for row in unlike:
        figures = quality(upright(folder / path(row)))
        assert figures.sharpness > 100, row
        assert 45 < figures.brightness < 210, row
        assert figures.contrast > 20, row
        assert figures.entropy > 5.5, row


@pytest.mark.parametrize(
    ("tier", "least", "most"),
    [("bytes", 0, 0), ("pixels", 0, 0), ("perceptual", 0, 6), ("keypoints", 13, 64)],
)
def test_a_copy_is_as_far_from_its_original_as_its_tier_says(
    truth: list[Row], hashes: dict[str, NDArray[np.bool_]], tier: str, least: int, most: int
) -> None:
    copies = [row for row in truth if row["tier"] == tier]
    assert copies
    for row in copies:
        pair = hashes[path(row)][None], hashes[row["of"]][None]
        for turned, fixed in (pair, pair[::-1]):
            assert least <= turning(turned, fixed).item() <= most, row


def test_a_copy_is_a_copy_of_its_original_only(
    truth: list[Row], unlike: list[Row], hashes: dict[str, NDArray[np.bool_]]
) -> None:
    for row in truth:
        if row["of"] and row["problem"] != "identity_conflict":
            others = [hashes[path(other)] for other in unlike if path(other) != row["of"]]
            assert nearest(hashes[path(row)][None], np.stack(others)).min() > 10, row


def test_copies_in_bytes_and_in_pixels_are_just_that(folder: Path, truth: list[Row]) -> None:
    for row in truth:
        equal_bytes = (
            row["of"] and (folder / path(row)).read_bytes() == (folder / row["of"]).read_bytes()
        )
        assert bool(equal_bytes) == (row["tier"] == "bytes"), row
        if row["tier"] == "pixels":
            assert upright(folder / path(row)).tobytes() == upright(folder / row["of"]).tobytes()


def test_a_copy_in_the_same_split_loses_to_its_original(folder: Path, truth: list[Row]) -> None:
    rows = {path(row): row for row in truth}
    for row in truth:
        if row["reason"] in {"duplicate", "same_bytes"}:
            best = min((row, rows[row["of"]]), key=lambda r: rank(folder, r))
            assert best is rows[row["of"]], row


def rank(folder: Path, row: Row) -> tuple[int, int, str]:
    """Order copies as the keep policy does: most pixels, then most bytes, then key."""
    size = (folder / path(row)).stat().st_size
    return -int(row["width"]) * int(row["height"]), -size, path(row)


def test_leaks_are_copies_in_test_of_clean_images_in_train(truth: list[Row]) -> None:
    rows = {path(row): row for row in truth}
    for row in truth:
        if row["reason"] == "leak":
            assert row["key"].startswith("test/")
            assert rows[row["of"]]["key"].startswith("train/")
            assert rows[row["of"]]["problem"] == "none"


def test_equal_bytes_are_all_planted(folder: Path, truth: list[Row]) -> None:
    seen = Counter((folder / path(row)).read_bytes() for row in truth)
    planted = sum(row["tier"] == "bytes" and row["problem"] != "identity_conflict" for row in truth)
    conflicts = sum(row["problem"] == "identity_conflict" for row in truth)
    assert sum(count - 1 for count in seen.values()) == planted + conflicts // 2


def test_a_bomb_is_a_small_file_that_declares_a_vast_picture(
    folder: Path, truth: list[Row]
) -> None:
    for row in truth:
        if row["problem"] == "bomb":
            data = (folder / path(row)).read_bytes()
            assert len(data) < 10_000
            assert data[16:24] == (60_000).to_bytes(4) * 2


@pytest.mark.parametrize("package", ["skimage_that_nobody_installed", "imagemill"])
def test_a_missing_photograph_is_an_error_that_says_what_to_install(package: str) -> None:
    with pytest.raises(BuildError, match=r"pip install 'imagemill\[samples\]'"):
        opened(Photograph("astronaut", package, "data/astronaut.png", 1.0, WIDE))
