"""Numbers of labels, which a trained model depends on, from one package to the next."""

from pathlib import Path

import polars as pl

from imagemill.progress import say
from imagemill.tables import CONTENTS

SHOWN = 10  # lines of a difference


def warn_of_changes(folder: Path, listed: pl.DataFrame) -> None:
    """Say which labels have other numbers in ``listed`` than in the package in ``folder``."""
    before = _map(CONTENTS.last(folder))
    after = _map(listed)
    if not before or before == after:
        return
    lines = [
        f"  {sign} {number},{label}"
        for number in sorted({*before, *after})
        if before.get(number) != after.get(number)
        for sign, label in (("-", before.get(number)), ("+", after.get(number)))
        if label is not None
    ]
    more = f"\n  ... and {len(lines) - SHOWN:,} lines more" if len(lines) > SHOWN else ""
    shown = "\n".join(lines[:SHOWN])
    say(
        f"warning: package: {folder.name}: the label map has changed; a model trained on the "
        f"earlier package takes one label for another. `package.labels` pins numbers.\n{shown}"
        f"{more}"
    )


def _map(rows: pl.DataFrame) -> dict[int, str]:
    return dict(rows.select("class", "label").unique().iter_rows())
