"""Judge every sample, to keep, remove or relabel it, with everything that is said of it.

What decides, the strongest first: that merge left it out or nothing can read it; what people say;
the first rule that holds; the checks. Then, of those that stay, conflicts and copies. Stages mark;
no row goes.
"""

from pathlib import Path

import polars as pl

from imagemill import expect
from imagemill.clean import annotations, audits, checks, people
from imagemill.clean.case import Inputs, Judgement
from imagemill.clean.checks import CHECKS
from imagemill.clean.judging import judge
from imagemill.clean.limits import refuse_excess
from imagemill.clean.settings import Config
from imagemill.reviews import file, standing
from imagemill.reviews.taxonomy import REMOVE
from imagemill.tables import FACTS, REVIEWS


def facts(folder: Path) -> pl.DataFrame:
    """Read of ``tables.FACTS`` what a judgement needs: hashes are far larger than that."""
    return FACTS.lazy(folder).select("digest", "reason", *checks.FACTS).collect()


def reviews(root: Path, dataset: str, config: Config) -> pl.DataFrame:
    """Read what people say that this build must obey, as ``tables.REVIEWS``."""
    if config.reviews.obey == "ignored":
        return REVIEWS.frame()
    given = config.reviews
    said = file.obeyed(root, given.of or dataset, given.content, given, reader=dataset)
    return standing.standing(said)


def refuse_unexpected(
    judgement: Judgement, samples: pl.DataFrame, facts: pl.DataFrame, config: Config
) -> None:
    """Raise ``GateError`` where too much is removed, or a kept image is not what is expected."""
    verdicts = judgement.verdicts
    refuse_excess(verdicts, samples, config)
    kept = verdicts.filter(pl.col("verdict") != REMOVE).select("sample")
    known = samples.select("sample", "source", "digest").join(kept, on="sample", how="semi")
    expect.photos(known.join(facts, on="digest", how="left"), config.expect)


def summary(judgement: Judgement) -> str:
    """Return the counts of a judgement in a few lines."""
    verdicts = judgement.verdicts
    kept = verdicts.filter(pl.col("verdict") != REMOVE)
    lines = [f"clean: {len(kept):,} of {len(verdicts):,} samples kept"]
    lines += [f"clean: {count:,} {code}" for code, count in _counted(verdicts, "reasons")]
    flags = [f"{count:,} {code}" for code, count in _counted(kept, "flags")]
    lines += [f"clean: flagged and kept: {', '.join(flags)}"] if flags else []
    for rule, holds, decides in judgement.touched:
        lines.append(
            f"clean: rule {rule.number}, `{rule.text}`: holds for {holds:,}, decides {decides:,}"
        )
    return "\n".join([*lines, *people.lines(judgement.reviews)])


def _counted(verdicts: pl.DataFrame, column: str) -> list[tuple[str, int]]:
    codes = verdicts.select(pl.col(column).list.explode(empty_as_null=False)).to_series()
    return list(codes.value_counts(name="count").sort(column).iter_rows())


__all__ = [
    "CHECKS",
    "Config",
    "Inputs",
    "Judgement",
    "annotations",
    "audits",
    "facts",
    "judge",
    "refuse_unexpected",
    "reviews",
    "summary",
]
