"""Make fingerprints of the images in a folder, or of a dataset that is built here."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

import polars as pl

from imagemill import images
from imagemill.engine import Engine, processes
from imagemill.errors import BuildError, suggest
from imagemill.fingerprints import FINGERPRINTS, write
from imagemill.fingerprints.sketch import Thumbs, sketches, thumbnails
from imagemill.measure.picture import Picture
from imagemill.measure.pixels import pixels
from imagemill.measure.prints import Look, look, prints
from imagemill.progress import progress, say
from imagemill.tables import FACTS, MANIFEST, THUMBS

BATCH = 64  # images that a worker reads at a time
LIMITS = images.Limits(max_pixels=60_000_000, max_bytes=1 << 28)
TEXTURE = 6.0
"""Standard deviation of a thumbnail, 0..255, below which pictures are alike by chance."""


@dataclass(frozen=True)
class _Batch:
    folder: Path
    files: tuple[str, ...]


def make(root: Path, address: str, split: str | None, out: Path) -> None:
    """Write the fingerprints of a dataset built at ``root``, or of a folder; say how many.

    Raises ``BuildError`` where there is neither, or no image.
    """
    if (root / "data" / address / "leaks" / MANIFEST.file).exists():
        rows = of_dataset(root / "data" / address, split)
    elif split is not None:
        raise BuildError(
            f"fingerprint: {address} is no dataset built here, and only those have splits; "
            f"name the folder of {split} instead"
        )
    else:
        rows = of_folder(Path(address), Engine(partial(processes, None), 16))
    if rows.is_empty():
        raise BuildError(f"fingerprint: there is no image in {address}")
    write(out, rows)
    plain = rows["sketch"].null_count()
    without = f"; {plain:,} without texture, found by equal pixels alone" if plain else ""
    say(f"fingerprint: {len(rows):,} images in {out}, {out.stat().st_size:,} bytes{without}")


def of_dataset(place: Path, split: str | None) -> pl.DataFrame:
    """Return ``FINGERPRINTS`` of the images that a dataset keeps, from what it measured."""
    kept = MANIFEST.read(place / "leaks").filter(verdict="keep")
    if split is not None:
        known = kept["split"].drop_nulls().unique().to_list()
        if split not in known:
            raise BuildError(
                f"fingerprint: {place.name} has no split {split}{suggest(split, known)}"
            )
        kept = kept.filter(split=split)
    facts = FACTS.read(place / "measure").select("digest", "pixels", "phash")
    thumbs = THUMBS.read(place / "measure").select("digest", "thumb")
    rows = kept.select("digest", file="sample").join(facts, on="digest").join(thumbs, on="digest")
    drawn = thumbnails(rows["thumb"])
    return rows.with_columns(
        pl.lit(None, pl.String).alias("packaged"),
        pl.Series("sketch", _sketches(drawn), pl.Binary),
    ).select(*FINGERPRINTS.columns)


def of_folder(folder: Path, engine: Engine) -> pl.DataFrame:
    """Return ``FINGERPRINTS`` of every image below ``folder``; says which files are none."""
    if not folder.is_dir():
        raise BuildError(f"fingerprint: {folder} is neither a dataset built here nor a folder")
    files = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    parts = [FINGERPRINTS.frame()]
    with progress("fingerprint", len(files), "files") as advance:
        for part, seen in engine.map(_read, list(_batches(folder, files))):
            parts.append(part)
            advance(seen)
    rows = pl.concat(parts)
    others = sorted(set(files) - set(rows["file"]))
    if others:
        say(f"fingerprint: {len(others):,} files are no images that can be read: {others[0]}, ...")
    return rows


def _batches(folder: Path, files: list[str]) -> Iterator[_Batch]:
    rest = iter(files)
    while some := tuple(islice(rest, BATCH)):
        yield _Batch(folder, some)


def _read(batch: _Batch) -> tuple[pl.DataFrame, int]:
    """Return the rows of a batch, and how many files it had."""
    rows: list[dict[str, str]] = []
    looks: list[Look] = []
    for file in batch.files:
        data = (batch.folder / file).read_bytes()
        try:
            picture = Picture(*images.read(data, LIMITS), len(data))
        except images.Unreadable:
            continue
        looks.append(look(picture))
        shown = {"digest": sha256(data).hexdigest(), "pixels": pixels(picture.image)}
        rows.append({"file": file, **shown})
    if not rows:
        return FINGERPRINTS.frame(), len(batch.files)
    seen = list(prints(looks))
    sketched = _sketches(thumbnails(each["thumb"] for each in seen))
    whole: list[dict[str, object]] = [
        {**row, "phash": each["phash"], "sketch": sketch}
        for row, each, sketch in zip(rows, seen, sketched, strict=True)
    ]
    return FINGERPRINTS.frame(whole), len(batch.files)


def _sketches(thumbs: Thumbs) -> list[bytes | None]:
    """Return the sketch of each thumbnail (n, 48, 48); None where it has no texture."""
    textured = thumbs.reshape(len(thumbs), -1).std(axis=1) >= TEXTURE
    made = sketches(thumbs)
    return [each.tobytes() if seen else None for each, seen in zip(made, textured, strict=True)]
