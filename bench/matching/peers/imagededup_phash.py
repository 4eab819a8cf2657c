"""imagededup's PHash; its default is 10 bits."""

from collections.abc import Iterable
from pathlib import Path

from bench.matching.peers import Pair, main
from bench.matching.peers.torchvision_alone import torchvision_alone

torchvision_alone()

from imagededup.methods import PHash  # noqa: E402


def find(images: Path, limit: float = 10) -> Iterable[Pair]:
    found = PHash(verbose=False).find_duplicates(
        image_dir=str(images), max_distance_threshold=int(limit), scores=True
    )
    return [(a, b, float(bits)) for a, near in found.items() for b, bits in near]


if __name__ == "__main__":
    main(find)
