"""Time the search for near hashes, and matching with all and with one image more.

The peer is a full comparison in NumPy, timed on a part of the hashes and scaled up. Beside wall
time stands processor time, which other work on the machine disturbs less.

    python -m bench.hamming [--hashes 1000000]
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from xxhash import xxh3_128_digest

from imagemill import match
from imagemill.config import load
from imagemill.engine import Engine, processes
from imagemill.match import hamming
from imagemill.tables import COLOURS_SIDE, EMBEDDINGS, FACTS, KEYPOINTS, THUMB_SIDE

CONFIG = match.Config(
    **load(Path("conf/match/default.yaml"))
    | {"calibration": {"file": None, "embedder": None, "keypoints": None}}
)
SIDES = {"width": 500, "height": 400}
PART = 2000  # hashes that the peer compares with all


def planted(count: int) -> np.ndarray:
    """Random hashes; every second one a dozen bits, or fewer, from another."""
    numbers = np.random.default_rng(0)
    hashes = numbers.integers(0, 2**64, count, dtype=np.uint64)
    half = count // 2
    hashes[:half] = hashes[half : 2 * half]
    for _ in range(12):
        hashes[:half] ^= np.uint64(1) << numbers.integers(0, 64, half, dtype=np.uint64)
    return np.unique(hashes)


def images(count: int) -> match.Measured:
    """Return what is measured of made-up images, one in a hundred a copy of another with noise."""
    numbers = np.random.default_rng(0)
    thumbs = numbers.integers(0, 256, (count, THUMB_SIDE**2), dtype=np.uint8)
    hashes = numbers.integers(0, 2**64, (count, 8), dtype=np.uint64)
    few = count // 100
    noise = numbers.integers(-9, 10, (few, THUMB_SIDE**2))
    thumbs[:few] = np.clip(thumbs[few : 2 * few] + noise, 0, 255)
    hashes[:few] = hashes[few : 2 * few] ^ (
        np.uint64(1) << numbers.integers(0, 64, (few, 1)).astype(np.uint64)
    )
    digests = [f"{number:064x}" for number in numbers.permutation(count)]
    known = pl.DataFrame({"digest": digests, "pixels": digests, "phash": hashes})
    sides = [pl.lit(length, pl.Int32).alias(side) for side, length in SIDES.items()]
    known = known.with_columns(
        pl.col("phash").cast(pl.List(pl.UInt64)),
        *sides,
        texture=pl.lit(255 / 12**0.5, pl.Float32),  # of noise
        prints=pl.Series([xxh3_128_digest(bytes(each)) for each in thumbs], dtype=pl.Binary),
    )
    absent = [pl.lit(None, kind).alias(name) for name, kind in FACTS.columns.items()]
    facts = known.with_columns(
        each for each in absent if each.meta.output_name() not in known.columns
    )
    shown = pl.DataFrame({"digest": digests, "thumb": [bytes(each) for each in thumbs]})
    shown = shown.with_columns(pl.lit(bytes(3 * COLOURS_SIDE**2)).alias("colours"))
    return match.Measured(
        facts.select(*FACTS.columns).sort("digest"),
        shown.sort("digest").lazy(),
        EMBEDDINGS.frame(),
        KEYPOINTS.frame(),
    )


def timed(name: str, work: Callable[[], object], times: float = 1) -> None:
    begun, used = time.perf_counter(), processor()
    work()
    wall, spent = time.perf_counter() - begun, processor() - used
    print(f"| {name} | {wall * times:,.1f} | {spent * times:,.1f} | {peak():,} |")


def processor() -> float:
    """Seconds of this process and its workers."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def peak() -> int:
    """MB of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def full(hashes: np.ndarray) -> None:
    for each in hashes[:PART]:
        np.flatnonzero(np.bitwise_count(hashes ^ each) <= 10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hashes", type=int, default=1_000_000)
    count = parser.parse_args().hashes
    print("| what | seconds | processor seconds | MB at most |\n|---|---|---|---|")
    hashes = planted(count)
    for radius in (5, 8, 10):
        search = partial(hamming.within, hashes, radius, match.MOST)
        timed(f"all pairs of {count:,} within {radius} bits", search)
    timed("the same by a full comparison, scaled up", partial(full, hashes), count / PART / 2)
    del hashes
    measured = images(count + 1)
    engine = Engine(partial(processes, None), 16)
    with tempfile.TemporaryDirectory() as folder:
        known = match.known(Path(folder), CONFIG)
        for name, least in (("from nothing", 1), ("one image more", 0), ("nothing new", 0)):
            some = measured._replace(facts=measured.facts[least:])
            timed(f"match, {name}", partial(match.find, some, CONFIG, known, engine))


if __name__ == "__main__":
    main()
