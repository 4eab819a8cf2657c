"""Time writing packages beside the writers that people have, from the same images.

    python -m bench.package [--images 100000] [--rounds 2] [--data /dev/shm] [--formats ...]

Ours is all of ``package.write`` in two processes: their start, manifest, checksums, and every image
read back and compared. Peers are the plain loop that people write, and only write. ``alone`` is our
writer of a format by itself, as peers do it: in one process, nothing read back. In seconds, and in
processor time of all processes, which a busy machine changes less.

Peers that are not installed are left out of the table. MDS and LitData need torch; they stand in
``requirements`` of no extra: ``pip install litdata mosaicml-streaming`` into an environment of
their own and run this there.
"""

import argparse
import io
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import polars as pl
from PIL import Image

from imagemill import package, packs
from imagemill.engine import Engine, processes
from imagemill.package import imagefolder, litdata, mds, parquet, shards, shelf, webdataset
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
BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC

GREY = {**HDF5, "width": 128, "height": 128, "mode": "L"}

FORMATS: dict[str, dict[str, Any]] = {
    "webdataset": {"webdataset": {"shard_images": SHARD}},
    "hdf5": {"hdf5": {**HDF5, "width": 128, "height": 128, "mode": "L", "filter": "bilinear"}},
    "hdf5 encoded": {"hdf5": {**HDF5, "store": "encoded"}},
    "hdf5 bicubic": {
        "hdf5": {**HDF5, "width": 128, "height": 128, "mode": "L", "filter": "bicubic"}
    },
    "imagefolder": {"imagefolder": {**FOLDER, "pack_bytes": PACK}},
    "imagefolder unpacked": {"imagefolder": {"pack_bytes": PACK, "unpacked": True}},
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


def alone(name: str, images: Images, out: Path) -> None:
    """Write the shards of a format as peers do: in this process, and nothing else."""
    shard, suffix = ALONE[name]
    rows = images.rows.with_columns(
        pl.lit("jpg").alias("suffix"),
        pl.format("{}/{}/{}", "split", "label", "n").alias("name"),
        pl.col("label").cast(pl.Int32).alias("class"),
        pl.lit(0, pl.Int32).alias("copy"),
    )
    rows = rows.with_columns(pl.format("{}.jpg", "name").alias("member"), sample="name")
    with packs.Reader(images.packs) as reader:
        for number, part in enumerate(rows.iter_slices(SHARD)):
            said = shelf.values(part, shard.columns) if shard.columns else [()] * len(part)
            held = shards.Shard(part["member"].to_list(), said, part["length"].to_list())
            places = shelf.values(part, ("pack", "offset", "length"))
            data = (reader.read(*place) for place in places)
            shard.write(out / f"{number}.{suffix}", held, data)


ALONE: dict[str, tuple[Any, str]] = {
    "webdataset": (webdataset.Shards(), "tar"),
    "imagefolder": (imagefolder.Packs(), "tar"),
    "mds": (mds.Shards("jpeg"), "mds"),
    "litdata": (litdata.Shards(), "bin"),
    "parquet": (parquet.Shards([f"{n:03}" for n in range(LABELS)]), "parquet"),
}


def shard_writer(images: Images, out: Path) -> None:
    import webdataset as peer  # noqa: PLC0415

    writers = {
        split: peer.ShardWriter(f"{out}/{split}-%06d.tar", maxcount=SHARD, verbose=0)
        for split in ("train", "test")
    }
    for n, split, label, data in images.each():
        writers[split].write({"__key__": f"{label}/{n:07}", "jpg": data, "cls": int(label)})
    for writer in writers.values():
        writer.close()


def seed_loop(images: Images, out: Path, method: Image.Resampling) -> None:
    """Write as the seed does, mended: the given split, ``resize`` before it appends, no image lost.

    What is only slow is left: one image at a time, the file opened for every chunk.
    """
    held: dict[str, list[tuple[Any, int]]] = {"train": [], "test": []}

    def append(split: str) -> None:
        with h5py.File(out / "dataset.h5", "a") as file:
            put(file, split)
        held[split].clear()

    def put(file: h5py.File, split: str) -> None:
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

    for path in sorted(images.folder.rglob("*.jpg")):
        split, label = path.parts[-3:-1]
        image = Image.open(path).convert("L").resize((128, 128), method)
        held[split].append((np.array(image), int(label)))
        if len(held[split]) >= SEED_CHUNK:
            append(split)
    for split in [each for each, rest in held.items() if rest]:
        append(split)


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
    "hdf5": ("the seed's loop, mended", "h5py", partial(seed_loop, method=BILINEAR)),
    "hdf5 bicubic": ("the seed's loop, mended", "h5py", partial(seed_loop, method=BICUBIC)),
    "imagefolder": ("shutil.copytree", "shutil", copytree),
    "imagefolder unpacked": ("shutil.copytree", "shutil", copytree),
    "mds": ("streaming.MDSWriter", "streaming", mds_writer),
    "litdata": ("litdata's BinaryWriter", "litdata", litdata_writer),
    "parquet": ("datasets, to_parquet", "datasets", datasets_writer),
}
"""By format: name, module that it needs, and how it writes."""


def without_torchvision() -> None:
    """Let peers that import torchvision for images that are not used here do without it.

    Where torch is built for processors alone, the usual torchvision does not load.
    """
    try:
        import torchvision  # noqa: F401, PLC0415
    except (ImportError, RuntimeError):
        for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("", ".transforms", ".transforms.functional", ".io", ".datasets"):
            module = types.ModuleType(f"torchvision{name}")
            module.__spec__ = ModuleSpec(module.__name__, None)
            module.__path__ = []
            module.__getattr__ = _nothing  # type: ignore[method-assign]
            sys.modules[module.__name__] = module


def _nothing(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def used() -> float:
    """Return the seconds of processors that this process and its ended children took."""
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in found)


class Timed(NamedTuple):
    """What one run took."""

    seconds: float
    processors: float

    @classmethod
    def of(cls, work: Callable[[], object]) -> "Timed":
        """Run ``work``; what the runs before left to be written to disk is not its part."""
        os.sync()
        begin, before = time.perf_counter(), used()
        work()
        return cls(time.perf_counter() - begin, used() - before)


def compared(images: Images, rounds: int, root: Path, chosen: list[str]) -> None:
    """Print a row for each format. Rounds are paired, and the first of a pair alternates."""
    given = images.given()
    for name in chosen:
        told, module, peer = PEERS.get(name, ("", "", None))
        works: dict[str, Callable[[Path], object]] = {"ours": partial(ours, FORMATS[name], given)}
        if name in ALONE:
            works["alone"] = partial(alone, name, images)
        if peer is not None and find_spec(module) is not None:
            works["peer"] = partial(peer, images)
        runs: dict[str, list[Timed]] = {key: [] for key in works}
        for number in range(rounds):
            for key in sorted(works, reverse=bool(number % 2)):
                place = root / key
                place.mkdir()
                runs[key].append(Timed.of(partial(works[key], place)))
                shutil.rmtree(place)
        print(row(name, told, runs, len(images.rows)), flush=True)


def row(name: str, told: str, runs: dict[str, list[Timed]], count: int) -> str:
    """Return a row of the table."""
    cells = [name]
    for key in ("ours", "alone", "peer"):
        if key not in runs:
            cells.append("-")
            continue
        seconds = statistics.median(each.seconds for each in runs[key])
        spent = statistics.median(each.processors for each in runs[key])
        said = f"{seconds:.1f} s, {count / seconds:,.0f}/s ({spent / count * 1e6:.0f} us)"
        cells.append(f"{told}: {said}" if key == "peer" else said)
    for key in ("ours", "alone"):
        pairs = zip(runs.get(key, []), runs.get("peer", []), strict=False)
        ratios = sorted(theirs.seconds / mine.seconds for mine, theirs in pairs)
        middle = statistics.median(ratios) if ratios else 0
        low_high = f"{middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if ratios else "-"
        cells.append(low_high)
    return f"| {' | '.join(cells)} |"


HEAD = """\
| format | ours (processors, an image) | our writer alone, one process | peer | ratio | alone |
|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time writing packages; see bench/README.md.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--data", type=Path, default=Path("/dev/shm"))
    given = parser.parse_args()
    without_torchvision()
    with tempfile.TemporaryDirectory(dir=given.data) as folder:
        root = Path(folder)
        images = Images(root, given.images)
        mean = images.rows["length"].mean()
        print(f"{given.images:,} images of {mean:,.0f} B\n", flush=True)
        print(HEAD, flush=True)
        compared(images, given.rounds, root, given.formats)
        print(json.dumps({"images": given.images, "rounds": given.rounds}))
