"""Checks: named predicates on facts, each with its limit in the config."""

from collections.abc import Callable

import polars as pl

from imagemill.clean.settings import Config
from imagemill.errors import ConfigError, suggest

Check = Callable[[Config], pl.Expr]

CHECKS: dict[str, Check] = {
    "too_small": lambda c: pl.min_horizontal("width", "height") < c.min_side,
    "odd_size": lambda c: pl.max_horizontal("width", "height") > c.max_side,
    "odd_aspect": lambda c: _aspect() > c.max_aspect,
    "blurred": lambda c: pl.col("sharpness") < c.min_sharpness,
    "dark": lambda c: pl.col("brightness") < c.min_brightness,
    "bright": lambda c: pl.col("brightness") > c.max_brightness,
    "low_information": lambda c: pl.col("entropy") < c.min_entropy,
    "grey": lambda c: pl.col("saturation") < c.min_saturation,
    "low_quality": lambda c: pl.col("quality") < c.min_quality,
    "animated": lambda _: (pl.col("frames") > 1) & (pl.col("format") != "TIFF"),  # has pages
    "wrong_extension": lambda _: _wrong_extension(),
    "private_metadata": lambda _: pl.col("gps"),
}
"""Named predicates on ``tables.FACTS``; the name is the reason that people see."""

FACTS = [
    *("width", "height", "sharpness", "brightness", "contrast", "entropy", "saturation"),
    *("quality", "frames", "format", "mode", "gps", "exif", "bytes", "bits", "aspect"),
]
"""Columns of ``tables.FACTS`` that checks and rules look at."""

SUFFIXES: dict[str, list[str]] = {
    "JPEG": ["jpg", "jpeg", "jpe", "jfif"],
    "PNG": ["png", "apng"],
    "GIF": ["gif"],
    "WEBP": ["webp"],
    "BMP": ["bmp", "dib"],
    "TIFF": ["tif", "tiff"],
    "PPM": ["ppm", "pgm", "pbm", "pnm"],
    "MPO": ["mpo", "jpg", "jpeg"],
    "AVIF": ["avif"],
    "JPEG2000": ["jp2", "j2k", "jpx"],
}
"""File suffixes that go with each format."""


def refuse_unknown(config: Config) -> None:
    """Raise ``ConfigError`` where the config names a check that there is not."""
    for name in sorted({*config.remove, *config.flag} - set(CHECKS)):
        raise ConfigError(
            f"clean.remove or clean.flag: {name}: no such check{suggest(name, CHECKS)}"
        )


def found(rows: pl.DataFrame, config: Config) -> list[tuple[str, str, pl.DataFrame]]:
    """Return each check of the config, what it asks for (remove, flag) and the samples it finds.

    ``rows`` are samples with ``FACTS``. In the order of the config.
    """
    named = [("remove", name) for name in config.remove] + [("flag", name) for name in config.flag]
    return [
        (name, wish, rows.filter(CHECKS[name](config)).select("sample")) for wish, name in named
    ]


def _aspect() -> pl.Expr:
    return pl.max_horizontal("width", "height") / pl.min_horizontal("width", "height")


def _wrong_extension() -> pl.Expr:
    suffix = pl.col("key").str.extract(r"\.([^./]+)$").str.to_lowercase()
    known = pl.col("format").replace_strict(SUFFIXES, default=None, return_dtype=pl.List(pl.String))
    return known.is_not_null() & suffix.is_not_null() & ~suffix.is_in(known)
