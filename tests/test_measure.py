"""Every distinct image is decoded once, and its figures are those of the picture."""

import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import imagehash
import numpy as np
import polars as pl
import pytest
from PIL import Image

from imagemill import measure, packs
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.measure import phash
from imagemill.measure.figures import figures, quality
from imagemill.packs import Member
from imagemill.tables import FACTS, PLACES, TRANSFORMS
from tests import draw, make
from tests.test_match import turned

CONFIG = measure.Config(max_pixels=60_000_000, max_bytes=10_000_000)
ROOT = Path(__file__).parents[1]


def photographs() -> list[Image.Image]:
    """Photographs that ship with scikit-image and scikit-learn, and many crops of them."""
    images = []
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        place = Path(find_spec(package).submodule_search_locations[0]) / folder
        paths = [p for p in sorted(place.iterdir()) if p.suffix in (".png", ".jpg")]
        images += [Image.open(path).convert("RGB") for path in paths]
    chance = random.Random(1)
    whole = [image for image in images if min(image.size) >= 200]
    return whole + [crop(chance.choice(whole), chance) for _ in range(400)]


def crop(image: Image.Image, chance: random.Random) -> Image.Image:
    width, height = (chance.randrange(60, 1 + side) for side in image.size)
    left, top = (
        chance.randrange(image.width - width + 1),
        chance.randrange(image.height - height + 1),
    )
    return image.crop((left, top, left + width, top + height))


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return photographs()


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))


def theirs(image: Image.Image) -> int:
    return int(str(imagehash.phash(image)), 16)


def test_the_hash_is_that_of_imagehash(pictures):
    apart = [(theirs(image) ^ figures(image)["phash"][0]).bit_count() for image in pictures]
    share = sum(bits <= 2 for bits in apart) / len(apart)
    equal = sum(bits == 0 for bits in apart) / len(apart)
    print(f"phash: {len(apart)} photos, {share:.1%} within 2 bits of imagehash, {equal:.1%} equal")
    assert share >= 0.99


def test_the_hash_of_a_32x32_image_is_exactly_that_of_imagehash(pictures):
    tiny = [Image.fromarray(small(image)) for image in pictures]
    assert [phash.hashes(np.asarray(image))[0] for image in tiny] == [theirs(i) for i in tiny]


@pytest.mark.parametrize("number", range(len(TRANSFORMS)))
def test_the_other_hashes_are_those_of_the_turned_images(pictures, number):
    apart = [
        (phash.hashes(small(image))[number] ^ theirs(turned(image, TRANSFORMS[number]))).bit_count()
        for image in pictures[::4]
    ]
    assert np.mean([bits <= 2 for bits in apart]) >= 0.99


def test_the_hashes_of_a_turned_thumbnail_are_exactly_its_turned_hashes(pictures):
    for image in pictures[::20]:
        thumb = Image.fromarray(small(image))
        again = [phash.hashes(np.asarray(turned(thumb, name)))[0] for name in TRANSFORMS]
        assert again == phash.hashes(np.asarray(thumb))


def test_a_symmetric_image_has_the_same_hash_as_its_mirror_image():
    half = np.asarray(draw.photo(1, 16, 32).convert("L"))
    hashes = phash.hashes(np.concatenate([half, half[:, ::-1]], axis=1))
    assert hashes[TRANSFORMS.index("none")] == hashes[TRANSFORMS.index("flip")]


def test_grey_and_colour_files_of_one_grey_picture_have_the_same_figures():
    grey = draw.photo(1).convert("L")
    assert figures(grey) == figures(grey.convert("RGB"))


def test_pixels_are_equal_for_equal_pictures_only():
    image = draw.photo(1, 20, 30)
    other = image.copy()
    other.putpixel((3, 3), (0, 0, 0))
    folded = Image.frombytes("RGB", (30, 20), image.tobytes())
    found = {figures(each)["pixels"] for each in (image, image.copy(), other, folded)}
    assert len(found) == 3


def test_quality_of_drawn_images_is_what_its_definitions_say():
    black = quality(Image.new("L", (50, 40), 0))
    assert black == {"sharpness": 0, "brightness": 0, "contrast": 0, "entropy": 0}
    board = np.indices((40, 50)).sum(axis=0) % 2 * 255
    found = quality(Image.fromarray(board.astype(np.uint8)))
    assert found == {"sharpness": 1020**2, "brightness": 0.5, "contrast": 0.5, "entropy": 1.0}
    assert quality(Image.new("L", (2, 90), 9))["sharpness"] == 0
    even = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert quality(even)["entropy"] == 8


def test_quality_of_a_large_photo_is_judged_at_a_common_size():
    image = draw.photo(1, 512, 384).convert("L")
    large = image.resize((2048, 1536), Image.Resampling.NEAREST)
    assert figures(large)["sharpness"] == pytest.approx(figures(image)["sharpness"], rel=0.01)


# The stage


def stored(folder: Path, files: list[bytes]) -> pl.DataFrame:
    """Packs of the files below ``folder``, and their places."""
    folder.mkdir(exist_ok=True)
    contents = {make.sha(data): data for data in files}
    members = [
        Member(f"{digest}.img", digest, len(contents[digest])) for digest in sorted(contents)
    ]
    rows = []
    for pack in packs.plan(members, 20_000):
        packs.write(pack, folder, lambda member: contents[member.digest])
        rows += [(m.digest, pack.name, at, m.length) for m, at in pack.offsets()]
    return pl.DataFrame(rows, PLACES.columns, orient="row").sort("digest")


def files(count: int) -> list[bytes]:
    return [make.file(draw.photo(n, 40 + n % 7, 50)) for n in range(count)]


def run(root: Path, held: list[bytes], engine: Engine = make.INLINE) -> pl.DataFrame:
    places = stored(root / "packs", held)
    return measure.measure(
        places, root / "packs", CONFIG, measure.memo(root / "memo", CONFIG), engine
    )


def test_there_is_one_row_for_each_distinct_image(tmp_path):
    held = files(30)
    measured = run(tmp_path, held)
    assert measured["digest"].to_list() == sorted(make.sha(data) for data in held)
    row = measured.row(by_predicate=pl.col("digest") == make.sha(held[3]), named=True)
    assert (row["format"], row["mode"], row["width"], row["height"]) == ("PNG", "RGB", 43, 50)
    assert (row["bytes"], row["ready"], row["reason"]) == (len(held[3]), True, None)
    assert measured.select(*FACTS.columns).schema == pl.Schema(FACTS.columns)
    assert measure.thumbs(measured)["thumb"].bin.size().unique().to_list() == [32 * 32]


def test_one_more_image_decodes_one(tmp_path, capsys):
    run(tmp_path, files(30))
    assert "30 images: 30 decoded, 0 remembered" in capsys.readouterr().err
    run(tmp_path, files(31))
    assert "31 images: 1 decoded, 30 remembered" in capsys.readouterr().err
    run(tmp_path, files(29))
    assert "29 images: 0 decoded, 29 remembered" in capsys.readouterr().err


def test_other_limits_are_another_memo(tmp_path):
    strict = CONFIG.model_copy(update={"max_pixels": 100})
    assert measure.memo(tmp_path, strict).folder != measure.memo(tmp_path, CONFIG).folder


def test_what_is_remembered_equals_what_is_decoded(tmp_path):
    held = [*files(20), *BROKEN]
    first = run(tmp_path, held)
    assert run(tmp_path, held).equals(first)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_results_are_equal_on_every_engine(tmp_path, count):
    held = [*files(20), *BROKEN]
    engine = make.workers(count)
    assert run(tmp_path / "a", held, engine).equals(run(tmp_path / "b", held))


WHOLE = make.file(draw.photo(1))
BROKEN = [b"", b"no image at all", WHOLE[: len(WHOLE) // 2]]


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()


def test_a_broken_image_is_a_row_with_a_reason(tmp_path):
    measured = run(tmp_path, [WHOLE, *BROKEN])
    reasons = dict(measured.select("digest", "reason").iter_rows())
    expected = ["empty", "not_an_image", "truncated"]
    assert [reasons[make.sha(data)] for data in BROKEN] == expected
    assert reasons[make.sha(WHOLE)] is None
    assert len(measure.thumbs(measured)) == 1


def test_only_broken_images_and_no_images_make_whole_tables(tmp_path):
    assert run(tmp_path, BROKEN).schema == pl.Schema(measure.RESULT)
    assert measure.thumbs(run(tmp_path, BROKEN)).is_empty()
    assert run(tmp_path / "a", []).schema == pl.Schema(measure.RESULT)


def test_a_damaged_pack_stops_the_build_and_is_not_remembered_as_a_broken_image(tmp_path):
    places = stored(tmp_path / "packs", files(3))
    _, pack, offset, _ = places.row(1)
    path = tmp_path / "packs" / pack
    data = bytearray(path.read_bytes())
    data[offset + 50] ^= 1
    path.write_bytes(data)
    memo = measure.memo(tmp_path / "memo", CONFIG)
    with pytest.raises(BuildError, match=f"{pack} is damaged at byte {offset:,}"):
        measure.measure(places, tmp_path / "packs", CONFIG, memo, make.INLINE)
    assert memo.find(places["digest"]).is_empty()


STARVED = """
import resource, sys
from pathlib import Path
from tests.test_measure import run
held = [Path(sys.argv[2]).read_bytes()]
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (120 << 20),) * 2)
print(run(Path(sys.argv[1]), held)["reason"].to_list())
"""


def test_an_image_that_failed_for_lack_of_memory_is_tried_again(tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGB", (8000, 7000), (200, 100, 50)).save(large)
    command = [sys.executable, "-c", STARVED, str(tmp_path), str(large)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "['corrupt']\n"
    assert "1 images failed for lack of memory" in done.stderr
    assert run(tmp_path, [large.read_bytes()])["reason"].to_list() == [None]
