"""The image contract: the bytes under which an image leaves the mill."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from imagemill import images, packs
from imagemill.errors import BuildError
from imagemill.images import Limits
from imagemill.memo import fingerprint

VERSION = 1  # of the contract; raise it when the same image would leave with other bytes
SUFFIX = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}

RESULT: dict[str, Any] = {
    "digest": pl.String,
    "packaged": pl.String,  # sha256 of the packaged bytes
    "bytes": pl.Int64,
    "suffix": pl.String,
}
"""What is remembered of each image's packaged form."""


def fingerprinted(limits: Limits) -> str:
    """Return the name of the memo of packaged forms."""
    return fingerprint(
        "contract",
        VERSION,
        decoders=images.decoders(),
        max_pixels=limits.max_pixels,
        max_bytes=limits.max_bytes,
    )


@dataclass(frozen=True)
class Source:
    """The downloaded packs, and what may be decoded of them."""

    places: pl.DataFrame
    folder: Path
    limits: Limits

    def batches(self, digests: pl.Series, most: int) -> list["Batch"]:
        """Return the places of ``digests``, in that order, in batches of at most ``most``."""
        wanted = pl.DataFrame({"digest": digests})
        rows = list(
            wanted.join(self.places, on="digest", how="left", maintain_order="left").iter_rows()
        )
        return [
            Batch(self.folder, self.limits, tuple(rows[i : i + most]))
            for i in range(0, len(rows), most)
        ]


@dataclass(frozen=True)
class Batch:
    """Images to read: (digest, pack, offset, length) each."""

    folder: Path
    limits: Limits
    members: tuple[tuple[str, str, int, int], ...]


def canonical(data: bytes, limits: Limits) -> tuple[str, bytes]:
    """Return the suffix and the bytes under which the image ``data`` is packaged.

    Raises ``BuildError`` when it cannot be read, which ``measure`` should have found.
    """
    try:
        header = images.header(data, limits)
        if images.meets_contract(header):
            return SUFFIX[header.format], images.strip_metadata(data, header.format)
        _, image = images.read(data, limits)
    except images.Unreadable as error:
        raise BuildError(
            f"package: image {sha256(data).hexdigest()} cannot be read ({error.reason}), though it "
            "was measured. Its pack has changed on disk; run `dvc checkout` and build again."
        ) from error
    return "png", images.encode(image, "PNG", quality=100)


def pixels(batch: Batch, side: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    """Return the images of ``batch`` as (n, height, width, channels), resized exactly."""
    with packs.Reader(batch.folder) as reader:
        found = [
            _fitted(reader.content(*member), batch.limits, side, mode) for member in batch.members
        ]
    return np.stack(found)


def _fitted(data: bytes, limits: Limits, side: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    _, image = images.read(data, limits)
    resized = image.convert(mode).resize(side, Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(side[1], side[0], -1)


def describe(batch: Batch) -> pl.DataFrame:
    """Return hash, length and suffix of the packaged form of each image of ``batch``."""
    rows = []
    with packs.Reader(batch.folder) as reader:
        for member in batch.members:
            suffix, data = canonical(reader.content(*member), batch.limits)
            rows.append((member[0], sha256(data).hexdigest(), len(data), suffix))
    return pl.DataFrame(rows, RESULT, orient="row")
