"""What a group that cleans a dataset hands over: manifests, lists, a summary, one set a dataset.

Folders and file names are those of the cleaning guide; ``imagemill deliver`` collects them.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from imagemill import layouts, sheets
from imagemill.about import About
from imagemill.config import Section
from imagemill.deliver import lists
from imagemill.deliver.figures import FILE, Figures, figures, text
from imagemill.reviews import ids, manifest

MANIFESTS, SUMMARIES = "Manifests", "Summary_Reports"
CLEANED, PRESENTATION = "Cleaned_Datasets", "Presentation"


class Config(Section):
    """What the lists need to know of the sources."""

    about: About
    layouts: dict[str, layouts.Layout]


@dataclass(frozen=True)
class Tables:
    """What the stages before have written, each as in ``tables``."""

    samples: pl.DataFrame
    evidence: pl.DataFrame
    reviews: pl.DataFrame
    unmatched: pl.DataFrame
    annotations: pl.DataFrame
    manifest: pl.DataFrame
    leaks: pl.DataFrame


def write(
    tables: Tables, side: Path, leaks: Path, dataset: str, config: Config, out: Path
) -> Figures:
    """Write all that is delivered below ``out``; return the figures.

    ``side``: the side tables of the sources; ``leaks``: the folder of that stage.
    """
    for folder in (MANIFESTS, SUMMARIES, CLEANED):
        (out / folder).mkdir()
    names = ids.of(tables.samples, side)
    said = manifest.tagged(tables.samples, names, tables.evidence, tables.reviews)
    final = manifest.final(said, tables.samples, names, tables.manifest)
    manifests = out / MANIFESTS
    sheets.write(manifests / f"{dataset}_tagged_manifest.csv", said.drop("digest"))
    sheets.write(manifests / f"{dataset}_final_cleaning_manifest.csv", final)
    shutil.copyfile(leaks / "leaks.csv", manifests / f"{dataset}_leaks_report.csv")
    shutil.copyfile(leaks / "summary.txt", manifests / f"{dataset}_leaks_report_summary.txt")
    numbers = lists.class_numbers(config.layouts, side)
    written = lists.write(out / CLEANED, dataset, tables, names, numbers)
    found = figures(tables, said)
    (out / SUMMARIES / f"{dataset}_cleaning_summary.txt").write_text(
        text(dataset, config.about, found, tables, written), encoding="utf-8"
    )
    (out / FILE).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def summary(found: Figures) -> str:
    """Return what was delivered, in one line."""
    return (
        f"deliver: {found['kept']:,} of {found['listed']:,} images kept, "
        f"{found['removed']:,} in the removal list, {found['relabelled']:,} in the relabel map"
    )


__all__ = ["Config", "Tables", "summary", "write"]
