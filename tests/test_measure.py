"""Every distinct image is decoded once for each function, and remembered."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml
from PIL import Image

from imagemill import measure, packs
from imagemill.embed import Onnx
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.measure.functions import FUNCTIONS
from imagemill.packs import Member
from imagemill.tables import FACTS, PLACES, THUMB_SIDE, THUMBS
from tests import draw, make, onnx_file

CONFIG = measure.Config(max_pixels=60_000_000, max_bytes=10_000_000, embedder=None, keypoints=None)
ROOT = Path(__file__).parents[1]


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


def run(root: Path, held: list[bytes], engine: Engine = make.INLINE) -> measure.Measured:
    places = stored(root / "packs", held)
    memos = measure.memos(root / "memo", CONFIG)
    return measure.measure(places, root / "packs", CONFIG, memos, engine)


def same(one: measure.Measured, other: measure.Measured) -> bool:
    return all(getattr(one, name).equals(getattr(other, name)) for name in ("facts", "thumbs"))


def test_there_is_one_row_for_each_distinct_image(tmp_path):
    held = files(30)
    measured = run(tmp_path, held)
    assert measured.facts["digest"].to_list() == sorted(make.sha(data) for data in held)
    row = measured.facts.row(by_predicate=pl.col("digest") == make.sha(held[3]), named=True)
    assert (row["format"], row["mode"], row["width"], row["height"]) == ("PNG", "RGB", 43, 50)
    assert (row["bytes"], row["ready"], row["reason"]) == (len(held[3]), True, None)
    assert measured.facts.schema == pl.Schema(FACTS.columns)
    assert measured.thumbs.schema == pl.Schema(THUMBS.columns)
    assert measured.thumbs["digest"].equals(measured.facts["digest"])
    assert measured.thumbs["thumb"].bin.size().unique().to_list() == [THUMB_SIDE**2]


def test_one_more_image_decodes_one(tmp_path, capsys):
    run(tmp_path, files(30))
    assert "30 images: 30 decoded, 0 remembered" in capsys.readouterr().err
    run(tmp_path, files(31))
    assert "31 images: 1 decoded, 30 remembered" in capsys.readouterr().err
    run(tmp_path, files(29))
    assert "29 images: 0 decoded, 29 remembered" in capsys.readouterr().err


def folders(config: measure.Config, root: Path) -> dict[str, Path]:
    return {name: memo.folder for name, memo in measure.memos(root, config).items()}


def test_other_limits_are_another_memo_of_what_they_decide_alone(tmp_path):
    strict = folders(CONFIG.model_copy(update={"max_pixels": 100}), tmp_path)
    usual = folders(CONFIG, tmp_path)
    assert [name for name in usual if strict[name] != usual[name]] == ["header"]


def test_a_function_that_changes_is_the_only_one_that_is_computed(tmp_path, capsys, monkeypatch):
    first = run(tmp_path, files(30))
    changed = replace(FUNCTIONS["prints"], version=99)
    monkeypatch.setitem(FUNCTIONS, "prints", changed)
    capsys.readouterr()
    assert same(run(tmp_path, files(31)), run(tmp_path / "a", files(31)))
    said = capsys.readouterr().err
    assert "31 images: 1 decoded, 30 decoded for prints only, 0 remembered" in said
    monkeypatch.undo()
    assert same(run(tmp_path, files(30)), first)


def test_what_is_remembered_equals_what_is_decoded(tmp_path):
    held = [*files(20), *BROKEN]
    first = run(tmp_path, held)
    assert same(run(tmp_path, held), first)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_results_are_equal_on_every_engine(tmp_path, count):
    held = [*files(20), *BROKEN]
    engine = make.workers(count)
    assert same(run(tmp_path / "a", held, engine), run(tmp_path / "b", held))


def test_images_that_a_model_says_nothing_of_are_counted(tmp_path, capsys):
    nodes = [
        onnx_file.node("Relu", ["pixels"], "lit"),
        onnx_file.node("Flatten", ["lit"], "vector"),
    ]
    model = onnx_file.model(nodes, onnx_file.given("pixels", "n", 3, 8, 8), ["vector"])
    (tmp_path / "m.onnx").write_bytes(model)
    given = yaml.safe_load((ROOT / "conf/embedder/onnx.yaml").read_text())
    own = {"path": str(tmp_path / "m.onnx"), "side": 8, "resized": 8, "mean": [8], "std": [1]}
    config = CONFIG.model_copy(update={"embedder": Onnx.model_validate(given | own)})
    held = [make.file(Image.new("RGB", (20, 20), (level,) * 3)) for level in (4, 6, 90)]
    places = stored(tmp_path / "packs", held)
    memos = measure.memos(tmp_path / "memo", config)
    found = measure.measure(places, tmp_path / "packs", config, memos, make.INLINE)
    assert len(found.embeddings) == 3
    assert "measure: 2 of 3 images are like nothing" in capsys.readouterr().err


WHOLE = make.file(draw.photo(1))
BROKEN = [b"", b"no image at all", WHOLE[: len(WHOLE) // 2]]


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()


def test_a_broken_image_is_a_row_with_a_reason(tmp_path):
    measured = run(tmp_path, [WHOLE, *BROKEN])
    reasons = dict(measured.facts.select("digest", "reason").iter_rows())
    expected = ["empty", "not_an_image", "truncated"]
    assert [reasons[make.sha(data)] for data in BROKEN] == expected
    assert reasons[make.sha(WHOLE)] is None
    assert measured.thumbs["digest"].to_list() == [make.sha(WHOLE)]


def test_only_broken_images_and_no_images_make_whole_tables(tmp_path):
    for name, held in (("a", BROKEN), ("b", [])):
        measured = run(tmp_path / name, held)
        assert measured.facts.schema == pl.Schema(FACTS.columns)
        assert len(measured.facts) == len(held)
        assert measured.thumbs.schema == pl.Schema(THUMBS.columns)
        assert measured.thumbs.is_empty()


def test_a_damaged_pack_stops_the_build_and_is_not_remembered_as_a_broken_image(tmp_path):
    places = stored(tmp_path / "packs", files(3))
    _, pack, offset, _ = places.row(1)
    path = tmp_path / "packs" / pack
    data = bytearray(path.read_bytes())
    data[offset + 50] ^= 1
    path.write_bytes(data)
    memos = measure.memos(tmp_path / "memo", CONFIG)
    with pytest.raises(BuildError, match=f"{pack} is damaged at byte {offset:,}"):
        measure.measure(places, tmp_path / "packs", CONFIG, memos, make.INLINE)
    assert all(memo.find(places["digest"]).is_empty() for memo in memos.values())


STARVED = """
import resource, sys
from pathlib import Path
from tests.test_measure import run
held = [Path(sys.argv[2]).read_bytes()]
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (120 << 20),) * 2)
print(run(Path(sys.argv[1]), held).facts["reason"].to_list())
"""


def test_an_image_that_failed_for_lack_of_memory_is_tried_again(tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGB", (8000, 7000), (200, 100, 50)).save(large)
    command = [sys.executable, "-c", STARVED, str(tmp_path), str(large)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "['kills_reader']\n"
    assert "1 images ended the process that read them" in done.stderr
    assert run(tmp_path, [large.read_bytes()]).facts["reason"].to_list() == [None]
