"""Pixels as peers store them: raw tensors of LitData, raw arrays of MDS. In the peers' venv."""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image


def litdata(images: list[Path], out: Path) -> None:
    from litdata.streaming.writer import BinaryWriter

    out.mkdir()
    writer = BinaryWriter(str(out), chunk_bytes="64MB")
    for number, path in enumerate(images):
        pixels = torch.from_numpy(
            np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1).copy()
        )
        writer[number] = {"image": pixels, "label": int(path.parent.name)}
    writer.done()
    writer.merge()


def mds(images: list[Path], out: Path) -> None:
    from streaming import MDSWriter

    columns = {"image": "ndarray", "label": "int"}
    with MDSWriter(columns=columns, out=str(out)) as writer:
        for path in images:
            pixels = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1).copy()
            writer.write({"image": pixels, "label": int(path.parent.name)})


def main() -> None:
    from bench.matching.peers.torchvision_alone import torchvision_alone

    torchvision_alone()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    images = sorted((folder / "folders").glob("*/*.jpg"))
    for write in (litdata, mds):
        out = folder / f"{write.__name__}-pixels"
        if not (out / "index.json").exists():
            write(images, out)


if __name__ == "__main__":
    main()
