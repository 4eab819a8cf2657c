"""How many identities there are, with how many images, from which sources; for people and DVC.

Where nothing has an identity, labels count as such.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl

from imagemill import layouts

IN = pl.col("reason").is_null()

RANGES = {"1": 1, "2": 2, "3-5": 5, "6-10": 10, "11-20": 20, "21-50": 50}
"""Images of an identity: the most that counts in each range; beyond is ``MANY``."""

MANY = ">50"

Figures = dict[str, Any]


def figures(rows: pl.DataFrame) -> Figures:
    """Return the counts of rows with ``source``, ``identity``, ``label`` and ``reason``.

    Those with a reason are left out. ``distribution`` is how many identities have how many images,
    ``out`` how many images are out for each reason, ``sources`` what each listed and what is kept.
    """
    unit, source = layouts.unit().alias("unit"), pl.col("source")
    kept = rows.filter(IN).group_by(unit).agg(images=pl.len(), sources=source.n_unique())
    several = len(kept.filter(pl.col("sources") > 1))
    images = int(kept["images"].sum())
    return {
        "distribution": _distribution(kept["images"]),
        "identities": len(kept),
        "identities_from_one_source": len(kept) - several,
        "identities_from_several_sources": several,
        "identities_listed": rows.select(unit.drop_nulls().n_unique()).item(),
        "identities_too_small": _too_small(rows),
        "images": images,
        "images_per_identity": round(images / max(1, len(kept)), 4),
        "listed": len(rows),
        "out": dict(rows.filter(~IN).group_by("reason").len().sort("reason").iter_rows()),
        "sources": _sources(rows),
    }


def _distribution(images: pl.Series) -> dict[str, int]:
    names = pl.Series([*RANGES, MANY])
    place = pl.Series(list(RANGES.values())).search_sorted(images)
    counted = names.gather(place).value_counts(name="count")
    found = dict(counted.iter_rows())
    return {name: found.get(name, 0) for name in names}


def _too_small(rows: pl.DataFrame) -> int:
    few = rows.filter(reason="identity_too_small")
    return int(few.select(layouts.unit().n_unique()).item())


def _sources(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    counted = rows.group_by("source").agg(pl.len(), IN.sum()).sort("source")
    return {name: {"kept": kept, "listed": listed} for name, listed, kept in counted.iter_rows()}


def write(folder: Path, found: Figures) -> None:
    """Write ``summary.json`` to ``folder``, for DVC to show and compare."""
    (folder / "summary.json").write_text(f"{json.dumps(found, indent=2)}\n", encoding="utf-8")


def text(rows: pl.DataFrame, found: Figures) -> str:
    """Return the figures of ``rows`` as aligned lines."""
    known = rows["identity"].null_count() < len(rows)
    many, one = ("identities", "identity") if known else ("labels", "label")
    said = [
        (f"Total {many}", found["identities"]),
        ("Total images", found["images"]),
        (f"{many.capitalize()} from single source", found["identities_from_one_source"]),
        (f"{many.capitalize()} from multiple sources", found["identities_from_several_sources"]),
        ("Skipped (too few images)", found["identities_too_small"]),
        (f"Avg images per {one}", found["images_per_identity"]),
        *((f"  {many} with {_images(n)}", c) for n, c in found["distribution"].items()),
        ("Images left out", sum(found["out"].values())),
        *((f"  {reason}", count) for reason, count in found["out"].items()),
        *((f"Images from {n}, of {s['listed']:,}", s["kept"]) for n, s in found["sources"].items()),
    ]
    return "\n".join(_aligned(said))


def _images(count: str) -> str:
    return "1 image" if count == "1" else f"{count} images"


def _aligned(rows: list[tuple[str, float]]) -> list[str]:
    said = [(name, f"{n:,.1f}" if isinstance(n, float) else f"{n:,}") for name, n in rows]
    left, right = (max(len(row[column]) for row in said) for column in (0, 1))
    return [f"  {name:<{left}}  {number:>{right}}" for name, number in said]
