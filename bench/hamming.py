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

from imagemill import match
from imagemill.engine import Engine, processes
from imagemill.match import hamming
from imagemill.tables import FACTS

CONFIG = match.Config(radius=8, min_score=0.92, min_texture=6.0)
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


def images(count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Facts and thumbnails of made-up images, one in a hundred a copy of another with noise."""
    numbers = np.random.default_rng(0)
    thumbs = numbers.integers(0, 256, (count, 1024), dtype=np.uint8)
    hashes = numbers.integers(0, 2**64, (count, 8), dtype=np.uint64)
    few = count // 100
    noise = numbers.integers(-9, 10, (few, 1024))
    thumbs[:few] = np.clip(thumbs[few : 2 * few] + noise, 0, 255)
    hashes[:few] = hashes[few : 2 * few] ^ (
        np.uint64(1) << numbers.integers(0, 64, (few, 1)).astype(np.uint64)
    )
    digests = [f"{number:064x}" for number in numbers.permutation(count)]
    known = pl.DataFrame({"digest": digests, "pixels": digests, "phash": hashes})
    known = known.with_columns(pl.col("phash").cast(pl.List(pl.UInt64)))
    absent = [pl.lit(None, kind).alias(name) for name, kind in FACTS.columns.items()]
    facts = known.with_columns(
        each for each in absent if each.meta.output_name() not in known.columns
    )
    return (
        facts.select(*FACTS.columns).sort("digest"),
        pl.DataFrame({"digest": digests, "thumb": [bytes(each) for each in thumbs]}).sort("digest"),
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
    facts, thumbs = images(count + 1)
    engine = Engine(partial(processes, None), 16)
    with tempfile.TemporaryDirectory() as folder:
        known = match.known(Path(folder), CONFIG)
        for name, least in (("from nothing", 1), ("one image more", 0), ("nothing new", 0)):
            some = (facts[least:], thumbs[least:])
            timed(f"match, {name}", partial(match.find, *some, CONFIG, known, engine))


if __name__ == "__main__":
    main()
