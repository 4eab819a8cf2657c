"""Every loader as its own documentation has it: batches of float32 images 0..1 and long labels.

All give each image once, in batches of ``BATCH``, shuffled as far as they can.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

BATCH = 64
BUFFER = 1000  # samples that a stream is shuffled in
Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def _loaded(dataset: Any, workers: int, **more: Any) -> Batches:
    keep = workers > 0
    return DataLoader(dataset, BATCH, num_workers=workers, persistent_workers=keep, **more)


def _ours(part: str) -> Callable[[Path, int], Batches]:
    def made(folder: Path, workers: int) -> Batches:
        import imagemill.torch

        return imagemill.torch.Loader(folder / part, BATCH, shuffle=True, workers=workers)

    return made


def ours_in_dataloader(folder: Path, workers: int) -> Batches:
    import imagemill.torch

    dataset = imagemill.torch.Dataset(folder / "all/hdf5")
    return _loaded(dataset, workers, shuffle=True, collate_fn=imagemill.torch.collate)


def imagefolder(folder: Path, workers: int) -> Batches:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import ToTensor

    return _loaded(ImageFolder(str(folder / "folders"), ToTensor()), workers, shuffle=True)


def webdataset(folder: Path, workers: int) -> Batches:
    import webdataset as wds
    from torchvision.transforms import ToTensor

    shards = sorted(str(path) for path in (folder / "all/webdataset/train").glob("*.tar"))
    dataset = (
        wds.WebDataset(shards, shardshuffle=len(shards), nodesplitter=wds.split_by_node)
        .shuffle(BUFFER)
        .decode("pil")
        .to_tuple("jpg", "cls")
        .map_tuple(ToTensor(), int)
        .batched(BATCH)
    )
    keep = workers > 0
    return wds.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=keep)


def litdata(folder: Path, workers: int) -> Batches:
    from io import BytesIO

    from litdata import StreamingDataLoader, StreamingDataset
    from PIL import Image
    from torchvision.transforms import ToTensor

    class Photos(StreamingDataset):
        as_tensor = ToTensor()

        def __getitem__(self, index: Any) -> Any:
            row = super().__getitem__(index)
            return self.as_tensor(Image.open(BytesIO(row["image"])).convert("RGB")), row["label"]

    dataset = Photos(str(folder / "all/litdata/train"), shuffle=True)
    keep = workers > 0
    return StreamingDataLoader(
        dataset, batch_size=BATCH, num_workers=workers, persistent_workers=keep
    )


def litdata_pixels(folder: Path, workers: int) -> Batches:
    from litdata import StreamingDataLoader, StreamingDataset

    class Photos(StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            row = super().__getitem__(index)
            return row["image"].float().div_(255), row["label"]

    dataset = Photos(str(folder / "litdata-pixels"), shuffle=True)
    keep = workers > 0
    return StreamingDataLoader(
        dataset, batch_size=BATCH, num_workers=workers, persistent_workers=keep
    )


def mds(folder: Path, workers: int) -> Batches:
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory
    from torchvision.transforms import ToTensor

    class Photos(StreamingDataset):
        as_tensor = ToTensor()

        def __getitem__(self, at: Any) -> Any:
            row = super().__getitem__(at)
            return self.as_tensor(row["image"].convert("RGB")), row["label"]

    clean_stale_shared_memory()
    dataset = Photos(local=str(folder / "all/mds/train"), shuffle=True, batch_size=BATCH)
    return _loaded(dataset, workers)


def mds_pixels(folder: Path, workers: int) -> Batches:
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    class Photos(StreamingDataset):
        def __getitem__(self, at: Any) -> Any:
            row = super().__getitem__(at)
            return torch.from_numpy(row["image"].copy()).float().div_(255), row["label"]

    clean_stale_shared_memory()
    dataset = Photos(local=str(folder / "mds-pixels"), shuffle=True, batch_size=BATCH)
    return _loaded(dataset, workers)


def datasets(folder: Path, workers: int) -> Batches:
    import datasets as hf
    from torchvision.transforms import ToTensor

    as_tensor = ToTensor()

    def read(rows: dict[str, Any]) -> dict[str, Any]:
        return {**rows, "image": [as_tensor(each.convert("RGB")) for each in rows["image"]]}

    rows = hf.load_dataset(
        str(folder / "all/parquet"), split="train", cache_dir=str(folder / "cache")
    ).select_columns(["image", "label"])

    def joined(batch: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.stack([row["image"] for row in batch])
        return images, torch.tensor([row["label"] for row in batch])

    return _loaded(rows.with_transform(read), workers, shuffle=True, collate_fn=joined)


class FromHdf5(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """As tutorials have it: h5py opened by each worker, an image at a time."""

    def __init__(self, path: Path) -> None:
        import h5py

        self.path, self.file = path, None
        with h5py.File(path) as file:
            self.labels = file["train_labels"][:]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        import h5py

        if self.file is None:
            self.file = h5py.File(self.path)
        pixels = torch.from_numpy(self.file["train_images"][at]).permute(2, 0, 1)
        return pixels.float().div_(255).contiguous(), torch.tensor(self.labels[at])


def h5py_pixels(folder: Path, workers: int) -> Batches:
    return _loaded(FromHdf5(folder / "raw/hdf5/dataset.h5"), workers, shuffle=True)


OURS: dict[str, Callable[[Path, int], Batches]] = {
    "HDF5 raw": _ours("raw/hdf5"),
    "HDF5 encoded": _ours("all/hdf5"),
    "webdataset": _ours("all/webdataset"),
    "packs": _ours("all/imagefolder"),
    "HDF5 encoded, in DataLoader": ours_in_dataloader,
}

FILES: dict[str, Callable[[Path, int], Batches]] = {
    "ImageFolder": imagefolder,
    "webdataset's": webdataset,
    "LitData": litdata,
    "MDS": mds,
    "datasets": datasets,
}
"""Peers that read JPEGs."""

PIXELS: dict[str, Callable[[Path, int], Batches]] = {
    "LitData, pixels": litdata_pixels,
    "MDS, pixels": mds_pixels,
    "h5py, pixels": h5py_pixels,
}
"""Peers that read pixels, as our raw HDF5 does; it is compared with them too."""

ALL = {**OURS, **FILES, **PIXELS}
