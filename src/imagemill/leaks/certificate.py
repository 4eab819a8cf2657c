"""The certificate: what was checked, how, and what came of it."""

from pathlib import Path
from typing import Any

import polars as pl

from imagemill import certificates
from imagemill.fingerprints import SIGNS_AGREE, Fingerprints
from imagemill.leaks.counts import KINDS, Counts
from imagemill.leaks.gate import over
from imagemill.leaks.settings import Config
from imagemill.splits import Config as Assign

FORMAT = 1

UNKNOWN = "not measured: match was not calibrated on this dataset"
KNOWN = "share of copies that match missed, of edits planted when it was calibrated on this dataset"


def certificate(
    kept: pl.DataFrame,
    before: Counts,
    after: Counts,
    config: Config,
    benchmarks: list[Fingerprints],
    frozen: int = 0,
) -> dict[str, Any]:
    """Return what is known of the ``kept`` samples' splits, ``frozen`` of which are for good."""
    missed = config.reach.miss_rate
    sizes = kept.group_by("split").len().sort("split")
    many = over(after, config.allowed)
    return {
        "format": FORMAT,
        "splits": {split or "": count for split, count in sizes.iter_rows()},
        "made": "assigned by imagemill" if config.assigning else "given by the sources",
        "assigned": config.assigning and _assigned(config.assigning, frozen),
        "content": certificates.content(kept),
        "checked": checks(config, benchmarks),
        "not_checked": [kind for kind in KINDS if kind not in before],
        "thresholds": _thresholds(config),
        "expected_miss_rate": missed,
        "expected_miss_rate_is": UNKNOWN if missed is None else KNOWN,
        "leaks": {
            kind: {
                "found": count.worth,
                "left": after[kind].worth,
                "allowed": getattr(config.allowed, kind),
                "gate": getattr(config.gate, kind),
                "passed": kind not in many,
                "pairs_found": count.pairs,
                "pairs_left": after[kind].pairs,
                "images_found": count.images,
                "images_left": after[kind].images,
            }
            for kind, count in before.items()
        },
        "against": {
            each.name: {"file_sha256": each.sha256, "images": len(each.rows)} for each in benchmarks
        },
    }


def made(config: Config, frozen: int) -> str:
    """Return in words where the splits come from, and whether they are for good."""
    if config.assigning is None:
        return "as the sources give them"
    if config.assigning.frozen is None:
        return "assigned, not frozen"
    return f"assigned, {frozen:,} of them frozen"


def _assigned(assign: Assign, frozen: int) -> dict[str, Any]:
    """Return how splits were made; ``frozen`` is null where no file says which are for good."""
    held = assign.frozen and {"file_sha256": assign.frozen, "images": frozen}
    return {
        "fractions": assign.fractions,
        "draw": assign.draw,
        "seed": assign.seed,
        "together": assign.bonds,
        "identities": assign.identities,
        "rare": assign.rare,
        "frozen": held,
        "folds": assign.folds,
        "folded": assign.folded if assign.folds else None,
    }


def _thresholds(config: Config) -> dict[str, Any]:
    found = {
        "perceptual": {
            "max_distance": config.max_distance,
            "match_radius": config.reach.radius,
            "bits": 64,
            "min_score": config.reach.min_score,
        },
        "semantic": {
            "min_similarity": config.min_similarity,
            "embedder": config.reach.embedder,
        },
        "against": {"max_distance": config.hash_distance, "min_sketch": SIGNS_AGREE},
    }
    return {kind: values for kind, values in found.items() if kind in config.checked}


def checks(config: Config, benchmarks: list[Fingerprints]) -> dict[str, str]:
    """Return how each kind of leak was looked for, in words."""
    words = {
        "bytes": "equal files, by sha256",
        "pixels": "equal upright RGB pixels, by XXH3 of 128 bits",
        "perceptual": (
            f"perceptual hashes within {config.hash_distance} of 64 bits under any turn or "
            f"mirror, verified on aligned thumbnails from {config.reach.min_score} on"
        ),
        "semantic": f"embeddings with a cosine of at least {config.min_similarity}, verified",
        "group": "equal group, such as sender, product or patient",
        "identity": "equal identity",
        "against": "; ".join(_against(each, config) for each in benchmarks),
    }
    return {kind: words[kind] for kind in KINDS if kind in config.checked}


def _against(theirs: Fingerprints, config: Config) -> str:
    how = "equal files"
    if theirs.pictured:
        how += " and pixels"
        if "perceptual" in config.methods:
            how += (
                f", hashes within {config.hash_distance} of 64 bits under any turn or mirror and "
                f"sketches from {SIGNS_AGREE} on, without alignment"
            )
    return f"{len(theirs.rows):,} images of {theirs.name}: {how}"


def write(out: Path, said: dict[str, Any]) -> None:
    """Write the certificate to the folder ``out``."""
    certificates.write(out / certificates.FILE, said)


__all__ = ["certificate", "checks", "write"]
