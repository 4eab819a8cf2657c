"""The two sources of the users' local merge, with their own names, counts and layouts."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np

from bench.reidnet.draw import faces, photos
from imagemill.engine import processes

FACES, PHOTOS = "faces_only", "reidnet_v2_training_data"  # folders below the root
LEAST, MOST = 2, 50  # photos of an identity
SPREAD = 0.5  # shape of the distribution: the smaller, the more have few and some have many
BATCH = 2_000  # files that one task writes
DONE = "generated.json"


@dataclass(frozen=True)
class Plan:
    """How much to write."""

    faces: int = 390_856
    """Files of the flat folder, each of an identity that has no other."""
    identities: int = 102_491
    """Folders of the other one."""
    photos: int = 430_143
    """Files in those, LEAST to MOST each."""
    seed: int = 0

    def scaled(self, share: float) -> "Plan":
        """Return a plan of that share of everything."""
        counts = (self.faces, self.identities, self.photos)
        return Plan(*(round(each * share) for each in counts), self.seed)


def generate(root: Path, plan: Plan, workers: int = 2) -> None:
    """Write both sources below ``root``, unless an earlier run has."""
    said = json.dumps(asdict(plan))
    done = root / DONE
    if done.exists() and done.read_text() == said:
        return
    (root / FACES).mkdir(parents=True, exist_ok=True)
    (root / PHOTOS).mkdir(exist_ok=True)
    with processes(workers) as pool:
        for each in (
            pool.map(partial(_write_faces, root / FACES, plan), range(0, plan.faces, BATCH)),
            pool.map(partial(_write_photos, root / PHOTOS, plan.seed), *_batches(plan)),
        ):
            list(each)
    done.write_text(said)


def counts(plan: Plan) -> list[int]:
    """Return how many photos each identity has: few have many, and the sum is the plan's."""
    random = np.random.default_rng(plan.seed)
    more = plan.photos / plan.identities - LEAST
    drawn = random.negative_binomial(SPREAD, SPREAD / (SPREAD + more), plan.identities)
    found = np.minimum(LEAST + drawn, MOST)
    while left := plan.photos - int(found.sum()):
        movable = np.flatnonzero(found < MOST if left > 0 else found > LEAST)
        chosen = random.permutation(movable)[: abs(left)]
        found[chosen] += np.sign(left)
    return [int(each) for each in found]


def identity(seed: int, number: int) -> str:
    """Return the name of a folder: 32 hexadecimal digits."""
    return sha256(f"{seed} identity {number}".encode()).hexdigest()[:32]


def file(seed: int, kind: str, number: int) -> str:
    """Return the stem of a file's name: 24 hexadecimal digits."""
    return sha256(f"{seed} {kind} {number}".encode()).hexdigest()[:24]


def _batches(plan: Plan) -> tuple[list[int], list[int], list[list[int]]]:
    """Return for each task its first identity, its first photo, and the counts of identities."""
    firsts, numbers, parts = [], [], []
    first, number, rest = 0, 0, iter(counts(plan))
    while part := list(islice(rest, BATCH // 4)):
        firsts.append(first)
        numbers.append(number)
        parts.append(part)
        first, number = first + len(part), number + sum(part)
    return firsts, numbers, parts


def _write_faces(folder: Path, plan: Plan, first: int) -> None:
    numbers = range(first, min(first + BATCH, plan.faces))
    drawn = faces(np.random.default_rng([plan.seed, 1, first]), len(numbers))
    for number, data in zip(numbers, drawn, strict=True):
        (folder / f"{file(plan.seed, 'face', number)}_face.png").write_bytes(data)


def _write_photos(folder: Path, seed: int, first: int, number: int, parts: list[int]) -> None:
    drawn = _drawn(np.random.default_rng([seed, 2, first]))
    for place, count in enumerate(parts, first):
        home = folder / identity(seed, place)
        home.mkdir(exist_ok=True)
        for one in range(number, number + count):
            (home / f"{file(seed, 'photo', one)}.jpg").write_bytes(next(drawn))
        number += count


def _drawn(random: np.random.Generator) -> Iterator[bytes]:
    """Yield photos without end, drawn some at a time."""
    while True:
        yield from photos(random, 64)
