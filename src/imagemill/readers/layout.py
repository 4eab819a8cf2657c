"""Which format lies in a folder, and what opens it."""

from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from imagemill.readers import streams, tars
from imagemill.readers.contents import Contents
from imagemill.readers.errors import PackageError

FILE = "dataset.h5"
MANIFEST = "manifest.parquet"
CHECKSUMS = "checksums.txt"
INDICES = ("/index.json", "/train.idx")


def _hdf5(folder: Path) -> Contents:
    from imagemill.readers import hdf5  # noqa: PLC0415 (150 ms that other formats do not need)

    return hdf5.opened(folder / FILE)


def _parquet(folder: Path) -> Contents:
    from imagemill.readers import parquet  # noqa: PLC0415 (its package may not be installed)

    return parquet.opened(folder)


OPEN: dict[str, Callable[[Path], Contents]] = {
    "hdf5": _hdf5,
    "litdata": partial(streams.opened, form="litdata"),
    "mds": partial(streams.opened, form="mds"),
    "recordio": partial(streams.opened, form="recordio"),
    "parquet": _parquet,
    "coco": partial(tars.packed, form="coco"),
    "imagefolder": partial(tars.packed, form="imagefolder"),
    "webdataset": tars.webdataset,
}
"""By format, as the package stage names it."""

MARKS: dict[str, str] = {
    "hdf5": FILE,
    "litdata": "*/*.bin",
    "mds": "*/*.mds",
    "recordio": "*/train.rec",
    "parquet": "*-*.parquet",
    "coco": "annotations/instances_*.json",
    "imagefolder": "*.tar",
    "webdataset": "*/*.tar",
}
"""A file that a format, and none before it in this order, has."""


def opened(path: Path) -> Contents:
    """Open the package in a folder. Raises ``PackageError`` where there is none, or are several."""
    if path.is_file():
        path = path.parent
    if not path.is_dir():
        raise PackageError(f"{path}: there is no such folder. Build it, or fetch it: `dvc pull`.")
    inside = path / "package" if (path / "package").is_dir() else path
    form = found(inside)
    if form is not None:
        _check(inside, form)
        return OPEN[form](inside)
    formats = [each.name for each in sorted(inside.iterdir()) if each.is_dir() and found(each)]
    if len(formats) == 1:
        return opened(inside / formats[0])
    if formats:
        raise PackageError(
            f"{path} holds {', '.join(formats)}: open one of them, such as {inside / formats[0]}"
        )
    raise PackageError(
        f"{path} holds no package of imagemill: none of {', '.join(sorted(OPEN))}. "
        "Build one with `dvc repro package@NAME`, or fetch it with `dvc pull package@NAME`."
    )


def _check(folder: Path, form: str) -> None:
    """Raise ``PackageError`` where a shard is missing of a split of which there are others.

    Whole splits may be left out, and all is opened that is there where there is no list.
    """
    kind = {**MARKS, "coco": "*.tar"}[form]
    if not (folder / CHECKSUMS).exists() or next(folder.glob(kind), None) is None:
        return  # real folders of images, a line for each
    lines = (folder / CHECKSUMS).read_text("utf-8").rstrip("\n").split("\n")
    listed = [line.partition("  ")[2] for line in lines]
    shards = [name for name in listed if fnmatch(name, kind) or name.endswith(INDICES)]
    missing = [name for name in shards if not (folder / name).exists()]
    here = {_split(name) for name in set(shards) - set(missing)}
    for name in missing:
        if _split(name) in here:
            raise PackageError(
                f"{folder / name} is missing, which {CHECKSUMS} lists; fetch it, or delete "
                f"{CHECKSUMS} to go without"
            )


def _split(name: str) -> str:
    return name.rpartition("/" if "/" in name else "-")[0]


def found(folder: Path) -> str | None:
    """Return the format that lies in ``folder`` itself; null where none does."""
    if not (folder / MANIFEST).exists() and next(folder.glob(f"*/{MANIFEST}"), None) is not None:
        return None  # the folder around packages, whose files would match, too
    for form, mark in MARKS.items():
        if next(folder.glob(mark), None) is not None:
            return form
    # Real folders of images, exported or unpacked, have a manifest and no other mark.
    real = (folder / MANIFEST).exists() and any(path.is_dir() for path in folder.iterdir())
    return "imagefolder" if real else None
