"""Make a folder of pictures of 32x32 in which some are edited copies of others.

Arguments and output are those of ``bench.matching.plant``. A copy is cut again from the larger part
that its original was made of, so that a shift brings in what lay beside, as in sets of small
pictures that were gathered twice from larger ones:

    python -m bench.matching.plant_small PARTS TO [--seed 1] [--each 60]
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from bench.matching.edits import EDITS as LARGE
from bench.matching.plant import Needle, write_truth

SIDE = 32
PIXEL = 4  # of a part, that make one of a picture
MARGIN = 16  # of a part around what its picture shows

Window = Callable[[Generator], tuple[float, float, float, float]]


def shift(pixels: float) -> Window:
    """Move the window by so many pixels of 32 in one of eight directions."""

    def window(random: Generator) -> tuple[float, float, float, float]:
        steps = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
        x, y = steps[int(random.integers(len(steps)))]
        return x * pixels * PIXEL, y * pixels * PIXEL, 1, 1

    return window


def scale(percent: int, *, squash: bool = False) -> Window:
    """Show so much more or less, or so much more or less of the height alone."""

    def window(random: Generator) -> tuple[float, float, float, float]:
        factor = 1 + percent / 100 * (1 if random.integers(2) else -1)
        return 0, 0, 1 if squash else factor, factor

    return window


WINDOWS: dict[str, Window] = {
    **{f"shift-{n}": shift(n) for n in (0.5, 1, 2, 4)},
    **{f"scale-{n}": scale(n) for n in (5, 10, 20)},
    "squash-10": scale(10, squash=True),
}
COLOURS = (
    "mirror",
    "rotate-10-cut",
    "jpeg-30",
    "jpeg-70",
    "blur-1.5",
    "noise-0.05",
    "brightness-0.7-1.3",
    "brightness-0.4-1.7",
    "contrast-0.7-1.4",
    "contrast-0.4-2",
    "saturation-0.3-2",
    "hue-20",
    "greyscale",
    "border",
)
CHAINS = (
    ("shift-1", "brightness-0.7-1.3"),
    ("shift-2", "mirror"),
    ("shift-2", "contrast-0.7-1.4", "saturation-0.3-2"),
    ("scale-10", "brightness-0.7-1.3", "mirror"),
    ("squash-10", "hue-20"),
)
EDITS = [(name,) for name in (*WINDOWS, *COLOURS, "other-filter")] + list(CHAINS)


def small(part: Image.Image, steps: tuple[str, ...], random: Generator) -> Image.Image:
    """Return the picture of a part after the steps; without any, the original."""
    left, top, wide, high = 0.0, 0.0, 1.0, 1.0
    for step in steps:
        if step in WINDOWS:
            left, top, wide, high = WINDOWS[step](random)
    inner = part.width - 2 * MARGIN
    x, y = part.width / 2 + left, part.height / 2 + top
    box = (x - inner * wide / 2, y - inner * high / 2, x + inner * wide / 2, y + inner * high / 2)
    filters = Image.Resampling
    way = filters.BILINEAR if "other-filter" in steps else filters.LANCZOS
    pixels = np.asarray(part.resize((SIDE, SIDE), way, box=box))
    for step in steps:
        if step in COLOURS:
            pixels = LARGE[step](pixels, random)
    return Image.fromarray(pixels)


def planned(originals: list[str], seed: int, each: int) -> Iterator[Needle]:
    random = np.random.default_rng(seed)
    for steps in EDITS:
        edit = "+".join(steps)
        for n, at in enumerate(random.choice(len(originals), each, replace=False)):
            yield Needle(f"n_{edit}_{n:03}.png", originals[at], edit, edit)


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant copies among pictures of 32x32.")
    parser.add_argument("parts", type=Path)
    parser.add_argument("to", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=60)
    given = parser.parse_args()
    (given.to / "images").mkdir(parents=True, exist_ok=True)
    parts = {f"o_{path.name}": path for path in sorted(given.parts.glob("*.png"))}
    needles = list(planned(list(parts), given.seed, given.each))
    files = [(name, name, ()) for name in parts]
    files += [(n.needle, n.original, tuple(n.steps.split("+"))) for n in needles]
    for number, (name, original, steps) in enumerate(files):
        with Image.open(parts[original]) as part:
            picture = small(part, steps, np.random.default_rng((given.seed, number)))
        picture.save(given.to / "images" / name)
    write_truth(given.to, needles)
    print(f"{given.to}: {len(needles):,} needles among {len(parts):,}")


if __name__ == "__main__":
    main()
