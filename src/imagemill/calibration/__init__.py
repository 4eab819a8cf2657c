"""What was learned of matching on one dataset: ``calibrations/<dataset>.json``, in Git, obeyed.

``making`` learns it; this module is what the stages need of it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import JsonValue, ValidationError

from imagemill.config import Section, tracked
from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.progress import say

FOLDER = "calibrations"
SUMMARY = "summary.json"
"""Of the folder of ``match``: what it went by, and what came of it."""

Settings = dict[str, JsonValue]
"""What of a config decides which pairs are looked at, and what they score."""


class Tracked(Section):
    """A dataset's calibration as the config names it."""

    file: str | None
    """Sha256 of ``calibrations/<dataset>.json``; null when there is none. Filled in by config."""
    embedder: JsonValue
    """What it has to be made for, as in ``measure``."""
    keypoints: JsonValue
    """The same."""


class Estimate(Section):
    """A share, with its 95 % interval."""

    value: float
    low: float
    high: float


class Band(Section):
    """Scores at which a pair is as likely a copy as not: from 1 to 9 in 10."""

    low: float
    high: float


class Calibration(Section):
    """The file."""

    format: Literal[1]
    target: float
    """Precision that was asked for."""
    min_score: float
    """Verified likeness from which on a candidate is a pair."""
    shipped: float
    """``match.min_score`` at that time."""
    reached: bool | None
    """Whether ``target`` is met at the lower end of the interval; null: the pairs do not say."""
    precision: dict[str, Estimate | None]
    """By tier, and ``together``, of what is found at ``min_score``, or of ``copies`` pairs.

    Of the latter where fewer are found; null where too few pairs can say.
    """
    copies: float
    """Pairs that a precision is of, at least: one for a hundred images."""
    recall: dict[str, Estimate]
    """By tier, of the planted edits; ``semantic``: what only that tier finds; and ``together``."""
    recall_of: dict[str, Estimate]
    """By kind of edit, of all tiers together."""
    before: tuple[Estimate | None, Estimate]
    """Precision and recall, of all tiers together, at ``shipped``."""
    close: Band | None
    """Null where too few pairs can say."""
    close_below: int
    """Candidates in ``close`` that are no pairs, as their score is below ``min_score``."""
    candidates: int
    """Pairs of pictures that were looked at."""
    images: int
    """Distinct pictures with texture that the dataset had."""
    edited: int
    """Of those, the ones that were edited."""
    made_for: Settings


def parse(content: bytes, name: str) -> Calibration:
    """Return the calibration in the file ``name``; raises ``BuildError`` where it is none."""
    try:
        return Calibration.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise BuildError(
            f"{name}: {where}: {first['msg']}; restore the file from Git, make it again with "
            f"`imagemill calibrate {Path(name).stem}`, or delete it"
        ) from error


def write(root: Path, dataset: str, found: Calibration) -> Path:
    """Write the calibration of ``dataset``; return where."""
    path = tracked.place(root, FOLDER, dataset)
    path.parent.mkdir(exist_ok=True)
    _write_json(path, found.model_dump(mode="json"))
    return path


def read(root: Path, dataset: str, said: str | None) -> Calibration | None:
    """Return the calibration of ``dataset``, or None where there is none.

    ``said`` is the file's sha256 in the config. Raises ``BuildError`` where it is another one.
    """
    content = tracked.read(root, FOLDER, dataset, said)
    return None if content is None else parse(content, f"{FOLDER}/{dataset}.json")


def obeyed(root: Path, dataset: str, said: str | None, now: Settings) -> Calibration | None:
    """Return what a build with the settings ``now`` must obey, and say so; None where nothing."""
    found = read(root, dataset, said)
    if found is None:
        return None
    say(
        f"match: {FOLDER}/{dataset}.json is obeyed: pairs from {found.min_score} on, in place of "
        "`match.min_score`"
    )
    if other := different(found.made_for, now):
        say(
            f"warning: match: {FOLDER}/{dataset}.json was made for other settings: {other}. Its "
            f"figures do not hold now; run `imagemill calibrate {dataset}` again, or delete it."
        )
    return found


def different(then: Settings, now: Settings) -> str:
    """Return which settings differ, in words; empty where none does."""
    names = sorted({*then, *now})
    return ", ".join(
        f"{name} {_plain(then.get(name))}, now {_plain(now.get(name))}"
        for name in names
        if then.get(name) != now.get(name)
    )


def _plain(value: JsonValue) -> str:
    if isinstance(value, dict):
        more = [f"{key}={each}" for key, each in value.items() if key != "kind"]
        return " ".join([str(value.get("kind", "")), *more]).strip()
    return "none" if value is None else str(value)


def summarise(out: Path, pairs: pl.DataFrame, min_score: float, found: Calibration | None) -> None:
    """Write what ``match`` went by and found to the folder ``out``; ``pairs`` as ``PAIRS``."""
    tiers = dict(sorted(pairs["tier"].value_counts().iter_rows()))
    said: dict[str, Any] = {"min_score": min_score, "pairs": tiers, "calibration": None}
    said["close_calls"] = None
    if found is not None:
        said["calibration"] = found.model_dump(mode="json", exclude={"made_for"})
        said["close_calls"] = len(close_calls(pairs, said))
    _write_json(out / SUMMARY, said)


def summary(folder: Path) -> dict[str, Any]:
    """Return what ``summarise`` wrote to the folder of ``match``."""
    said: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    return said


def close_calls(pairs: pl.DataFrame, said: Mapping[str, Any]) -> pl.DataFrame:
    """Return the ``pairs`` that are too close to call by a summary, the least alike first."""
    band = (said["calibration"] or {}).get("close") or {"high": -1.0}
    verified = pl.col("tier") != "pixels"
    return pairs.filter(verified, pl.col("score") < band["high"]).sort("score", "a", "b")


def miss_rate(said: Mapping[str, Any], *, semantic: bool) -> float | None:
    """Return the share of planted edits that match missed, by a summary; None: not calibrated.

    ``semantic``: pairs count that only embeddings hint at.
    """
    if said["calibration"] is None:
        return None
    recall = said["calibration"]["recall"]["together" if semantic else "perceptual"]
    return round(1 - float(recall["value"]), 4)


def _write_json(path: Path, said: Mapping[str, Any]) -> None:
    with replacing(path) as part:
        text = json.dumps(said, indent=2, sort_keys=True, ensure_ascii=False)
        part.write_text(f"{text}\n", encoding="utf-8")
