"""What a judgement is made from, and what it says."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from imagemill.clean import annotations, audits, rules
from imagemill.tables import (
    ANNOTATIONS,
    EMBEDDINGS,
    EVIDENCE,
    PAIRS,
    REVIEWS,
    UNMATCHED,
    VERDICTS,
)


@dataclass(frozen=True)
class Inputs:
    """What a judgement is made from, each as in ``tables`` where it says no else."""

    samples: pl.DataFrame
    facts: pl.DataFrame
    """Of ``tables.FACTS`` at least ``digest``, ``reason`` and ``checks.FACTS``."""
    pairs: pl.DataFrame
    embeddings: pl.DataFrame = field(default_factory=EMBEDDINGS.frame)
    reviews: pl.DataFrame = field(default_factory=REVIEWS.frame)
    flagged: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=audits.FLAGGED))
    """What exports say of the samples, as ``audits.FLAGGED``."""
    unmatched: pl.DataFrame = field(default_factory=UNMATCHED.frame)
    annotated: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=annotations.GIVEN))
    """As ``annotations.GIVEN``."""
    memo: Path = Path()
    """Where neighbours among the embeddings are remembered."""


class Touched(NamedTuple):
    """What a rule did."""

    rule: rules.Rule
    holds: int
    """Samples for which its condition holds."""
    decides: int
    """Those of them that no earlier rule and nobody decided on."""


@dataclass(frozen=True)
class Judgement:
    """The word on every sample, and all that was said, each as in ``tables``."""

    verdicts: pl.DataFrame
    evidence: pl.DataFrame
    pairs: pl.DataFrame
    """As people would have them."""
    reviews: pl.DataFrame
    unmatched: pl.DataFrame
    annotations: pl.DataFrame
    touched: list[Touched]

    def write(self, out: Path) -> None:
        """Write all tables below ``out``."""
        VERDICTS.write(out, self.verdicts)
        EVIDENCE.write(out, self.evidence)
        PAIRS.write(out, self.pairs)
        REVIEWS.write(out, self.reviews)
        UNMATCHED.write(out, self.unmatched)
        ANNOTATIONS.write(out, self.annotations)
