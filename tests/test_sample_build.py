"""The sample dataset, built: every planted problem is caught by the stage that owns it."""

import os
import tarfile
from pathlib import Path

import polars as pl
import pytest

from imagemill import images
from imagemill.report.truth import caught
from imagemill.tables import FACTS, LEAKS, LISTING, MANIFEST, PAIRS, SAMPLES, VERDICTS
from tests.conftest import ROOT, build_all, make_project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folders of a build of ``sample``."""
    project = make_project(tmp_path_factory.mktemp("sample") / "project")
    project.conf("dataset/sample.yaml", (ROOT / "conf/dataset/sample.yaml").read_text())
    project.datasets(sample=[])
    before = Path.cwd()
    os.chdir(project.root)
    try:
        build_all("sample")
    finally:
        os.chdir(before)
    return project.root / "data/sample"


@pytest.fixture(scope="module")
def truth(built: Path) -> pl.DataFrame:
    return pl.read_parquet(built / "scan/tables/truth.parquet")


def test_every_planted_problem_is_caught_and_no_clean_image_is_flagged(
    built: Path, truth: pl.DataFrame
) -> None:
    table = caught(MANIFEST.read(built / "leaks"), truth)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
        print(table)
    assert table["missed"].sum() == 0
    assert table["planted"].sum() == len(truth)
    clean = truth.filter(problem="none")
    manifest = MANIFEST.read(built / "leaks").join(clean, on=["source", "key"], how="semi")
    flagged = manifest.filter(pl.col("flags").list.len() > 0)
    # One that has a copy in the test split says so; nothing else is said of any.
    assert flagged["flags"].explode().unique().to_list() == ["train_test_leak"]
    leaks = LEAKS.read(built / "leaks")
    assert set(flagged["sample"]) == (set(leaks["a"]) | set(leaks["b"])) - set(leaks["removed"])


def reasons(built: Path) -> dict[str, pl.DataFrame]:
    """Return what each stage's own table says: sample and reason."""
    samples = SAMPLES.read(built / "merge")
    facts = FACTS.read(built / "measure").select("digest", "reason")
    sample = pl.concat_str("source", pl.lit("/"), "key").alias("sample")
    many = pl.col("reasons").alias("reason")
    return {
        "scan": LISTING.read(built / "scan").select(sample, "reason"),
        "merge": samples.select("sample", "reason"),
        "measure": samples.select("sample", "digest").join(facts, on="digest").drop("digest"),
        "clean": VERDICTS.read(built / "clean").select("sample", many).explode("reason"),
        "leaks": MANIFEST.read(built / "leaks").select("sample", many).explode("reason"),
    }


def test_the_stage_that_owns_a_problem_is_the_one_that_finds_it(
    built: Path, truth: pl.DataFrame
) -> None:
    said = reasons(built)
    order = list(said)
    out = truth.filter(pl.col("outcome").is_in(["remove", "skip"]))
    for source, key, stage, reason in out.select("source", "key", "stage", "reason").iter_rows():
        sample = f"{source}/{key}"
        for name in order[: order.index(stage)]:
            assert said[name].filter(sample=sample, reason=reason).is_empty(), (sample, name)
        assert not said[stage].filter(sample=sample, reason=reason).is_empty(), (sample, stage)


def test_copies_are_found_in_the_tier_that_can_see_them(built: Path, truth: pl.DataFrame) -> None:
    digests = dict(SAMPLES.read(built / "merge").select("sample", "digest").iter_rows())
    pairs = PAIRS.read(built / "match")
    tiers = {frozenset((a, b)): tier for a, b, tier in pairs.select("a", "b", "tier").iter_rows()}
    copies = truth.filter(pl.col("of") != "", pl.col("tier") != "bytes")
    copies = copies.with_columns(pl.col("tier").replace("keypoints", "perceptual"))
    for source, key, of, tier in copies.select("source", "key", "of", "tier").iter_rows():
        pair = frozenset((digests[f"{source}/{key}"], digests[of]))
        assert tiers.get(pair) == tier, key


def test_no_two_unlike_images_are_paired(built: Path, truth: pl.DataFrame) -> None:
    digests = dict(SAMPLES.read(built / "merge").select("sample", "digest").iter_rows())
    planted = {
        frozenset((digests[f"{source}/{key}"], digests[of]))
        for source, key, of in truth.filter(pl.col("of") != "").select("source", "key", "of").rows()
    }
    pairs = PAIRS.read(built / "match").select("a", "b").iter_rows()
    assert {frozenset(pair) for pair in pairs} <= planted


def test_images_are_read_upright(built: Path, truth: pl.DataFrame) -> None:
    samples = SAMPLES.read(built / "merge").select("source", "key", "digest")
    facts = FACTS.read(built / "measure").select("digest", "width", "height")
    read = truth.rename({"width": "said_w", "height": "said_h"}).join(
        samples.join(facts, on="digest"), on=["source", "key"]
    )
    turned = read.filter(pl.col("problem").str.starts_with("orientation_"))
    assert len(turned) == 8
    sizes = turned.select("width", "height", "said_w", "said_h").cast(pl.Int64).rows()
    assert all((w, h) == (said_w, said_h) for w, h, said_w, said_h in sizes)


def test_colliding_names_bear_their_source_in_the_package(built: Path, truth: pl.DataFrame) -> None:
    planted = truth.filter(problem="name_collision")
    manifest = MANIFEST.read(built / "leaks").join(planted, on=["source", "key"], how="semi")
    assert len(manifest) == 4
    for source, name in manifest.select("source", "name").iter_rows():
        assert name.endswith(f"_{source}")


def test_no_packaged_image_tells_where_or_by_whom_it_was_taken(built: Path) -> None:
    limits = images.Limits(max_pixels=1_000_000, max_bytes=1_000_000)
    found = 0
    for pack in (built / "package/imagefolder").glob("*.tar"):
        with tarfile.open(pack) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file
                header = images.header(file.read(), limits)
                assert (header.exif, header.gps, header.orientation) == (False, False, 1)
                found += 1
    assert found == len(MANIFEST.read(built / "leaks").filter(verdict="keep"))
