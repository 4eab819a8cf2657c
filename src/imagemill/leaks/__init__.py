"""Splits that share nothing: check the given ones, or assign new ones; then the final manifest."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from imagemill import sheets, splits
from imagemill.errors import GateError
from imagemill.leaks import certificate, deliverables, gate, sheet
from imagemill.leaks.across import across, admitted
from imagemill.leaks.against import Benchmarks
from imagemill.leaks.counts import Counts, counted
from imagemill.leaks.leaving import KEPT, blamed, few, flagged, leavers, obeyed, removed
from imagemill.leaks.settings import Config
from imagemill.progress import say
from imagemill.tables import LEAKS, MANIFEST

Hits = Callable[[pl.DataFrame], pl.DataFrame]
"""Gives the leaks of kind against among kept samples."""


@dataclass(frozen=True)
class Decision:
    """The final word on every sample, and the leaks that led to it."""

    manifest: pl.DataFrame
    """``tables.MANIFEST``."""
    leaks: pl.DataFrame
    """``tables.LEAKS``: everything that was found."""
    left: pl.DataFrame
    """The same, of what remains."""
    deliverables: pl.DataFrame
    """``deliverables.COLUMNS`` of the manifest."""
    before: Counts
    after: Counts
    frozen: int
    """Kept images whose content is frozen in a split."""

    @property
    def sizes(self) -> dict[str | None, int]:
        """Return the kept images of each split."""
        counts = self.manifest.filter(KEPT).group_by("split").len().sort("split")
        return dict(counts.iter_rows())


def no_hits(_: pl.DataFrame) -> pl.DataFrame:
    """Return no leaks, where there is nobody to compare with."""
    return LEAKS.frame()


def decide(
    samples: pl.DataFrame,
    verdicts: pl.DataFrame,
    pairs: pl.DataFrame,
    config: Config,
    frozen: pl.DataFrame | None = None,
    hits: Hits = no_hits,
) -> Decision:
    """Return the final manifest and the leaks found, whatever the order of the rows."""
    rows = obeyed(samples, verdicts)
    near = admitted(pairs, config.methods, config.max_distance, config.min_similarity)
    taken = hits(rows.filter(KEPT))
    rows = removed(rows, _in(_going(taken, config)), "in_benchmark")
    rows = _assigned(rows, near, config, frozen)

    def found(rows: pl.DataFrame) -> pl.DataFrame:
        return across(rows.filter(KEPT), near, config.bonds, config.methods)

    now = found(rows)
    before = _counts(rows, pl.concat([now, taken]), config)
    everything, gone = [now, taken], _going(taken, config)
    # Where a whole group leaks, a round shows but some of its pairs; the next one shows the rest.
    while leaving := leavers(now, config.remove_from, config.report_only):
        gone |= leaving
        rows = removed(rows, _in(leaving), "leak")
        now = found(rows)
        everything.append(now)
    rows = removed(rows, few(config.min_images), "identity_too_small")
    stays = rows.filter(KEPT).select("sample")
    remain = now if now.is_empty() else found(rows)  # fewer images make no leak
    left = pl.concat([remain, taken.join(stays, left_on="a", right_on="sample", how="semi")])
    leaks = blamed(pl.concat(everything).unique(LEAKS.key), gone).sort(LEAKS.key)
    manifest = flagged(rows, leaks).select(*MANIFEST.columns)
    after = _counts(rows, left, config)
    given = deliverables.rows(manifest, samples)
    return Decision(manifest, leaks, left, given, before, after, _frozen(rows, frozen))


def _frozen(rows: pl.DataFrame, frozen: pl.DataFrame | None) -> int:
    if frozen is None:
        return 0
    return len(rows.filter(KEPT).join(frozen, on="digest", how="semi"))


def _in(samples: set[str]) -> pl.Expr:
    return pl.col("sample").is_in(pl.Series(sorted(samples), dtype=pl.String).implode())


def _going(taken: pl.DataFrame, config: Config) -> set[str]:
    names = [name for name, each in config.against.items() if each.hits == "remove"]
    return set(taken.filter(pl.col("split_b").is_in(names))["a"])


def _counts(rows: pl.DataFrame, found: pl.DataFrame, config: Config) -> Counts:
    return counted(rows.filter(KEPT), found, config.checked)


def _assigned(
    rows: pl.DataFrame, pairs: pl.DataFrame, config: Config, frozen: pl.DataFrame | None
) -> pl.DataFrame:
    if config.assigning is None:
        return rows.with_columns(pl.lit(None, pl.Int32).alias("fold"))
    rows = rows.with_row_index("_row")  # numbers join sooner than names
    kept, away = rows.filter(KEPT), rows.filter(~KEPT)
    given = splits.assign(kept, pairs, config.assigning, frozen, away)
    named = given.select(kept["_row"], "split", "fold", _astray="reason")
    rows = rows.drop("split").join(named, on="_row", how="left", maintain_order="left")
    return removed(rows, pl.col("_astray").is_not_null(), "joins_splits").drop("_astray", "_row")


def write(out: Path, decision: Decision, config: Config, dataset: str, hits: Benchmarks) -> None:
    """Write the manifest, the leaks as table and CSV, the summary and the certificate."""
    MANIFEST.write(out, decision.manifest)
    deliverables.write(out, decision.deliverables)
    LEAKS.write(out, decision.leaks)
    sheets.write(out / sheet.FILE, sheet.rows(decision.leaks, config.remove_from))
    how = list(certificate.checks(config, hits.known).values())
    made = certificate.made(config, decision.frozen)
    text = sheet.summary(decision.sizes, made, decision.before, decision.after, how)
    (out / sheet.SUMMARY).write_text(text, encoding="utf-8")
    kept = decision.manifest.filter(KEPT)
    sheets.write(out / sheet.LABELS, sheet.labels(kept))
    said = certificate.certificate(
        kept, decision.before, decision.after, config, hits.known, decision.frozen
    )
    certificate.write(out, {"dataset": dataset, **said})


def refuse(decision: Decision, config: Config, dataset: str, out: Path) -> None:
    """Raise ``GateError`` where more leaks remain than the gate lets through.

    ``out`` has all of them; it stays where the build stops.
    """
    kinds = gate.over(decision.after, config.allowed)
    if not kinds:
        return
    failing = [kind for kind in kinds if getattr(config.gate, kind) == "fail"]
    said = gate.message(decision.before, decision.after, decision.left, config, failing)
    if not failing:
        say(f"warning: {said}")
        return
    raise GateError(
        f"{said}\nLook at them: `imagemill leaks {dataset}` draws a page with their pictures; "
        f"{os.path.relpath(out / sheet.FILE)} lists all."
    )


def summary(decision: Decision) -> str:
    """Return the split sizes and the count of leaks in one line."""
    said = ", ".join(f"{split or 'no split'} {count:,}" for split, count in decision.sizes.items())
    kinds = {kind: count.worth for kind, count in decision.before.items() if count.worth}
    found = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "none"
    return f"leaks: {found} found across splits; final splits: {said}"


__all__ = ["Benchmarks", "Config", "Decision", "decide", "refuse", "summary", "write"]
