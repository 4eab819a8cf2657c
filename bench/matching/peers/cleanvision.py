"""CleanVision's exact and near duplicates. They have no score: sets of one pHash each."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from cleanvision import Imagelab

from bench.matching.peers import Pair, main

ISSUES = ("exact_duplicates", "near_duplicates")


def find(images: Path, limit: float = 0) -> Iterable[Pair]:  # noqa: ARG001 (it takes none)
    lab = Imagelab(data_path=str(images))
    lab.find_issues({issue: {} for issue in ISSUES}, verbose=False)
    return copies(lab)


def copies(lab: Imagelab) -> Iterable[Pair]:
    sets = [each for issue in ISSUES for each in lab.info[issue]["sets"]]
    names = ([Path(path).name for path in each] for each in sets)
    return [(a, b, 0.0) for each in names for a, b in combinations(each, 2)]


if __name__ == "__main__":
    main(find)
