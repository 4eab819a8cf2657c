"""Time assigned splits with their check, and tell how near they come to the shares asked for.

The peer is scikit-learn's StratifiedGroupKFold: one fold of five is its test split.

    python -m bench.splits [--samples 1000000]
"""

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from sklearn.model_selection import StratifiedGroupKFold

from imagemill import leaks, splits
from imagemill.config.compose import resolve
from imagemill.config.project import Project
from imagemill.splits import even
from imagemill.tables import PAIRS, SAMPLES, VERDICTS, Table
from stages.config import SECTIONS
from tests.conftest import ROOT

THREE = {"train": 0.8, "val": 0.1, "test": 0.1}
SHARES = ([0.8, 0.2], [0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.25] * 4)


def config(**assign: object) -> leaks.Config:
    """Return the config of ``leaks=assigned``, with other values below ``assign``."""
    found = resolve(Project(ROOT), "solar", SECTIONS)["leaks"]
    usual = {"together": ["copies", "group"], "fractions": THREE}
    return leaks.Config.model_validate({**found, "assign": {**found["assign"], **usual, **assign}})


def drawn(count: int, group: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw samples of 1,000 labels of very different sizes, and 5 pairs for each 100."""
    numbers = np.random.default_rng(0)
    digests = [sha256(b"%d" % n).hexdigest() for n in range(count)]
    names = [f"album/{n}" for n in range(count)]
    label = (numbers.zipf(1.3, count) % 1000).astype(str)
    rows = pl.DataFrame({"sample": names, "digest": digests, "label": label}).with_columns(
        group=pl.format("g{}", pl.int_range(pl.len()) // group) if group else None
    )
    ends = np.sort(numbers.integers(0, count, (count // 20, 2)), axis=1)
    known = pl.Series(digests)
    found = pl.DataFrame({"a": known.gather(ends[:, 0]), "b": known.gather(ends[:, 1])})
    return rows, found.filter(pl.col("a") != pl.col("b")).with_columns(tier=pl.lit("perceptual"))


def full(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with all columns of the table, null where it has none."""
    absent = [
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in table.columns.items()
        if name not in frame.columns
    ]
    return frame.with_columns(absent).select(*table.columns)


def assign(count: int, group: int = 0, **more: object) -> str:
    rows, pairs = drawn(count, group)
    given = full(SAMPLES, rows.cast({"group": pl.String}))
    chosen = config(**more).assign
    return timed(lambda: spread(splits.assign(given, pairs, chosen)))


def spread(found: pl.DataFrame) -> str:
    sizes = found.group_by("split").len().sort("split", descending=True)
    return ", ".join(f"{split} {count:,}" for split, count in sizes.iter_rows())


def split_and_check(count: int) -> str:
    rows, pairs = drawn(count)
    samples = full(SAMPLES, rows.cast({"group": pl.String}))
    empty = pl.lit([], pl.List(pl.String))
    judged = rows.with_columns(verdict=pl.lit("keep"), reasons=empty, flags=empty)
    verdicts = full(VERDICTS, judged)
    found = full(PAIRS, pairs.with_columns(distance=pl.lit(3, pl.Int32), score=pl.lit(1.0)))
    found = found.cast(dict(PAIRS.columns))  # type: ignore[arg-type]
    chosen = config()

    def work() -> str:
        made = leaks.decide(samples, verdicts, found, chosen)
        with TemporaryDirectory() as out:
            leaks.write(Path(out), made, chosen, "album", leaks.Benchmarks([], Path(out), [], 8))
        return f"{len(made.left)} leaks left"

    return timed(work)


def one_more(count: int) -> str:
    rows, pairs = drawn(count)
    samples = full(SAMPLES, rows.cast({"group": pl.String}))
    chosen = config().assign
    before = splits.assign(samples[1:], pairs, chosen).select("sample", before="split")
    held = samples.join(before, on="sample").select("digest", split="before")

    def work() -> str:
        after = splits.assign(samples, pairs, chosen, held).join(before, on="sample")
        return f"{after.filter(pl.col('split') != pl.col('before')).height} moved"

    return timed(work)


def timed(work: Callable[[], str]) -> str:
    start, spent = time.perf_counter(), time.process_time()
    said = work()
    wall, cpu = time.perf_counter() - start, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{wall:.1f} s | {cpu:.1f} s | {peak:,.0f} MB | {said}"


def alone(work: Callable[[], str]) -> str:
    """Run ``work`` in a process of its own, for its own peak of memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as one:
        return one.submit(work).result()


def grouped(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups: senders of very different sizes, patients, boxes of many classes."""
    count, groups, labels, pure = {
        "senders": (5_000, 300, 20, 0.3),
        "patients": (20_000, 2_000, 8, 0.7),
        "few groups": (1_000, 40, 5, 0.5),
        "many classes": (20_000, 8_000, 80, 0.2),
    }[kind]
    numbers = np.random.default_rng(seed)
    group = numbers.integers(0, groups, count)
    if kind == "senders":
        group = np.minimum(numbers.zipf(1.5, count), 3 * groups) % groups
    own, other = numbers.zipf(1.4, groups) % labels, numbers.zipf(1.4, count) % labels
    return np.where(numbers.random(count) < pure, own[group], other), group


def ours(label: np.ndarray, group: np.ndarray) -> np.ndarray:
    names = [f"{n}" for n in range(len(label))]
    rows = pl.DataFrame(
        {
            "sample": names,
            "digest": [sha256(name.encode()).hexdigest() for name in names],
            "label": label.astype(str),
            "group": group.astype(str),
            "identity": pl.Series([None] * len(label), dtype=pl.String),
        }
    )
    none = pl.DataFrame(schema={"a": pl.String, "b": pl.String})
    chosen = config(fractions={"train": 0.8, "test": 0.2}).assign
    return (splits.assign(rows, none, chosen)["split"] == "test").to_numpy()


def theirs(label: np.ndarray, group: np.ndarray) -> np.ndarray:
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels with fewer images than folds
        _, test = next(folds.split(label, label, group))
    return np.isin(np.arange(len(label)), test)


def off(label: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    """How far the test split is from a fifth: of all, and of its labels by their weight."""
    whole = np.bincount(label)
    share = np.bincount(label[test], minlength=len(whole)) / np.maximum(whole, 1)
    return abs(test.mean() - 0.2), float(np.average(abs(share - 0.2), weights=whole))


def worst(shares: list[float], largest: int) -> float:
    """Return how far over all the worst of 600 random sets is off, in largest units."""
    numbers = np.random.default_rng(1)
    return max(_off_over_all(numbers, np.array(shares), largest) for _ in range(600))


def _off_over_all(numbers: np.random.Generator, shares: np.ndarray, largest: int) -> float:
    labels, count = int(numbers.integers(1, 40)), int(numbers.integers(1, 300))
    label = numbers.zipf(1.3, count) % labels
    if numbers.random() < 0.5:
        label = numbers.integers(0, labels, count)
    amount = numbers.integers(1, largest + 1, count)
    parts = pl.DataFrame({"unit": np.arange(count), "label": label, "count": amount})
    fixed = np.zeros((labels, len(shares)), np.int64)
    found = even.draw(parts, numbers.random(count), fixed, shares, spread=False)
    have = np.bincount(found, amount, len(shares))
    return float(abs(have - shares * amount.sum()).max() / amount.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    count = parser.parse_args().samples
    print("| what | wall | processor | peak memory | |\n|---|---|---|---|---|")
    for what, work in {
        "even": partial(assign, count),
        "hashed": partial(assign, count, draw="hashed"),
        "even, groups of 3": partial(assign, count, 3),
        "even, 5 folds": partial(assign, count, folds=5),
        "frozen, one sample more": partial(one_more, count),
        "split, check, write all": partial(split_and_check, count),
    }.items():
        print(f"| {what} | {alone(work)} |", flush=True)
    print("\n| groups of | all | labels | scikit-learn: all | labels |\n|---|---|---|---|---|")
    for kind in ("senders", "patients", "few groups", "many classes"):
        sets = [grouped(kind, seed) for seed in range(10)]
        figures = [np.mean([off(y, way(y, g)) for y, g in sets], axis=0) for way in (ours, theirs)]
        print(f"| {kind} | " + " | ".join(f"{each:.2%}" for each in np.concatenate(figures)) + " |")
    print("\n| shares | units of 1 | of 1 to 10 |\n|---|---|---|")
    for shares in SHARES:
        print(f"| {shares} | {worst(shares, 1):.2f} | {worst(shares, 10):.2f} |")


if __name__ == "__main__":
    main()
