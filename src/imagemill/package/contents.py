"""The rows of a package: kept samples, named so that they can be files, and derived copies."""

import polars as pl

from imagemill.errors import BuildError
from imagemill.package import augment

LONGEST = 255  # bytes of a folder's name

WANTED = ("sample", "source", "key", "digest", "label", "split", "fold", "name")
"""Columns of ``tables.MANIFEST`` that are used; with a million rows, the others take memory."""


def contents(
    manifest: pl.DataFrame,
    copying: augment.Config | None = None,
    labels: list[str] | None = None,
) -> pl.DataFrame:
    """Return the kept samples with what a package says of them, safe as file names.

    ``part`` is the split ("all" where there is none), ``folder`` is part/label, or label alone
    where no sample has a split, ``class`` the position of the label in ``labels`` (or among all,
    sorted), ``name`` unique in its folder. An image that is to be augmented has a row for each
    ``copy``. Raises ``BuildError`` when nothing is kept, a label has no number, or two things would
    share a folder or file.
    """
    kept = manifest.lazy().filter(verdict="keep").select(WANTED).sort("sample").collect()
    if kept.is_empty():
        raise BuildError(
            "package: no image is left to package. The report says why each was removed; "
            "loosen the checks in `clean`, or `merge.min_images`."
        )
    kept = kept.with_columns(
        _safe(pl.col("split").fill_null("all")).alias("part"),
        _safe(pl.col("label")).alias("_safe"),
        _numbers(kept["label"], labels),
        copy=pl.lit(0, pl.Int32),
    )
    _refuse_shared_folders(kept.select(pl.col("split").fill_null("all"), folder="part"))
    _refuse_shared_folders(kept.select("label", folder="_safe"))
    undivided = kept["split"].null_count() == len(kept)
    folder = pl.col("_safe") if undivided else pl.concat_str("part", pl.lit("/"), "_safe")
    named = kept.with_columns(folder.alias("folder"), _safe(pl.col("name")).alias("name"))
    named = named if copying is None else _copied(named, copying)
    mark = pl.when(pl.col("copy") > 0).then(pl.format("_aug{}", "copy")).otherwise(pl.lit(""))
    hashed = pl.format("{}_{}{}", "name", pl.col("digest").str.head(16), mark)
    name = pl.when(_shared()).then(hashed).otherwise("name").alias("name")
    return _checked(named.with_columns(name).drop("_safe"))


def _numbers(labels: pl.Series, pinned: list[str] | None) -> pl.Series:
    """Return the class of each label. Raises ``BuildError`` for one that is not pinned."""
    order = sorted(labels.drop_nulls().unique()) if pinned is None else pinned
    unknown = labels.filter(~labels.is_in(order) | labels.is_null()).unique().sort()
    if len(unknown):
        names = ", ".join(str(each) for each in unknown.head(3))
        raise BuildError(
            f"package: {len(unknown):,} labels have no number, first {names}. `package.labels` "
            "names all that a model is to know: add them at its end, or remove their images."
        )
    numbers = {label: number for number, label in enumerate(order)}
    return labels.replace_strict(numbers, return_dtype=pl.Int32).alias("class")


def _copied(named: pl.DataFrame, copying: augment.Config) -> pl.DataFrame:
    """Return ``named`` with a row for each derived copy behind that of its image."""
    missing = sorted(set(copying.splits) - set(named["split"].drop_nulls()))
    if missing:
        there = ", ".join(named["split"].drop_nulls().unique().sort()) or "none"
        raise BuildError(
            f"package.augment.splits: no image is in the split {missing[0]}; those that exist: "
            f"{there}. Name them, or choose `augment@package.augment=none`."
        )
    times = pl.when(pl.col("split").is_in(copying.splits)).then(copying.multiplier).otherwise(1)
    rows = named.with_columns(pl.int_ranges(0, times, dtype=pl.Int32).alias("copy"))
    derived = pl.format("{}_aug{}", "name", "copy")
    name = pl.when(pl.col("copy") > 0).then(derived).otherwise("name")
    return rows.explode("copy").with_columns(name.alias("name"))


def _safe(name: pl.Expr) -> pl.Expr:
    """Return a name that leads nowhere: no separators, no control characters, not ``..``."""
    return name.str.replace_all(r"[/\\\x00-\x1f\x7f]|^\.*$", "_")


def _shared() -> pl.Expr:
    name = pl.col("name").str.normalize("NFKC").str.to_lowercase()
    return pl.len().over("folder", name) > 1


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


def _checked(named: pl.DataFrame) -> pl.DataFrame:
    twice = named.filter(_shared())["sample"]
    if len(twice):
        raise BuildError(
            f"package: {' and '.join(twice.head(2))} have equal bytes and would be one file. "
            "Keep one of them, with `clean.keep_copy`."
        )
    return named
