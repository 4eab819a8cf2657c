"""Our own pairs, from the stages that a build runs: scan, download, merge, measure, match."""

import shutil
from pathlib import Path

import polars as pl

from bench.matching.truth import PAIRS
from tests.conftest import ROOT, Project, make_project

STAGES = ("config", "scan", "download", "merge", "measure", "match")

DATASET = """\
# @package _global_
# Photos and planted copies in one folder.
defaults:
  - /source@sources.photos: folder
  - /layout@sources.photos.layout: flat
about: {{title: Planted copies}}
sources:
  photos: {{path: {images}, layout: {{pattern: "(?P<label>.).*"}}}}
"""


def project(root: Path, images: Path, overrides: list[str], like: Path = ROOT) -> Project:
    """Make a project with one dataset, ``photos``, of the files of a folder."""
    shutil.rmtree(root, ignore_errors=True)
    made = make_project(root, like)
    made.conf("dataset/photos.yaml", DATASET.format(images=images.resolve()))
    made.datasets(photos=overrides)
    return made


def run(made: Project) -> pl.DataFrame:
    """Run the stages; return every pair of files, with its ``tier`` and 1 - score as distance.

    Files of equal bytes, which ``match`` sees as one image, are pairs of the tier ``bytes``.
    """
    for stage in STAGES:
        made.run("python", "-m", f"stages.{stage}", "photos")
    data = made.root / "data" / "photos"
    samples = pl.read_parquet(data / "merge" / "samples.parquet", columns=["key", "digest"])
    return _by_file(pl.read_parquet(data / "match" / "pairs.parquet"), samples.drop_nulls())


def _by_file(pairs: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    files = [samples.rename({"key": side, "digest": f"digest_{side}"}) for side in ("a", "b")]
    equal = files[0].join(files[1], left_on="digest_a", right_on="digest_b")
    equal = (
        equal.filter(pl.col("a") < pl.col("b"))
        .select("a", "b")
        .with_columns(pl.lit(0.0).alias("distance"), pl.lit("bytes").alias("tier"))
    )
    found = pairs.select("tier", digest_a="a", digest_b="b", distance=1 - pl.col("score"))
    found = found.join(files[0], on="digest_a").join(files[1], on="digest_b")
    found = found.with_columns(pl.min_horizontal("a", "b"), pl.max_horizontal("a", "b").alias("z"))
    found = found.select("a", pl.col("z").alias("b"), "distance", "tier")
    return pl.concat([found.cast(PAIRS, strict=False), equal]).sort("a", "b")
