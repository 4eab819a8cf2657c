"""Factories: a test states what it cares about, and the rest is filled in."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from io import BytesIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from imagemill import images
from imagemill.engine import Engine, Inline, processes
from imagemill.images import Limits
from imagemill.measure.functions import Models, functions
from imagemill.measure.picture import Picture
from imagemill.sources import Folder
from imagemill.tables import Table

NONE = Models(None, None)
INLINE = Engine(Inline, 1)
LIMITS = Limits(max_pixels=10_000_000, max_bytes=10_000_000)

Row = dict[str, object]

USUAL: Row = {
    "source": "album",
    "bytes": 1000,
    "wanted": True,
    "label": "cat",
    "verdict": "keep",
    "reasons": [],
    "flags": [],
    "format": "PNG",
    "mode": "RGB",
    "width": 200,
    "height": 200,
    "orientation": 1,
    "frames": 1,
    "bits": 8,
    "exif": False,
    "gps": False,
    "ready": True,
    "sharpness": 500.0,
    "brightness": 0.5,
    "contrast": 0.2,
    "entropy": 7.0,
    "tier": "perceptual",
    "distance": 0,
    "transform": "none",
    "score": 1.0,
}
"""What a row of any table says where a test does not."""


def sha(data: bytes) -> str:
    """Return the content hash of a file."""
    return sha256(data).hexdigest()


def digest(text: str) -> str:
    """Return a content hash for a made-up content."""
    return sha(text.encode())


def frame(table: Table, *rows: Row) -> pl.DataFrame:
    """Return a table; every column that a row leaves out gets its usual value, or null."""
    return table.frame([_row(table, row) for row in rows])


def _row(table: Table, given: Row) -> Row:
    row = {**USUAL, **given}
    if "key" not in row and "sample" in row:
        row["source"], row["key"] = str(row["sample"]).split("/", 1)
    row.setdefault("sample", f"{row['source']}/{row.get('key')}")
    row.setdefault("digest", digest(str(row["sample"])))
    row.setdefault("name", Path(str(row.get("key"))).stem)
    row.setdefault("pixels", row["digest"])
    return {name: row.get(name) for name in table.columns}


def pair(a: str, b: str, **more: object) -> Row:
    """Return a row of pairs for two made-up contents."""
    low, high = sorted([digest(a), digest(b)])
    return {"a": low, "b": high, **more}


def file(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return an image as a file."""
    target = BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def picture(image: Image.Image, form: str = "PNG", **options: object) -> Picture:
    """Return an image as it is when it comes out of a file."""
    return opened(file(image, form, **options))


def opened(data: bytes) -> Picture:
    """Return what a file shows."""
    return Picture(*images.read(data, LIMITS), len(data))


def measured(image: Image.Image, models: Models = NONE) -> Row:
    """Return all that is measured of an image; with what ``models`` add, if any."""
    found = (next(iter(each.values([picture(image)]))) for each in functions(models).values())
    return {name: value for values in found for name, value in values.items()}


def folder(path: Path, **given: object) -> Folder:
    """Return the source that is everything below ``path``."""
    usual: Row = {"kind": "folder", "path": str(path), "include": ["*"], "exclude": []}
    return Folder.model_validate({**usual, **given})


def fill(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files below ``path``, by key."""
    for key, data in files.items():
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(data)


def workers(count: int, ahead: int = 4) -> Engine:
    """Return an engine of so many processes."""
    return Engine(partial(processes, count), ahead)


FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.test_memo", "tests.test_download"])


def process(work: Callable[..., None], *given: object) -> tuple[BaseProcess, Connection]:
    """Start ``work(say, *given)`` in a process of its own; return it with what hears ``say``.

    Forked from a process that has imported everything and started nothing: that is quick.
    """
    hear, say = FORKS.Pipe(duplex=False)
    started = FORKS.Process(target=work, args=(say, *given))
    started.start()
    say.close()
    return started, hear


def rest(hear: Connection) -> list[Any]:
    """Return everything that a process has still said before it ended."""
    said = []
    with suppress(EOFError, OSError):
        while True:
            said.append(hear.recv())
    return said
