"""Merge the two sources into one ImageFolder as people do by hand, with Python's own modules.

    python bench/reidnet/plain.py SOURCES OUTPUT [--min-images 2]

Scans, counts, and copies the kept files; a name that is taken gets its source appended.
"""

import argparse
import shutil
from collections import defaultdict
from pathlib import Path

SUFFIX = "_face.png"

Found = dict[str, list[tuple[str, Path]]]
"""The images of each identity, with the name of the source."""


def scan_flat(folder: Path, found: Found) -> None:
    for path in folder.iterdir():
        if path.name.endswith(SUFFIX):
            found[path.name.removesuffix(SUFFIX)].append((folder.name, path))


def scan_folders(folder: Path, found: Found) -> None:
    for home in folder.iterdir():
        if home.is_dir():
            for path in home.iterdir():
                found[home.name].append((folder.name, path))


def copy(found: Found, output: Path) -> None:
    for identity, images in found.items():
        home = output / identity
        home.mkdir(parents=True)
        for source, path in images:
            target = home / path.name
            if target.exists():
                target = home / f"{path.stem}_{source}{path.suffix}"
            shutil.copy2(path, target)


def main() -> None:
    parser = argparse.ArgumentParser(description="Merge two sources by copying files.")
    parser.add_argument("sources", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--min-images", type=int, default=2)
    given = parser.parse_args()
    found: Found = defaultdict(list)
    scan_flat(given.sources / "faces_only", found)
    scan_folders(given.sources / "reidnet_v2_training_data", found)
    kept = {name: images for name, images in found.items() if len(images) >= given.min_images}
    copy(kept, given.output)
    images = sum(map(len, kept.values()))
    print(f"Total identities: {len(kept):,}")
    print(f"Total images: {images:,}")
    print(f"Skipped (too few images): {len(found) - len(kept):,}")


if __name__ == "__main__":
    main()
