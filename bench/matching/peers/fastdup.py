"""fastdup's similar images; its defaults are two neighbours an image and a similarity of 0.9.

With a limit 60 neighbours are asked for, since so many copies of one photo may be there. The
distance is 1 - similarity.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import fastdup

from bench.matching.peers import Pair, main

NEIGHBOURS = 60  # asked for with a limit


def find(images: Path, limit: float | None = None) -> Iterable[Pair]:
    wish = {} if limit is None else {"nearest_neighbors_k": NEIGHBOURS, "threshold": 1 - limit}
    with tempfile.TemporaryDirectory() as work:
        run = fastdup.create(work_dir=work, input_dir=str(images))
        run.run(overwrite=True, print_summary=False, **wish)
        found = run.similarity()
    columns = ("filename_from", "filename_to", "distance")
    rows = zip(*(found[column] for column in columns), strict=True)
    return [(Path(a).name, Path(b).name, 1 - float(likeness)) for a, b, likeness in rows]


if __name__ == "__main__":
    main(find)
