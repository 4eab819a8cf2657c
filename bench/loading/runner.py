"""One loader in a process of its own: an epoch for each line that it is sent."""

import argparse
import json
import os
import sys
import time
from hashlib import sha256
from pathlib import Path

import torch


def contents(batches: object) -> dict[str, object]:
    """Return what an epoch holds, whatever its order."""
    seen: list[bytes] = []
    kinds: set[str] = set()
    for images, labels in batches:  # type: ignore[attr-defined]
        pixels = (images * 255).round().to(torch.uint8)
        kinds.add(f"{images.dtype} {labels.dtype} {tuple(images.shape[1:])}")
        kinds.add("" if images.is_contiguous() else "not contiguous")
        for image, label in zip(pixels, labels.tolist(), strict=True):
            seen.append(sha256(image.numpy().tobytes() + str(label).encode()).digest())
    joined = sha256(b"".join(sorted(seen))).hexdigest()
    return {"images": len(seen), "contents": joined, "kinds": sorted(kinds - {""})}


def timed(batches: object) -> dict[str, object]:
    """Return how long an epoch takes."""
    begin, worked, count = time.perf_counter(), busy(), 0
    for images, _ in batches:  # type: ignore[attr-defined]
        count += len(images)
    seconds = time.perf_counter() - begin
    return {"images": count, "seconds": seconds, "busy": busy() - worked}


def busy() -> float:
    """Return the processor time, in seconds, of this process and all that it has started."""
    times: dict[int, tuple[int, int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        times[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    mine = {os.getpid()}
    while more := {pid for pid, (parent, _) in times.items() if parent in mine} - mine:
        mine |= more
    return sum(times[pid][1] for pid in mine) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    from bench.matching.peers.torchvision_alone import torchvision_alone

    torchvision_alone()
    # An image at a time is too little for several threads, which then only wait for one another.
    torch.set_num_threads(1)
    from bench.loading.loaders import ALL

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("workers", type=int)
    given = parser.parse_args()
    say = sys.stdout
    sys.stdout = sys.stderr  # where peers print, too
    batches = ALL[given.name](given.folder, given.workers)
    for line in sys.stdin:
        answer = contents(batches) if line.strip() == "contents" else timed(batches)
        print(json.dumps(answer), file=say, flush=True)


if __name__ == "__main__":
    main()
