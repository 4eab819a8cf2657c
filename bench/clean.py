"""How long a million samples take to judge, with an audit, people's verdicts, rules and pairs.

``python -m bench.clean [SAMPLES]`` makes a project with the tables of such a dataset, runs the
stage as DVC would, in a process of its own, and prints its time and memory.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import yaml

from imagemill.config.compose import resolve
from imagemill.config.project import Project
from imagemill.reviews import rows
from imagemill.reviews.file import HEADER
from imagemill.tables import EMBEDDINGS, FACTS, PAIRS, SAMPLES, THUMBS, VERDICTS, Table
from stages.config import SECTIONS

ROOT = Path(__file__).parents[1]
LABELS = 1000

CONFIG = """\
# @package _global_
# Made-up tables, for their number alone.
defaults:
  - /source@sources.album: folder
  - /layout@sources.album.layout: imagefolder
  - /audit@clean.audits.visual_layer: visual_layer
  - override /clean: reviewed
  - override /leaks: given
about: {title: Many}
sources:
  album:
    path: album
    layout: {folders: [split, label]}
clean:
  audits: {visual_layer: {path: audits/many.csv}}
  max_removed_share: {split: null, label: null}
"""


def make(root: Path, count: int) -> None:
    """Write the tables and files that ``clean`` reads of ``count`` samples."""
    chance = np.random.default_rng(0)
    for name in ("stages", "src"):
        (root / name).symlink_to(ROOT / name)
    digests = [sha256(str(at).encode()).hexdigest() for at in range(count)]
    keys = [f"train/class{at % LABELS}/{at:08}.jpg" for at in range(count)]
    data = root / "data" / "many"
    for stage in ("scan/tables", "merge", "measure", "match"):
        (data / stage).mkdir(parents=True)
    (data / "scan/tables/names.json").write_text("[]")
    _write(SAMPLES, data / "merge", _samples(keys, digests, chance))
    _write(FACTS, data / "measure", _facts(digests, chance))
    _write(PAIRS, data / "match", _pairs(digests, count // 20, chance))
    for table in (EMBEDDINGS, THUMBS):
        table.write(data / "measure", table.frame())
    _audit(root / "audits", keys, count // 10, chance)
    _reviews(root / "reviews", digests, count // 20, chance)


def _write(table: Table, folder: Path, frame: pl.DataFrame) -> None:
    missing = [pl.lit(None, kind).alias(n) for n, kind in table.columns.items() if n not in frame]
    typed = frame.with_columns(missing).select(
        pl.col(name).cast(kind) for name, kind in table.columns.items()
    )
    table.write(folder, typed)


def _samples(keys: list[str], digests: list[str], chance: np.random.Generator) -> pl.DataFrame:
    split = np.where(chance.random(len(keys)) < 0.9, "train", "test")
    frame = pl.DataFrame({"key": keys, "digest": digests, "split": split})
    return frame.with_columns(
        source=pl.lit("album"),
        sample="album/" + pl.col("key"),
        label=pl.col("key").str.extract(r"/(.+)/"),
        name=pl.col("key").str.extract(r"([^/.]+)\\.jpg"),
    )


def _facts(digests: list[str], chance: np.random.Generator) -> pl.DataFrame:
    count = len(digests)
    hashes = chance.integers(0, 1 << 63, (count, 8), dtype=np.uint64)
    return pl.DataFrame(
        {
            "digest": digests,
            "width": chance.integers(180, 900, count),
            "height": chance.integers(180, 900, count),
            "bytes": chance.integers(1000, 90_000, count),
            "sharpness": chance.random(count) * 900,
            "brightness": 0.05 + 0.9 * chance.random(count),
            "entropy": 2.9 + 5.1 * chance.random(count),
            "saturation": chance.random(count),
            "pixels": digests,
            "phash": pl.Series(hashes).arr.to_list(),
        }
    ).with_columns(
        format=pl.lit("JPEG"), mode=pl.lit("RGB"), frames=1, quality=90, gps=False, exif=False
    )


def _pairs(digests: list[str], count: int, chance: np.random.Generator) -> pl.DataFrame:
    ends = chance.integers(0, len(digests), (count, 2))
    both = [sorted((digests[a], digests[b])) for a, b in ends.tolist() if a != b]
    frame = pl.DataFrame(both, ["a", "b"], orient="row").unique()
    return frame.with_columns(
        tier=pl.lit("perceptual"), distance=3, transform=pl.lit("none"), score=0.95
    )


def _audit(folder: Path, keys: list[str], count: int, chance: np.random.Generator) -> None:
    folder.mkdir()
    lines = ["image_id,image_path,label,issue_type,confidence,suggested_label,reason"]
    for at in chance.integers(0, len(keys), count).tolist():
        kind = ("mislabel", "outlier", "blur")[at % 3]
        label = f"class{at % 7}" if kind == "mislabel" else ""
        what = f"{kind},{at % 100 / 100},{label},odd"
        lines.append(f"{at},/data/many/{keys[at]},class{at % LABELS},{what}")
    (folder / "many.csv").write_text("\n".join(lines) + "\n")


def _reviews(folder: Path, digests: list[str], count: int, chance: np.random.Generator) -> None:
    folder.mkdir()
    said = []
    for number, at in enumerate(chance.integers(0, len(digests), count).tolist()):
        action = ("keep", "remove", "relabel")[number % 3]
        label = "class7" if action == "relabel" else ""
        time_ = f"2026-11-21T09:{number // 60 % 60:02}:{number % 60:02}Z"
        who = ("ann", "bob")[number % 2]
        said.append(rows.line(rows.Review(digests[at], "", "", (), action, label, who, time_)))
    (folder / "many.csv").write_text(HEADER + "\n" + "".join(said))


def run(root: Path) -> tuple[float, float, float]:
    """Run the stage; return its seconds, seconds of processors, and MB at most."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-m", "stages.clean", "many"], cwd=root, env=env, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used, after.ru_maxrss / 1024


def main(count: int) -> None:
    """Print the figures of three runs."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, count)
        (root / "params.yaml").write_text(yaml.safe_dump({"datasets": {"many": []}}))
        _conf(root)
        resolved = resolve(Project(root), "many", SECTIONS)
        (root / "data/many/config.yaml").write_text(yaml.safe_dump(resolved))
        for _ in range(3):
            wall, used, memory = run(root)
            print(f"{count:,} samples: {wall:.1f} s, {used:.1f} s of processors, {memory:,.0f} MB")
        verdicts = VERDICTS.read(root / "data/many/clean")["verdict"].value_counts().sort("verdict")
        print(json.dumps(dict(verdicts.iter_rows())))


def _conf(root: Path) -> None:
    shutil.copytree(ROOT / "conf", root / "conf")
    (root / "conf/dataset/many.yaml").write_text(CONFIG)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
