"""CleanVision's whole audit, as it comes: blur, darkness, size and the like, and copies."""

from collections.abc import Iterable
from pathlib import Path

from cleanvision import Imagelab

from bench.matching.peers import Pair, main
from bench.matching.peers.cleanvision import copies


def find(images: Path, limit: float = 0) -> Iterable[Pair]:  # noqa: ARG001 (it takes none)
    lab = Imagelab(data_path=str(images))
    lab.find_issues(verbose=False)
    return copies(lab)


if __name__ == "__main__":
    main(find)
