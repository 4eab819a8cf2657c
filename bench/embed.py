"""How well the cosine of embeddings tells edited copies from other photos, and what a vector costs.

    python -m bench.matching.plant PHOTOS PLANTED
    python -m bench.embed PLANTED opennsfw "pool: mean, power: 1" opennsfw ""

PLANTED is a folder that bench.matching.plant fills; then come choices of ``conf/embedder``, each
with the settings to change. A threshold is one that a given share of the pairs of two originals
passes; the recall is the share of needles that pass it with their own original.
"""

import csv
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import TypeAdapter

from imagemill import embed

CONF = Path(__file__).parents[1] / "conf/embedder"
RATES = (1e-2, 1e-3, 1e-4, 1e-5)

Vectors = dict[str, NDArray[np.float32]]


def vectors(folder: Path, choice: str, changed: str) -> tuple[Vectors, float]:
    """Return the vector of each image, and the CPU milliseconds that one took."""
    settings = yaml.safe_load((CONF / f"{choice}.yaml").read_text())
    settings |= yaml.safe_load(f"{{{changed}}}")
    embedder: embed.Embedder = TypeAdapter(embed.Choice).validate_python(settings)
    model, spent, found = embedder.load(), 0.0, {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        start = time.process_time()
        found[path.name] = model([upright])[0]
        spent += time.process_time() - start
    return found, 1000 * spent / len(found)


def thresholds(originals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine that each of ``RATES`` of all pairs of originals passes."""
    cosines = (originals @ originals.T)[np.triu_indices(len(originals), 1)]
    return np.quantile(cosines, 1 - np.array(RATES)).astype(np.float32)


def recalls(folder: Path, choice: str, changed: str) -> None:
    """Print a table: the recall of each edit at each rate."""
    found, cost = vectors(folder / "images", choice, changed)
    passed = thresholds(np.stack([row for name, row in found.items() if name.startswith("o_")]))
    own = defaultdict(list)
    with (folder / "truth.csv").open() as file:
        for row in csv.DictReader(file):
            own[row["edit"]].append(found[row["needle"]] @ found[row["original"]])
    print(f"\n{choice} {changed}: {cost:.1f} ms of CPU an image\n")
    print("| edit | " + " | ".join(f"{rate:.0e}" for rate in RATES) + " |")
    print("|---" * (len(RATES) + 1) + "|")
    print("| threshold | " + " | ".join(f"{each:.3f}" for each in passed) + " |")
    shares = {
        edit: np.mean(np.array(each)[:, None] >= passed, axis=0) for edit, each in own.items()
    }
    for edit, share in {**shares, "**mean**": np.mean(list(shares.values()), axis=0)}.items():
        print(f"| {edit} | " + " | ".join(f"{each:.3f}" for each in share) + " |")


if __name__ == "__main__":
    given = iter(sys.argv[2:])
    for choice, changed in zip(given, given, strict=True):
        recalls(Path(sys.argv[1]), choice, changed)
