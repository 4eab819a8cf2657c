"""The rows of a package: kept samples, named so that they can be files, and derived copies."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.errors import BuildError
from imagemill.package import augment
from imagemill.package.lots import Lot

LONGEST = 255  # bytes of a folder's name

WANTED = ("sample", "source", "key", "digest", "label", "split", "fold", "name")
"""Columns of ``tables.MANIFEST`` that are used; with a million rows, the others take memory."""

Frame = pl.DataFrame | pl.LazyFrame
"""A table, or what reads it."""


def contents(
    manifest: Frame,
    copying: augment.Config | None = None,
    labels: Sequence[str] | None = None,
    wanted: Sequence[str] = WANTED,
) -> Lot:
    """Return the kept samples with what a package says of them, safe as file names.

    ``part`` is the split ("all" where there is none), ``folder`` is part/label, or label alone
    where no sample has a split, ``class`` the position of the label in ``labels`` (or among all,
    sorted), ``name`` unique in its folder. An image that is to be augmented has a row for each
    ``copy``. Raises ``BuildError`` when nothing is kept, a label has no number, or two things would
    share a folder or file.
    """
    kept = manifest.lazy().filter(verdict="keep").select(wanted).sort("sample").collect()
    if kept.is_empty():
        raise BuildError(
            "package: no image is left to package. The report says why each was removed; "
            "loosen the checks in `clean`, or `merge.min_images`."
        )
    part = _safe(kept["split"].fill_null("all"))
    kept = kept.with_columns(_safe(kept["label"]).alias("_safe"), _numbers(kept["label"], labels))
    _refuse_shared_folders(pl.DataFrame([kept["split"].fill_null("all"), part.alias("folder")]))
    _refuse_shared_folders(kept.select("label", folder="_safe"))
    undivided = kept["split"].null_count() == len(kept)
    folder = pl.col("_safe") if undivided else pl.concat_str(part, pl.lit("/"), "_safe")
    images = kept.with_columns(folder.alias("folder"), _safe(kept["name"])).drop("_safe")
    lot = Lot(images, _rows(images, part, copying), _labels(images, labels), {"part": _words(part)})
    return _named(lot)


def _numbers(labels: pl.Series, pinned: Sequence[str] | None) -> pl.Series:
    """Return the class of each label. Raises ``BuildError`` for one that is not pinned."""
    order = sorted(labels.drop_nulls().unique()) if pinned is None else list(pinned)
    unknown = labels.filter(~labels.is_in(order) | labels.is_null()).unique().sort()
    if len(unknown):
        names = ", ".join(str(each) for each in unknown.head(3))
        raise BuildError(
            f"package: {len(unknown):,} labels have no number, first {names}. `package.labels` "
            "names all that a model is to know: add them at its end, or remove their images."
        )
    numbers = {label: number for number, label in enumerate(order)}
    return labels.replace_strict(numbers, return_dtype=pl.Int32).alias("class")


def _labels(images: pl.DataFrame, pinned: Sequence[str] | None) -> Sequence[str]:
    """Return the labels in the order of their numbers."""
    if pinned is not None:
        return pinned
    found: list[str] = images.select("class", "label").unique().sort("class")["label"].to_list()
    return found


def _words(texts: pl.Series) -> pl.Series:
    return texts.unique().sort()


def _rows(images: pl.DataFrame, part: pl.Series, copying: augment.Config | None) -> pl.DataFrame:
    """Return a row for each image, and behind it one for each copy that is derived from it."""
    times = np.ones(len(images), np.int64) if copying is None else _times(images["split"], copying)
    first = np.repeat(np.cumsum(times) - times, times)
    image = np.repeat(np.arange(len(images), dtype=np.uint32), times)
    number = _words(part).search_sorted(part).cast(pl.UInt32)
    return pl.DataFrame(
        {
            "image": image,
            "copy": (np.arange(len(image)) - first).astype(np.int32),
            "part": number.gather(image),
            "shared": np.zeros(len(image), np.bool_),
        }
    )


def _times(splits: pl.Series, copying: augment.Config) -> NDArray[np.int64]:
    """Return how many rows each image has."""
    there = splits.drop_nulls().unique().sort().to_list()
    missing = sorted(set(copying.splits) - set(there))
    if missing:
        raise BuildError(
            f"package.augment.splits: no image is in the split {missing[0]}; those that exist: "
            f"{', '.join(there) or 'none'}. Name them, or choose `augment@package.augment=none`."
        )
    copied = splits.is_in(copying.splits).fill_null(value=False).to_numpy()
    return np.where(copied, copying.multiplier, 1)


def _safe(name: pl.Series) -> pl.Series:
    """Return a name that leads nowhere: no separators, no control characters, not ``..``."""
    return name.str.replace_all(r"[/\\\x00-\x1f\x7f]|^\.*$", "_")


def _refuse_shared_folders(named: pl.DataFrame) -> None:
    """Take the names of a label or split a row, and the ``folder`` that they lead to."""
    kind = named.columns[0]
    wrong = named.unique().filter(
        pl.col("folder").is_duplicated() | (pl.col("folder").str.len_bytes() > LONGEST)
    )
    if len(wrong):
        names = ", ".join(wrong[kind].sort().head(3).to_list())
        raise BuildError(
            f"package: the {kind}s {names} cannot each have a folder: two share one, or a name is "
            f"longer than {LONGEST} bytes. Rename them at the source, or with a join's `rename`."
        )


def _named(lot: Lot) -> Lot:
    """Mark the rows whose name another has, and so is made longer; see ``Lot.frame``.

    Raises ``BuildError`` where a longer one is another's as well.
    """
    shared = _shared(lot)
    if not len(shared):
        return lot
    mark = np.zeros(len(lot), np.bool_)
    mark[shared] = True
    lot = lot.having(shared=pl.Series(mark))
    twice = _shared(lot)
    if len(twice):
        names = lot.taken(twice[:2]).frame("sample")["sample"]
        raise BuildError(
            f"package: {' and '.join(names)} have equal bytes and would be one file. "
            "Keep one of them, with `clean.keep_copy`."
        )
    return lot


def _shared(lot: Lot) -> NDArray[np.int64]:
    """Return the numbers of the rows that are not alone in having their file's name.

    Case and the ways to write a letter in Unicode do not tell files apart everywhere.
    """
    hashes = np.concatenate([_hashes(each) for each in lot.slices()])
    ordered = np.sort(hashes)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    maybe = np.flatnonzero(np.isin(hashes, again)) if len(again) else np.zeros(0, np.int64)
    named = lot.taken(maybe).frame("folder", "name")
    same = named.select((pl.len() > 1).over("folder", _normal())).to_series()
    shared: NDArray[np.int64] = maybe[same.to_numpy()]
    return shared


def _hashes(lot: Lot) -> NDArray[np.uint64]:
    name = pl.concat_str("folder", pl.lit("/"), _normal(), ignore_nulls=True)
    return lot.frame("folder", "name").select(name.hash()).to_series().to_numpy()


def _normal() -> pl.Expr:
    return pl.col("name").str.normalize("NFKC").str.to_lowercase()
