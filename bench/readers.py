"""Read packages with the libraries that are too heavy for the tests, and compare every sample.

    python -m bench.readers

LitData and MosaicML's streaming need torch; RecordIO is read by MXNet's own C++ library, which no
Python of today imports whole: ``pip install mx-recordio`` and the ``libmxnet.so`` of the wheel
``mxnet==1.9.1`` in ``MXNET_LIBRARY_PATH`` (and its folder in ``LD_LIBRARY_PATH``). What is not
installed is said and left out.
"""

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bench.package import without_torchvision
from tests import make
from tests.packaging import ALL, Build
from tests.test_package_formats import expected, mixed

Found = dict[str, int]
"""Label by hash of the image's bytes."""


def litdata(folder: Path) -> Found:
    from litdata import StreamingDataset  # noqa: PLC0415 (not everywhere)

    data = StreamingDataset(str(folder))
    samples = (data[n] for n in range(len(data)))
    return {make.sha(bytes(each["image"])): each["label"] for each in samples}


def mds(folder: Path) -> Found:
    """Return labels by hash; images come decoded, so that the shard's own bytes are asked for."""
    from streaming import LocalDataset  # noqa: PLC0415 (not everywhere)

    data = LocalDataset(local=str(folder))
    found = {}
    for n in range(len(data)):
        sample = data[n]
        assert sample["image"].size[1] == 20  # decoded by streaming itself
        shard, at = data.spanner[n]
        raw = data.shards[shard].get_sample_data(at)
        length = int.from_bytes(raw[:4], "little")
        found[make.sha(raw[16 : 16 + length])] = sample["label"]
    return found


def recordio(folder: Path) -> Found:
    from mx_recordio import recordio as mxnet  # noqa: PLC0415 (not everywhere)

    records = mxnet.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "r")
    header, _ = mxnet.unpack(records.read_idx(0))
    pairs = (mxnet.unpack(records.read_idx(n)) for n in range(1, int(header.label[0])))
    return {make.sha(image): int(said.label) for said, image in pairs}


READERS: dict[str, tuple[str, Callable[[Path], Found]]] = {
    "litdata": ("litdata", litdata),
    "mds": ("streaming", mds),
    "recordio": ("mx_recordio", recordio),
}
"""By format: the module that reads it, and how."""


def main() -> None:
    without_torchvision()
    rows = mixed()
    with tempfile.TemporaryDirectory() as folder:
        build = Build(Path(folder) / "build")
        build.write(rows, **{name: ALL[name] for name in READERS})
        for name, (module, read) in READERS.items():
            if find_spec(module) is None:
                print(f"{name}: {module} is not installed")
                continue
            for split in ("train", "test"):
                found = read(build.out / name / split)
                said = "all right" if found == expected(rows, split) else "WRONG"
                print(f"{name}: {split}: {len(found)} images read by {module}: {said}")


if __name__ == "__main__":
    main()
