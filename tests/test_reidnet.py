"""The users' merge, small: two face sources, one of which has a single image an identity."""

import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from bench.reidnet import compare, plain
from bench.reidnet.generate import FACES, LEAST, MOST, PHOTOS, Plan, counts, generate
from imagemill import stage
from tests.conftest import ROOT, Build, Project, make_project
from tests.servers import KEY, SECRET, Proxy, S3Server

PLAN = Plan(faces=300, identities=80, photos=336, seed=5)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sources, written once; a test that changes them works on a copy."""
    root = tmp_path_factory.mktemp("sources")
    generate(root, PLAN)
    return root


@pytest.fixture
def local(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the shipped config of the local sources."""
    monkeypatch.setenv("IMAGEMILL_ENGINE", "engine=inline")
    return compare.project(tmp_path / "project", sources, PLAN)


def merged(project: Project, dataset: str = compare.DATASET) -> pl.DataFrame:
    """Run the stages up to merge in this process; return the samples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        import_module("stages.config").main(dataset)
        for name in compare.STAGES:
            main = import_module(f"stages.{name}").main
            stage.run(main, name, dataset, keep=name == "download")
    return pl.read_parquet(project.root / f"data/{dataset}/merge/samples.parquet")


def lax(dataset: str, *more: str) -> dict[str, list[str]]:
    """Return a dataset that expects nothing of its listing and of its merge."""
    mean = "expect.result.images_per_identity"
    means = [f"{mean}.least=1", f"{mean}.most=50"]
    return {dataset: [f"++{each}" for each in (*compare.expected(Plan(0, 0, 0)), *means, *more)]}


def fetched(said: str) -> int:
    return int(re.findall(r"download: ([\d,]+) objects fetched", said)[-1])


OPENED: list[list[str]] = []
"""What each watcher has seen; a hook of the interpreter cannot be taken out again."""


def note(event: str, given: tuple[object, ...]) -> None:
    if event == "open" and isinstance(given[0], str | bytes):
        path = given[0] if isinstance(given[0], str) else given[0].decode(errors="replace")
        for watcher in OPENED:
            watcher.append(path)


@contextmanager
def opened() -> Iterator[list[str]]:
    """Yield every path that this process opens, by whatever function of Python's."""
    if not OPENED:
        sys.addaudithook(note)
    watcher: list[str] = []
    OPENED.append(watcher)
    yield watcher
    OPENED.remove(watcher)


def test_the_merge_has_the_exact_figures_and_opens_no_file_that_it_leaves_out(
    local: Project, capfd: pytest.CaptureFixture[str]
):
    with opened() as paths:
        samples = merged(local)
    compare.check(local, PLAN)
    assert Counter(samples["reason"]) == {None: 336, "identity_too_small": 300}
    counted = Counter(path.rpartition(".")[2] for path in paths)
    assert counted["png"] == 0
    assert counted["jpg"] == 2 * 336  # to know it, and to pack it
    said = capfd.readouterr().err
    assert "scan: 636 objects listed, 336 wanted" in said
    assert "download: 336 objects fetched, 0 rejected" in said
    assert re.search(r"identity_too_small +300\b", said)


def test_the_whole_build_keeps_what_the_merge_kept(local: Project, build: Build):
    build(local, compare.DATASET)
    data = local.root / "data" / compare.DATASET
    final = pl.read_parquet(data / "leaks/manifest.parquet").filter(verdict="keep")
    assert (len(final), final["label"].n_unique()) == (336, 80)
    assert pl.read_parquet(data / "match/pairs.parquet").is_empty()
    held = pl.read_parquet(data / "package/imagefolder/manifest.parquet")
    assert held["packaged"].equals(held["digest"])  # 112x112 RGB JPEGs need no change


def test_lowering_min_images_fetches_just_the_difference(
    local: Project, capfd: pytest.CaptureFixture[str]
):
    by_count = Counter(counts(PLAN))
    wanted = {
        least: sum(count * many for count, many in by_count.items() if count >= least)
        for least in (4, 3, 2)
    } | {1: PLAN.photos + PLAN.faces}
    before = 0
    for least, count in wanted.items():
        local.datasets(**lax(compare.DATASET, f"merge.min_images={least}"))
        samples = merged(local)
        assert samples["reason"].null_count() == count
        assert fetched(capfd.readouterr().err) == count - before
        before = count


def test_a_plain_script_keeps_the_same_images(sources: Path, tmp_path: Path, capfd):
    """Also where an identity lies in both sources, under names that clash."""
    root = tmp_path / "sources"
    for folder in (FACES, PHOTOS):
        (root / folder).mkdir(parents=True)
    homes = sorted((sources / PHOTOS).iterdir())[:6]
    for home in homes:
        (root / PHOTOS / home.name).mkdir()
        for path in home.iterdir():
            (root / PHOTOS / home.name / path.name).write_bytes(path.read_bytes())
    faces = sorted((sources / FACES).iterdir())[:9]
    for number, face in enumerate(faces):
        name = face.name if number > 2 else f"{homes[number].name}_face.png"
        (root / FACES / name).write_bytes(face.read_bytes())
    clash = root / PHOTOS / homes[0].name / f"{homes[0].name}_face.png"
    clash.write_bytes(faces[8].read_bytes()[:-1] + b"\0")
    (root / PHOTOS / homes[5].name / "same.jpg").write_bytes(faces[0].read_bytes() + b"\0")

    command = [sys.executable, plain.__file__, root, tmp_path / "merged"]
    subprocess.run(command, check=True)
    theirs = {
        (path.parent.name, sha256(path.read_bytes()).hexdigest())
        for path in (tmp_path / "merged").glob("*/*")
    }
    photos = sum(len(list(home.iterdir())) for home in (root / PHOTOS).iterdir())
    assert len(theirs) == photos + 3
    assert "Total identities: 6\n" in capfd.readouterr().out

    made = compare.project(tmp_path / "project", root, Plan(9, 6, photos))
    made.datasets(**lax(compare.DATASET))
    samples = merged(made).filter(pl.col("reason").is_null())
    assert set(samples.select("identity", "digest").iter_rows()) == theirs
    names = samples.filter(identity=homes[0].name)["name"]
    assert {each for each in names if "_face" in each} == {
        f"{homes[0].name}_face_{source}" for source in ("faces_only", "reidnet_v2")
    }


PREFIXES = {
    "faces_only": "datasets/faces_only/rekognition_set",
    "reidnet_v2": "datasets/reidnet_v2_training_data/rekognition_set",
}


def test_on_s3_no_byte_moves_of_what_is_left_out(
    sources: Path, tmp_path: Path, s3_server: S3Server, proxy: Proxy, monkeypatch, capfd
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("IMAGEMILL_ENGINE", "engine=inline")
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    bucket = "data-labeling.livereachmedia.com"
    client = s3_server.client()
    client.create_bucket(Bucket=bucket)
    homes = sorted((sources / PHOTOS).iterdir())[:20]
    photos = {f"{home.name}/{path.name}": path for home in homes for path in home.iterdir()}
    single = sorted((sources / FACES).iterdir())[:40]
    faces = {f"{path.name.removesuffix('_face.png')}/{path.name}": path for path in single}
    for source, found in (("faces_only", faces), ("reidnet_v2", photos)):
        for key, path in found.items():
            at = f"{PREFIXES[source]}/{key}"
            client.put_object(Bucket=bucket, Key=at, Body=path.read_bytes())

    made = make_project(tmp_path / "project")
    config = "dataset/reidnet_v3.yaml"
    made.conf(config, (ROOT / "conf" / config).read_text())
    made.datasets(**lax("reidnet_v3"))
    samples = merged(made, "reidnet_v3")
    kept = samples.filter(pl.col("reason").is_null())
    assert (len(kept), kept["identity"].n_unique()) == (len(photos), len(homes))
    assert Counter(samples["reason"])["identity_too_small"] == len(faces)
    prefix = f"/{bucket}/{PREFIXES['reidnet_v2']}"
    assert proxy.gets == {f"{prefix}/{key}": 1 for key in photos}

    proxy.forget()
    made.datasets(**lax("reidnet_v3", "merge.min_images=1"))
    merged(made, "reidnet_v3")
    prefix = f"/{bucket}/{PREFIXES['faces_only']}"
    assert proxy.gets == {f"{prefix}/{key}": 1 for key in faces}


# The generator


def test_the_true_plan_has_the_users_figures():
    found = counts(Plan())
    assert (len(found), sum(found)) == (102_491, 430_143)
    assert min(found) == LEAST
    assert 40 <= max(found) <= MOST
    assert Counter(found).most_common(1)[0][0] == LEAST


@pytest.mark.parametrize("photos", [2 * 80, 50 * 80])
def test_a_plan_may_be_as_thin_or_thick_as_its_bounds(photos: int):
    assert set(counts(Plan(0, 80, photos))) == {photos // 80}


def test_images_are_valid_and_distinct_and_the_same_in_every_run(sources: Path, tmp_path: Path):
    generate(tmp_path, PLAN, workers=1)
    seen: dict[str, set[str]] = defaultdict(set)
    for path in sorted(sources.rglob("*.*g")):
        data = path.read_bytes()
        assert (tmp_path / path.relative_to(sources)).read_bytes() == data
        image = Image.open(BytesIO(data))
        form = {".png": "PNG", ".jpg": "JPEG"}[path.suffix]
        assert (image.format, image.mode, image.size) == (form, "RGB", (112, 112))
        seen[form].add(sha256(image.tobytes()).hexdigest())
    assert {form: len(pixels) for form, pixels in seen.items()} == {"PNG": 300, "JPEG": 336}
    lengths = [path.stat().st_size for path in (sources / PHOTOS).rglob("*.jpg")]
    assert 6_000 < sum(lengths) / len(lengths) < 7_000
