"""HDF5: arrays of images and of labels for each split, and a label map.

``<split>_images`` uint8 (N, height, width, channels), or, with ``store: encoded``, the files
themselves: ``<split>_encoded`` uint8 (bytes of all,) and ``<split>_offsets`` int64 (N + 1,), image
n being ``encoded[offsets[n]:offsets[n + 1]]``. Beside them ``<split>_labels`` int64 (N,), and where
each row is from: ``<split>_samples`` text (N,), ``<split>_copies`` int32 (N,), which is 0 for the
image itself. ``label_map`` has rows ``number,label``. Rows are shuffled once, by a hash, so that
reading in order mixes the labels.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from imagemill.arrays import HASH
from imagemill.engine import Engine
from imagemill.files import replacing
from imagemill.package.checksums import Files
from imagemill.package.hdf5 import filling, reading
from imagemill.package.hdf5.layout import lay_out
from imagemill.package.hdf5.settings import FILE, Config
from imagemill.package.lots import AT_ONCE, Lot, unhexed
from imagemill.package.shelf import Shelf
from imagemill.tables import CONTENTS, Pieces

KIND = {"raw": "images", "encoded": "encoded"}
"""What the array of a split's images is called, by ``store``."""


def write(
    lot: Lot, shelf: Shelf, config: Config, out: Path, engine: Engine
) -> tuple[Pieces, Files]:
    """Write ``out/dataset.h5`` and read it back; return ``tables.CONTENTS``, and the file."""
    with replacing(out / FILE) as part:
        lay_out(part, lot, config)
        checksum = filling.Checksum(part)
        if config.store == "raw":
            lot = _fill_raw(part, lot, shelf, config, engine, checksum)
        else:
            for split, rows in lot.parts():
                filling.fill_encoded(part, split, rows, shelf, engine, checksum)
        _verify(part, lot, config, engine)
        digest = None if config.is_packed else checksum.of_all()
    return _listed(lot, KIND[config.store]), {FILE: digest}


def _verify(path: Path, lot: Lot, config: Config, engine: Engine) -> None:
    """Read back what was not when it was written."""
    for split, rows in lot.parts():
        reading.verify_columns(path, split, reading.columns(rows))
        if config.is_packed:
            packaged = rows.rows["packaged"].to_numpy().tobytes()
            reading.verify_images(path, split, packaged, engine)
    reading.verify_labels(path, _numbers(lot.images))


def _fill_raw(
    path: Path, lot: Lot, shelf: Shelf, config: Config, engine: Engine, checksum: filling.Checksum
) -> Lot:
    """Write the pixels of every split; return what the package holds then."""
    hashes = np.empty((len(lot), HASH), np.uint8)
    start = 0
    for split, rows in lot.parts():
        those = hashes[start : start + len(rows)]
        filling.fill_raw(path, split, rows, shelf, config, engine, checksum, those)
        start += len(rows)
    volume = pl.repeat(config.volume, len(lot), dtype=pl.Int64, eager=True)
    return lot.having(packaged=pl.Series(hashes), bytes=volume)


def _numbers(rows: pl.DataFrame) -> dict[int, str]:
    return dict(rows.select("class", "label").unique().iter_rows())


def _listed(lot: Lot, kind: str) -> Iterator[pl.DataFrame]:
    """Yield ``tables.CONTENTS``, in the order of the members' names: ``<split>_images/<row>``."""
    others = [name for name in CONTENTS.columns if name != "member"]
    for split, rows in sorted(lot.parts(), key=lambda part: f"{part[0]}_{kind}/"):
        order = _as_text(len(rows))
        for start in range(0, len(rows), AT_ONCE):
            some = order[start : start + AT_ONCE]
            member = pl.Series("member", [f"{split}_{kind}/{row}" for row in some.tolist()])
            yield rows.taken(some).frame(*others).with_columns(member)


def _as_text(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the numbers below ``count``, sorted as text is."""
    numbers = np.arange(count)
    digits = 1 + np.searchsorted(10 ** np.arange(1, 19), numbers, side="right")
    return np.lexsort((digits, numbers * 10 ** (digits.max(initial=1) - digits)))


def reread(folder: Path, engine: Engine) -> int:
    """Read back what ``write`` wrote to ``folder``; return how many images.

    Raises ``BuildError`` unless every row is as the manifest says.
    """
    path = folder / FILE
    row = pl.col("member").str.extract(r"(\d+)$").cast(pl.Int64)
    part = pl.col("member").str.extract(r"^(.*)_(?:images|encoded)/\d+$").alias("part")
    listed = CONTENTS.read(folder).with_columns(part).sort("part", row)
    for (split,), rows in listed.group_by("part", maintain_order=True):
        reading.verify_columns(path, str(split), rows.iter_slices(AT_ONCE))
        reading.verify_images(path, str(split), unhexed(rows["packaged"]), engine)
    reading.verify_labels(path, _numbers(listed))
    return len(listed)


__all__ = ["FILE", "Config", "reread", "write"]
