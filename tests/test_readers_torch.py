"""PyTorch reads a package: every row once, alike for any workers, also where they are killed."""

import copy
import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import imagemill
from imagemill.readers import PackageError, WorkerError
from tests.training import COUNT, FORMATS, built, by_sample, pixels, rows

NEEDED = "torch is not installed: pip install torch"
torch: Any = pytest.importorskip("torch", reason=NEEDED)

from torch.utils.data import DataLoader  # noqa: E402 (skipped above where there is none)

from imagemill.torch import Dataset, IterableDataset, Loader, Sampler, collate  # noqa: E402

BATCH = 8
METHODS = ("fork", "spawn", "forkserver")
Batches = list[tuple[Any, Any]]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packages")
    return {name: built(root, name) for name in FORMATS}


@pytest.fixture(scope="module")
def webdataset(packages: dict[str, Path]) -> imagemill.readers.Package:
    return imagemill.open(packages["webdataset"])


def same(one: Batches, other: Batches) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )


def content(batches: Batches) -> list[tuple[bytes, int]]:
    """Return all pixels with their labels, sorted."""
    return sorted(
        ((image * 255).round().to(torch.uint8).numpy().tobytes(), int(label))
        for images, labels in batches
        for image, label in zip(images, labels, strict=True)
    )


def expected(split: str | None = None) -> list[tuple[bytes, int]]:
    order = sorted({row["label"] for row in rows()})
    return sorted(
        (np.moveaxis(pixels(row), 2, 0).tobytes(), order.index(row["label"]))
        for row in rows()
        if split in (None, row["split"])
    )


# What a batch is


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_floats_and_longs_each_row_once(packages, name, workers):
    package = imagemill.open(packages[name])
    package[0]  # what this process has read must not harm its forks
    loader = Loader(package, BATCH, shuffle=True, workers=workers)
    batches = list(loader)
    assert len(batches) == len(loader) == 12
    images, labels = batches[0]
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.shape == (BATCH, 3, 32, 40)
    assert images.is_contiguous()
    assert len(batches[-1][0]) == COUNT % BATCH == 3
    if not name.startswith("hdf5") or name == "hdf5 encoded":  # raw pixels of JPEGs that are grey
        assert content(batches) == expected()
    else:
        assert content(batches) == content(list(Loader(packages["webdataset"], BATCH)))


def test_floats_are_to_the_bit_what_dividing_by_255_gives(webdataset):
    images, _ = next(iter(Loader(webdataset, BATCH)))
    known = by_sample()
    for image, sample in zip(images, webdataset.samples[:BATCH], strict=True):
        plain = torch.from_numpy(pixels(known[sample]).copy()).permute(2, 0, 1)
        assert torch.equal(image, plain.float().div(255))


def test_pixels_come_as_stored_grey_or_resized_where_that_is_asked_for(packages):
    for name in ("hdf5", "webdataset"):
        images, _ = next(iter(Loader(packages[name], 5, dtype=torch.uint8, mode="L")))
        assert (images.dtype, images.shape) == (torch.uint8, (5, 1, 32, 40))
        images, _ = next(iter(Loader(packages[name], 5, size=(10, 12), workers=1)))
        assert images.shape == (5, 3, 10, 12)
        whole, _ = next(iter(Loader(packages[name], 5)))
        assert abs(float(images.mean() - whole.mean())) < 0.01


@pytest.mark.parametrize("workers", [0, 2])
def test_images_of_several_sizes_are_refused_with_what_to_do(tmp_path, workers):
    from tests.test_package_formats import mixed

    path = built(tmp_path, "webdataset", mixed(40))
    loader = Loader(path, BATCH, workers=workers)
    with pytest.raises(PackageError, match=r"give size=|Give size="):
        list(loader)
    assert sum(len(images) for images, _ in Loader(path, BATCH, size=(20, 20))) == 40
    with pytest.raises(PackageError, match="give size="):
        list(DataLoader(Dataset(path), BATCH, collate_fn=collate))
    assert len(list(DataLoader(Dataset(path), BATCH, collate_fn=list))) == 5
    image, _ = Dataset(path)[3]
    assert image.shape[0] == 3


# Order


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_the_same_for_any_number_of_workers_however_they_start(
    webdataset, method, workers
):
    loader = Loader(webdataset, BATCH, shuffle=True, workers=workers, method=method)
    plain = Loader(webdataset, BATCH, shuffle=True)
    assert same(list(loader), list(plain))
    assert same(list(loader), list(plain))  # and in the next epoch, by workers that stayed


@pytest.mark.parametrize("shuffle", ["rows", "shards"])
def test_an_epoch_is_shuffled_by_its_number_and_the_seed(webdataset, shuffle):
    def labels(epoch: int, seed: int = 0) -> list[int]:
        loader = Loader(webdataset, COUNT, shuffle=shuffle, seed=seed)
        loader.set_epoch(epoch)
        ((images, _),) = list(loader)
        return [hash(image.numpy().tobytes()) for image in images]

    first = labels(0)
    assert labels(0) == first
    assert labels(1) != first != labels(0, seed=1)
    assert sorted(labels(1)) == sorted(first)


def test_epochs_follow_one_another_where_none_is_set(webdataset):
    one, other = Loader(webdataset, BATCH, shuffle=True), Loader(webdataset, BATCH, shuffle=True)
    first, second = list(one), list(one)
    assert not same(first, second)
    other.set_epoch(1)
    assert same(list(other), second)


def test_an_iteration_that_was_left_does_not_disturb_the_next(webdataset):
    loader = Loader(webdataset, BATCH, shuffle=True, workers=3)
    for number, _ in enumerate(loader):
        if number == 2:
            break
    assert same(list(loader), list(Loader(webdataset, BATCH, shuffle=True)))


def test_the_last_batch_is_left_out_where_that_is_asked_for(webdataset):
    loader = Loader(webdataset, BATCH, drop_last=True, workers=1)
    assert [len(images) for images, _ in loader] == [BATCH] * 11
    assert len(loader) == 11


def test_a_part_of_a_package_is_loaded_alone(webdataset):
    loader = Loader(webdataset["test"], BATCH, shuffle=True, workers=2)
    assert content(list(loader)) == expected("test")


# Ranks


@pytest.mark.parametrize("shuffle", ["none", "rows", "shards"])
@pytest.mark.parametrize("uneven", ["keep", "drop", "repeat"])
def test_ranks_divide_the_rows(webdataset, shuffle, uneven):
    counts, found = [], []
    for rank in range(3):
        loader = Loader(webdataset, BATCH, shuffle=shuffle, rank=rank, world=3, uneven=uneven)
        loader.set_epoch(2)
        batches = list(loader)
        assert len(batches) == len(loader)
        counts.append(sum(len(images) for images, _ in batches))
        found += content(batches)
    assert counts == {"keep": [31, 30, 30], "drop": [30] * 3, "repeat": [31] * 3}[uneven]
    whole = expected()
    if uneven == "keep":
        assert sorted(found) == whole
    elif uneven == "drop":
        assert len(set(found)) == len(found)
        assert set(found) <= set(whole)
    else:
        assert set(found) == set(whole)


def given_to(rank: int, path: Path, store: Path) -> None:
    """Join two processes, and store what this one is given."""
    spread = torch.distributed
    spread.init_process_group(
        "gloo", store=spread.FileStore(str(store), 2), rank=rank, world_size=2
    )
    found = [
        content(list(loader)) for loader in (Loader(path, BATCH), IterableDataset(path, BATCH))
    ]
    torch.save(found, store.with_name(f"{rank}.pt"))
    spread.destroy_process_group()


def test_ranks_are_those_of_torch_distributed(packages, tmp_path):
    path, store = packages["webdataset"], tmp_path / "store"
    torch.multiprocessing.spawn(given_to, (path, store), nprocs=2)
    for rank in (0, 1):
        known = content(list(Loader(path, BATCH, rank=rank, world=2)))
        assert torch.load(tmp_path / f"{rank}.pt", weights_only=False) == [known, known]


def test_ranks_read_shards_of_their_own(webdataset):
    from imagemill.torch.datasets import starts

    begins = starts(webdataset)
    assert len(begins) > 8
    touched = []
    for rank in range(4):
        loader = Loader(webdataset, BATCH, shuffle="shards", rank=rank, world=4)
        order = loader.order.positions(0, COUNT, begins)
        touched.append(set(np.searchsorted(begins, order, side="right").tolist()))
    assert sum(map(len, touched)) <= len(begins) + 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 0}, "batch_size=0 must be a whole number, 1 or more"),
        ({"batch_size": 2.5}, r"batch_size=2\.5 must be a whole number"),
        ({"workers": -1}, "workers=-1 must be a whole number, 0 or more"),
        ({"seed": -1}, "seed=-1 must be"),
        ({"seed": None}, "seed=None must be"),
        ({"mode": "RGBA"}, "mode='RGBA' is none of 'L', 'RGB'"),
        ({"size": 224}, r"size=224 must be \(height, width\)"),
        ({"size": (0, 5)}, r"size=\(0, 5\) must be"),
        ({"shuffle": "files"}, "shuffle='files' is none of"),
    ],
)
def test_a_setting_that_is_none_is_named(webdataset, settings, said):
    with pytest.raises(PackageError, match=said):
        Loader(webdataset, **{"batch_size": BATCH, **settings})


@pytest.mark.parametrize("shuffle", [False, True, "shards"])
def test_a_part_without_rows_has_no_batches(webdataset, shuffle):
    assert list(Loader(webdataset[:0], BATCH, shuffle=shuffle)) == []


def test_ranks_that_are_none_are_refused(webdataset):
    with pytest.raises(PackageError, match="rank=3 must be from 0 to world - 1 = 2"):
        Loader(webdataset, BATCH, rank=3, world=3)
    with pytest.raises(PackageError, match="give both rank and world"):
        Loader(webdataset, BATCH, rank=0)
    with pytest.raises(PackageError, match="shuffle='all' is none of"):
        Loader(webdataset, BATCH, shuffle="all")


# Resume


@pytest.mark.parametrize("given", [0, 1, 5, 11, 12])
@pytest.mark.parametrize("workers", [0, 3])
def test_a_loader_resumed_gives_exactly_the_rest(webdataset, given, workers):
    whole = Loader(webdataset, BATCH, shuffle=True)
    whole.set_epoch(4)
    batches = list(whole)
    loader = Loader(webdataset, BATCH, shuffle=True, workers=workers)
    loader.set_epoch(4)
    epoch = iter(loader)
    for _ in range(given):
        next(epoch)
    state = loader.state_dict()
    resumed = Loader(webdataset, BATCH, shuffle=True, workers=3 - workers)
    resumed.load_state_dict(state)
    resumed.set_epoch(resumed.epoch)  # as a training's loop does
    assert same(list(resumed), batches[given:])
    assert resumed.epoch == 5
    assert len(list(resumed)) == 12


def test_a_state_outlasts_torch_save(webdataset, tmp_path):
    loader = Loader(webdataset, BATCH)
    next(iter(loader))
    torch.save(loader.state_dict(), tmp_path / "state.pt")
    loader.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert len(list(loader)) == 11


def test_a_state_of_other_rows_or_settings_is_refused(webdataset, tmp_path):
    state = Loader(webdataset, BATCH, shuffle=True).state_dict()
    with pytest.raises(PackageError, match="Make the loader with batch_size=8"):
        Loader(webdataset, 4, shuffle=True).load_state_dict(state)
    more = [{**rows()[0], "key": "new", "label": "ant"}, *rows()[1:]]
    later = Loader(built(tmp_path, "webdataset", more), BATCH, shuffle=True)
    with pytest.raises(PackageError, match=r"other rows[^$]*labels have changed[^$]*\+ 1,ant"):
        later.load_state_dict(state)
    with pytest.raises(PackageError, match="the state is of no Loader"):
        later.load_state_dict(IterableDataset(webdataset, BATCH).state_dict())


# Transforms


def jittered(image: Image.Image) -> Any:
    """Draw from everything that transforms draw from."""
    draws = random.random() + np.random.rand() + float(torch.rand(()))
    return torch.from_numpy(np.asarray(image).copy()).float() * draws


def described(image: Image.Image) -> dict[str, Any]:
    return {"image": torch.zeros(2), "width": image.width}


TESTER = os.getpid()


def failing(image: Image.Image) -> Any:
    """Fail in a worker."""
    if os.getpid() != TESTER:
        raise KeyError("no such thing")
    return torch.zeros(2)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_a_transform_draws_depends_on_the_batch_alone(webdataset, workers):
    def loader(workers: int) -> Loader:
        return Loader(webdataset, BATCH, shuffle=True, transform=jittered, workers=workers)

    random.seed(5), torch.manual_seed(5)
    before = random.getstate(), torch.get_rng_state()
    first, plain = loader(workers), list(loader(0))
    assert same(list(first), plain)
    assert not same(list(first), plain)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("method", METHODS)
def test_a_transform_of_pil_images_is_welcome_however_workers_start(webdataset, method):
    loader = Loader(webdataset, BATCH, transform=ImageOps.mirror, workers=2, method=method)
    plain = list(Loader(webdataset, BATCH))
    assert same(list(loader), [(images.flip(3), labels) for images, labels in plain])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_transform_may_give_anything_that_collates(webdataset, workers):
    loader = Loader(webdataset, BATCH, transform=described, workers=workers)
    batch, labels = next(iter(loader))
    assert batch["image"].shape == (BATCH, 2)
    assert batch["width"].tolist() == [40] * BATCH
    assert len(labels) == BATCH


@pytest.mark.parametrize(("mode", "most"), [("1", 1), ("L", 255), ("RGB", 255), ("F", 1), ("I", 1)])
def test_only_bytes_are_divided_whatever_a_transform_gives(webdataset, mode, most):
    images, _ = next(iter(Loader(webdataset, BATCH, transform=lambda image: image.convert(mode))))
    image, _ = Dataset(webdataset, transform=lambda image: image.convert(mode))[0]
    plain = np.asarray(webdataset[0].image.convert("RGB").convert(mode)).astype(np.float32)
    known = torch.from_numpy(np.atleast_3d(plain)).permute(2, 0, 1).div(most)
    assert torch.equal(images[0], image)
    assert torch.equal(image, known)


def test_a_transform_may_give_a_view(webdataset):
    loader = Loader(webdataset, BATCH, transform=lambda image: np.asarray(image)[:, ::-1])
    dataset = Dataset(webdataset, transform=lambda image: np.asarray(image)[:, ::-1])
    assert torch.equal(dataset[0][0], next(iter(loader))[0][0])


def test_a_transform_that_fails_in_a_worker_says_where(webdataset):
    with pytest.raises(WorkerError, match=r"batch 0:[^$]*in failing[^$]*no such thing"):
        list(Loader(webdataset, BATCH, transform=failing, workers=2, method="fork"))


# Workers that are killed


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_worker_is_an_error_at_once_and_nothing_is_lost(webdataset, method):
    whole = list(Loader(webdataset, 2, shuffle=True))
    loader = Loader(webdataset, 2, shuffle=True, workers=4, method=method)
    found = []
    epoch = iter(loader)
    while len(found) < 3:
        found.append(next(epoch))
    os.kill(loader.pids[1], signal.SIGKILL)
    killed = time.monotonic()
    with pytest.raises(WorkerError, match=r"was killed \(SIGKILL") as caught:
        found.extend(epoch)
    assert time.monotonic() - killed < 10
    assert f"batch {len(found)}" in str(caught.value)
    loader.load_state_dict(loader.state_dict())
    assert same(found + list(loader), whole)


def test_workers_end_with_who_asked_for_them(webdataset):
    import subprocess
    import sys

    code = (
        "import imagemill.torch, os, sys\n"
        f"loader = imagemill.torch.Loader({str(webdataset.path)!r}, 8, workers=3)\n"
        "next(iter(loader)); print(*loader.pids, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 3
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_loader_whose_workers_are_killed_again_and_again_loses_nothing(webdataset):
    from bench.loading.soak import Soak

    seen = Soak(webdataset, workers=4, pause=0.02, seed=3).run(20)
    assert seen.errors > 5
    assert max(seen.waits) < 10
    assert seen.epochs > 0


# torch's own DataLoader


STARTED = [("fork", name) for name in ("hdf5", "hdf5 gzip", "webdataset", "parquet")]
STARTED += [("spawn", "hdf5 gzip"), ("forkserver", "webdataset")]  # each imports torch anew


@pytest.mark.parametrize(("method", "name"), STARTED)
def test_the_map_style_dataset_works_in_dataloader_however_workers_start(packages, name, method):
    dataset = Dataset(packages[name])
    dataset[0]
    plain = list(DataLoader(dataset, BATCH))
    loader = DataLoader(
        dataset, BATCH, num_workers=2, multiprocessing_context=method, collate_fn=collate
    )
    assert same(list(loader), plain)
    assert content(plain) == content(list(Loader(packages[name], BATCH)))


def test_a_row_of_the_map_style_dataset_is_an_image_and_a_label(webdataset):
    dataset = Dataset(webdataset["train"])
    image, label = dataset[-1]
    assert (image.dtype, label.dtype, label.shape) == (torch.float32, torch.int64, ())
    assert (len(dataset), dataset.num_labels) == (68, 3)
    with pytest.raises(IndexError):
        dataset[68]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_iterable_dataset_gives_the_loaders_batches_in_dataloader(webdataset, workers):
    dataset = IterableDataset(webdataset, BATCH, shuffle=True, seed=3)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    plain = Loader(webdataset, BATCH, shuffle=True, seed=3)
    assert len(loader) == 12
    assert same(list(loader), list(plain))
    dataset.set_epoch(1)
    assert same(list(loader), list(plain))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_that_persist_hear_of_the_next_epoch(webdataset, method):
    dataset = copy.deepcopy(IterableDataset(webdataset, BATCH, shuffle=True))
    dataset.load_state_dict({"epoch": 2, "given": 5, "workers": 1})
    dataset.set_epoch(2)
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    plain = Loader(webdataset, BATCH, shuffle=True)
    plain.set_epoch(2)
    assert same(list(loader), list(plain)[5:])
    for epoch in (3, 0):
        plain.set_epoch(epoch)
        dataset.set_epoch(epoch)
        assert same(list(loader), list(plain))


def test_the_iterable_dataset_is_resumed_to_the_batch(webdataset):
    dataset = IterableDataset(webdataset, BATCH, shuffle=True)
    whole = list(dataset)
    epoch = iter(dataset)
    for _ in range(4):
        next(epoch)
    resumed = IterableDataset(webdataset, BATCH, shuffle=True)
    resumed.load_state_dict(dataset.state_dict())
    assert same(list(resumed), whole[4:])
    assert same(list(resumed), whole)


def test_a_state_that_only_workers_know_is_not_made_up(webdataset):
    dataset = IterableDataset(webdataset, BATCH, shuffle=True)
    next(iter(DataLoader(dataset, batch_size=None, num_workers=2)))
    with pytest.raises(PackageError, match="workers read this dataset"):
        dataset.state_dict()
    next(iter(dataset))
    assert dataset.state_dict() == {"epoch": 0, "given": 1, "workers": 1}


def loaded(states: list[dict[str, int]], worker: int) -> None:
    """Give a worker its state, as torchdata does."""
    info = torch.utils.data.get_worker_info()
    info.dataset.load_state_dict(states[worker])


@pytest.mark.parametrize("rounds", [1, 3])
def test_each_worker_of_an_iterable_dataset_goes_on_from_its_own_state(webdataset, rounds):
    dataset = IterableDataset(webdataset, BATCH, shuffle=True)
    whole = list(dataset)
    states = [{"epoch": 0, "given": w + 1 + 3 * (rounds - 1), "workers": 3} for w in range(3)]
    init = partial(loaded, states)
    loader = DataLoader(dataset, batch_size=None, num_workers=3, worker_init_fn=init)
    assert same(list(loader), whole[3 * rounds :])
    dataset.load_state_dict({"epoch": 0, "given": 4, "workers": 1})
    loader = DataLoader(dataset, batch_size=None, num_workers=3)
    assert same(list(loader), whole[4:])
    dataset.load_state_dict(states[0])
    with pytest.raises(PackageError, match="the state is one of 3 workers, and there are 1"):
        list(dataset)


def test_the_map_style_dataset_is_read_in_the_loaders_order_and_resumed(webdataset):
    dataset = Dataset(webdataset)
    sampler = Sampler(dataset, shuffle="shards", rank=1, world=2)
    plain = Loader(webdataset, BATCH, shuffle="shards", rank=1, world=2)
    loader = DataLoader(dataset, BATCH, sampler=sampler, num_workers=2, collate_fn=collate)
    whole = list(plain)
    assert len(loader) == len(plain) == 6
    assert same(list(loader), whole)
    sampler.resume(epoch=0, given=3 * BATCH)
    assert same(list(loader), whole[3:])
    sampler.set_epoch(1)
    assert same(list(loader), list(plain))
