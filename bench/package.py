"""Time writing packages beside the writers that people have, from the same images.

    python -m bench.package [--images 100000] [--rounds 3] [--data /dev/shm/bench-package]

Ours is all of ``package.write``: workers' start, manifest, checksums, and every image read back and
compared. Peers only write. Nothing is deleted before the end: ext4 makes new files at half its
speed after that. Peers that are not installed are left out of the table.
"""

import argparse
import io
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from PIL import Image

from imagemill import package, packs
from imagemill.engine import Engine, processes
from imagemill.package.annotations import Annotations
from imagemill.packs import Member
from imagemill.tables import MANIFEST, PLACES
from tests import draw, make
from tests.packaging import FOLDER, HDF5, USUAL, facts

SIDE, QUALITY = 112, 86  # of the JPEGs: about 6 KB
LABELS = 100
PACK = 64 << 20
SHARD = 1000  # samples
SEED_CHUNK = 100  # images that the seed's loop holds
WORKERS = 2

FORMATS: dict[str, dict[str, Any]] = {
    "webdataset": {"webdataset": {"shard_images": SHARD}},
    "hdf5": {"hdf5": {**HDF5, "width": 128, "height": 128, "mode": "L", "filter": "bilinear"}},
    "hdf5 encoded": {"hdf5": {**HDF5, "store": "encoded"}},
    "imagefolder": {"imagefolder": {**FOLDER, "pack_bytes": PACK}},
    "mds": {"mds": {"shard_images": SHARD}},
    "litdata": {"litdata": {"shard_images": SHARD}},
    "parquet": {"parquet": {"shard_images": SHARD}},
}


class Images:
    """The same images three ways: as packs, as files in folders, and as a list of places."""

    def __init__(self, root: Path, count: int) -> None:
        self.packs, self.folder = root / "packs", root / "folder"
        self.places = self._made(root, count)
        rows = self.places.with_row_index("n")
        number = pl.col("n")
        split = pl.when(number % 5 == 0).then(pl.lit("test")).otherwise(pl.lit("train"))
        label = pl.format("{}", (number * 7919 % LABELS).cast(pl.String).str.zfill(3))
        self.rows = rows.with_columns(split.alias("split"), label.alias("label"))
        self._fill(self.folder)

    def _made(self, root: Path, count: int) -> pl.DataFrame:
        self.packs.mkdir(parents=True, exist_ok=True)
        made = root / "places.parquet"
        if made.exists():
            return pl.read_parquet(made)
        with ProcessPoolExecutor() as pool:
            data = {make.sha(each): each for each in pool.map(jpeg, range(count), chunksize=256)}
        members = (Member(f"{key}.jpg", key, len(data[key])) for key in sorted(data))
        rows = []
        for pack in packs.plan(members, PACK):
            packs.write(pack, self.packs, lambda member: data[member.digest])
            rows += [(m.digest, pack.name, at, m.length) for m, at in pack.offsets()]
        places = pl.DataFrame(rows, PLACES.columns, orient="row")
        places.write_parquet(made)
        return places

    def _fill(self, folder: Path) -> None:
        for n, split, label, data in self.each():
            path = folder / split / label / f"{n:07}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(data)

    def each(self) -> Iterator[tuple[int, str, str, bytes]]:
        """Yield number, split, label and bytes, straight from the packs."""
        columns = ("n", "split", "label", "pack", "offset", "length")
        with packs.Reader(self.packs) as reader:
            for n, split, label, *place in self.rows.select(columns).iter_rows():
                yield n, split, label, reader.read(*place)

    def given(self) -> package.Input:
        """Return what our package is made of, with the facts that ``measure`` leaves."""
        known = facts([data for *_, data in self.each()])
        rows = self.rows.with_columns(
            pl.format("a/{}", "n").alias("sample"),
            pl.lit("a").alias("source"),
            pl.col("n").cast(pl.String).alias("key"),
            pl.col("n").cast(pl.String).str.zfill(7).alias("name"),
            pl.lit("keep").alias("verdict"),
        )
        missing = {k: pl.lit(None, v) for k, v in MANIFEST.columns.items() if k not in rows.columns}
        manifest = rows.with_columns(**missing).select(*MANIFEST.columns)
        source = package.Source(self.places, known, self.packs)
        return package.Input(manifest, source, Annotations())


def jpeg(number: int) -> bytes:
    target = io.BytesIO()
    draw.photo(number, SIDE, SIDE).save(target, "JPEG", quality=QUALITY)
    return target.getvalue()


def ours(formats: dict[str, Any], given: package.Input, out: Path) -> None:
    config = package.Config.model_validate({**USUAL, "formats": formats})
    engine = Engine(partial(processes, WORKERS), 8 * WORKERS)
    (out / "package").mkdir(parents=True)
    making = package.recipe(config, ())
    package.write(given, config, making, out / "package", out / "memo", engine)


def shard_writer(images: Images, out: Path) -> None:
    import webdataset  # noqa: PLC0415 (a peer)

    writers = {
        split: webdataset.ShardWriter(f"{out}/{split}-%06d.tar", maxcount=SHARD, verbose=0)
        for split in ("train", "test")
    }
    for n, split, label, data in images.each():
        writers[split].write({"__key__": f"{label}/{n:07}", "jpg": data, "cls": int(label)})
    for writer in writers.values():
        writer.close()


def seed_loop(images: Images, out: Path) -> None:
    """Write as the seed does, mended: the given split, and ``resize`` before it appends."""
    held: dict[str, list[tuple[Any, int]]] = {"train": [], "test": []}

    def append(file: h5py.File, split: str) -> None:
        pixels = np.array([each for each, _ in held[split]]).reshape(-1, 128, 128, 1)
        labels = np.array([label for _, label in held[split]])
        if f"{split}_images" not in file:
            shape = (None, 128, 128, 1)
            file.create_dataset(f"{split}_images", data=pixels, maxshape=shape, chunks=True)
            file.create_dataset(f"{split}_labels", data=labels, maxshape=(None,), chunks=True)
        else:
            for name, values in ((f"{split}_images", pixels), (f"{split}_labels", labels)):
                file[name].resize(file[name].shape[0] + len(values), axis=0)
                file[name][-len(values) :] = values
        held[split].clear()

    with h5py.File(out / "dataset.h5", "a") as file:
        for path in sorted(images.folder.rglob("*.jpg")):
            split, label = path.parts[-3:-1]
            image = Image.open(path).convert("L").resize((128, 128))
            held[split].append((np.array(image), int(label)))
            if len(held[split]) >= SEED_CHUNK:
                append(file, split)
        for split, rest in held.items():
            if rest:
                append(file, split)


def copytree(images: Images, out: Path) -> None:
    shutil.copytree(images.folder, out / "copy")


def mds_writer(images: Images, out: Path) -> None:
    from streaming import MDSWriter  # noqa: PLC0415 (a peer)

    columns = {"image": "bytes", "label": "int"}
    writers = {s: MDSWriter(columns=columns, out=str(out / s)) for s in ("train", "test")}
    for _, split, label, data in images.each():
        writers[split].write({"image": data, "label": int(label)})
    for writer in writers.values():
        writer.finish()


def litdata_writer(images: Images, out: Path) -> None:
    from litdata.streaming.writer import BinaryWriter  # noqa: PLC0415 (a peer)

    writers = {s: BinaryWriter(str(out / s), chunk_size=SHARD) for s in ("train", "test")}
    counts = dict.fromkeys(writers, 0)
    for _, split, label, data in images.each():
        writers[split][counts[split]] = {"image": data, "label": int(label)}
        counts[split] += 1
    for writer in writers.values():
        writer.done()
        writer.merge()


def datasets_writer(images: Images, out: Path) -> None:
    import datasets  # noqa: PLC0415 (a peer)

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    for split in ("train", "test"):

        def rows(split: str = split) -> Iterator[dict[str, Any]]:
            for _, of, label, data in images.each():
                if of == split:
                    yield {"image": {"bytes": data, "path": None}, "label": int(label)}

        made = datasets.Dataset.from_generator(
            rows, features=features, cache_dir=str(out / "cache"), gen_kwargs=None
        )
        made.to_parquet(str(out / f"{split}.parquet"))


Peer = Callable[[Images, Path], None]

PEERS: dict[str, tuple[str, str, Peer]] = {
    "webdataset": ("webdataset.ShardWriter", "webdataset", shard_writer),
    "hdf5": ("the seed's loop, mended", "h5py", seed_loop),
    "imagefolder": ("shutil.copytree", "shutil", copytree),
    "mds": ("streaming.MDSWriter", "streaming", mds_writer),
    "litdata": ("litdata's BinaryWriter", "litdata", litdata_writer),
    "parquet": ("datasets, to_parquet", "datasets", datasets_writer),
}
"""By format: name, module that it needs, and how it writes."""


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compared(images: Images, rounds: int, root: Path, chosen: list[str]) -> None:
    given = images.given()
    count = len(images.rows)
    for name in chosen:
        told, module, peer = PEERS.get(name, ("", "", None))
        installed = peer is not None and find_spec(module) is not None
        mine: list[float] = []
        theirs: list[float] = []
        for number in range(rounds):
            place = root / f"{name.replace(' ', '-')}{number}"
            works = {"a": lambda place=place, name=name: ours(FORMATS[name], given, place / "ours")}
            if installed:
                (place / "peer").mkdir(parents=True)
                works["b"] = lambda place=place, peer=peer: peer(images, place / "peer")
            for key in sorted(works, reverse=bool(number % 2)):
                (mine if key == "a" else theirs).append(timed(works[key]))
        rate = count / statistics.median(mine)
        ratios = [b / a for a, b in zip(mine, theirs, strict=False)]
        said = f"| {name} | {statistics.median(mine):.1f} s, {rate:,.0f}/s |"
        if ratios:
            low, high, middle = min(ratios), max(ratios), statistics.median(ratios)
            rate = count / statistics.median(theirs)
            said += f" {told}: {statistics.median(theirs):.1f} s, {rate:,.0f}/s |"
            said += f" {middle:.2f} ({low:.2f} to {high:.2f}) |"
        print(said, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time writing packages; see bench/README.md.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--data", type=Path, default=Path("/dev/shm"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data) as folder:
        root = Path(folder)
        images = Images(root, given.images)
        mean = images.rows["length"].mean()
        print(f"{given.images:,} images of {mean:,.0f} B\n", flush=True)
        print("| format | ours | peer | ratio |\n|---|---|---|---|", flush=True)
        compared(images, given.rounds, root, given.formats)
        print(json.dumps({"images": given.images, "rounds": given.rounds}))


if __name__ == "__main__":
    main()
