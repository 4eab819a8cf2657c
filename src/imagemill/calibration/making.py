"""Calibrate a dataset: learn from its own images what score tells its copies from the rest."""

from pathlib import Path

import numpy as np
import polars as pl

from imagemill import calibration, config, match, measure, packs
from imagemill.calibration import Calibration, Estimate
from imagemill.calibration.candidates import among
from imagemill.calibration.learning import Asked, learned
from imagemill.calibration.trial import planted
from imagemill.config.project import Project
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.match.pictures import Pictures, pictures
from imagemill.tables import FACTS, PLACES

LEAST_IMAGES = 10  # with texture, of which anything can be learned
SEED = 3


def calibrate(root: Path, dataset: str, target: float, count: int, engine: Engine) -> str:
    """Write ``calibrations/<dataset>.json`` by ``count`` images; return what to say of it.

    Raises ``BuildError`` where the dataset is not measured, or has too few images.
    """
    Project(root).overrides(dataset)
    if not 0.5 <= target < 1:
        raise BuildError(f"calibrate: --precision {target}: must be at least 0.5 and below 1")
    if count < LEAST_IMAGES:
        raise BuildError(f"calibrate: --images {count}: must be at least {LEAST_IMAGES}")
    place = root / "data" / dataset
    matching, measuring = _settings(place, dataset)
    shown = _shown(place, matching)
    if len(shown.names) < LEAST_IMAGES:
        raise BuildError(
            f"calibrate: {dataset} has {len(shown.names):,} distinct images with texture; "
            f"{LEAST_IMAGES} at least are needed"
        )
    chosen = PLACES.read(place / "download").join(_some(shown, count), on="digest", how="semi")
    folder = place / "download" / packs.FOLDER
    limits, models = measuring.limits, measuring.models
    tried = planted(chosen, folder, limits, models, matching, engine)
    asked = Asked(target, matching.min_score, match.made_for(matching), len(shown.names))
    found = learned(among(shown, matching, engine), tried, asked)
    path = calibration.write(root, dataset, found)
    return f"{said(found)}\n{path.relative_to(root)}: commit it: every later build obeys it."


def _settings(place: Path, dataset: str) -> tuple[match.Config, measure.Config]:
    """Return the config of the last build, and make sure that it came up to ``measure``."""
    built = (
        place / "config.yaml",
        place / "measure" / FACTS.file,
        place / "download" / PLACES.file,
    )
    if not all(each.exists() for each in built):
        raise BuildError(
            f"calibrate: {dataset} is not measured yet; run `dvc repro measure@{dataset}` first"
        )
    sections = (config.read(built[0], name) for name in ("match", "measure"))
    try:
        matching, measuring = sections
        return match.Config.model_validate(matching), measure.Config.model_validate(measuring)
    except ValueError as error:
        raise BuildError(
            f"calibrate: data/{dataset}/config.yaml is of an earlier imagemill; "
            f"run `dvc repro match@{dataset}`"
        ) from error


def _shown(place: Path, settings: match.Config) -> Pictures:
    measured = match.Measured.read(place / "measure")
    facts = measured.facts.filter(pl.col("reason").is_null()).sort("digest")
    return pictures(measured._replace(facts=facts), settings.min_texture)


def _some(shown: Pictures, count: int) -> pl.DataFrame:
    """Return the ``digest`` of an image of so many pictures, drawn evenly, or of all."""
    digests = shown.digests.list.first().sort()
    if count < len(digests):
        drawn = np.random.default_rng(SEED).choice(len(digests), count, replace=False)
        digests = digests.gather(np.sort(drawn))
    return digests.to_frame("digest")


def said(found: Calibration) -> str:
    """Return a calibration in words and figures for people."""
    lines = [
        f"calibrate: {found.images:,} pictures, {found.candidates:,} pairs that may be copies; "
        f"{found.edited:,} images edited",
        _row("", "before", "now"),
        _row("threshold", str(found.shipped), str(found.min_score)),
    ]
    before, recall = found.before
    tiers = sorted(set(found.precision) - {"together"})
    for tier in tiers if len(tiers) > 1 else ():
        lines.append(_row(_tier("precision", tier), "", _share(found.precision[tier])))
        lines.append(_row(_tier("recall", tier), "", _share(found.recall[tier])))
    lines += [
        _row("precision, together", _share(before), _share(found.precision["together"])),
        _row("recall, together", _share(recall), _share(found.recall["together"])),
        *(_row(f"  {kind}", "", _share(each)) for kind, each in found.recall_of.items()),
        f"Precision is of {found.copies:,.0f} pairs, or as many more as are found.",
    ]
    return "\n".join([*lines, _close(found), *_warnings(found)])


def _row(name: str, before: str, now: str) -> str:
    return f"{name:<25}{before:<28}{now}".rstrip()


def _tier(what: str, tier: str) -> str:
    return f"{what}, {'semantic alone' if tier == 'semantic' else tier}"


def _share(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not known"
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def _close(found: Calibration) -> str:
    if found.close is None:
        return "too close to call: no scores"
    below = f"{found.close_below:,} candidates below the threshold"
    return f"too close to call: scores {found.close.low} to {found.close.high}; {below}"


def _warnings(found: Calibration) -> list[str]:
    if found.reached is None:
        return [
            "precision is not known, as too few pairs of this dataset may be copies, or nearly all "
            f"are: the threshold stays at {found.shipped}"
        ]
    if not found.reached:
        return [
            f"warning: a precision of {found.target} is not reached at any threshold: different "
            "images here score as copies do; the threshold that comes nearest is taken. Delete the "
            "file to go back to `match.min_score`."
        ]
    return []
