"""The config of ``leaks``."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from imagemill import calibration
from imagemill.config import Section
from imagemill.leaks.across import BITS, Bond, Method
from imagemill.leaks.counts import Kind
from imagemill.splits import Config as Assign

Outcome = Literal["fail", "warn"]

FINGERPRINTS = "fingerprints"
"""Folder of the project, beside ``conf``, with what datasets are checked against."""


class Reach(Section):
    """What ``match`` looks for: a leak beyond that is not found."""

    radius: int
    """Bits of 64, ``match.radius``."""
    min_score: float
    """Verified likeness, ``match.min_score``."""
    embedder: str
    """Kind of the model that makes embeddings; none: there are none."""
    min_similarity: float | None
    """Cosine of two embeddings; null where match compares none."""
    miss_rate: Annotated[float, Field(ge=0, le=1)] | None
    """Share of planted copies that match missed; null: not calibrated. The stage fills it in."""

    @property
    def semantic(self) -> bool:
        """Tell whether match compares embeddings."""
        return self.embedder != "none" and self.min_similarity is not None


class Gate(Section):
    """What leaks that remain do to the build, for each kind."""

    bytes: Outcome
    pixels: Outcome
    perceptual: Outcome
    semantic: Outcome
    group: Outcome
    identity: Outcome
    against: Outcome


Least = Annotated[int, Field(ge=0)]


class Allowed(Section):
    """Leaks of each kind that may remain: groups of groups and identities, pairs of the others."""

    bytes: Least
    pixels: Least
    perceptual: Least
    semantic: Least
    group: Least
    identity: Least
    against: Least


class Benchmark(Section):
    """Images of others that must not be in this dataset."""

    path: str
    """A file in the folder ``fingerprints``, or the ``manifest.parquet`` of a package put there."""
    hits: Literal["remove", "report"]
    """What becomes of an image of this dataset that is among them."""

    @field_validator("path")
    @classmethod
    def _lie_where_dvc_looks(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if len(parts) < 2 or parts[0] != FINGERPRINTS or ".." in parts:
            raise ValueError(
                f"must be a file in {FINGERPRINTS}/, which DVC watches, such as "
                f"{FINGERPRINTS}/imagenet_val.parquet; `imagemill fingerprint` writes one"
            )
        return path


class Config(Section):
    """Where splits come from, what must not lie in two of them, and what is done about it."""

    splits: Literal["given", "assigned"]
    """Taken from the sources, or made here as ``assign`` says."""
    assign: Assign
    """How splits are made; of no effect where they are given."""
    reach: Reach
    methods: list[Method]
    """How copies are found. Equal files and pixels are found by each of them."""
    max_distance: Annotated[int, Field(ge=0, le=BITS)] | None
    """Bits of 64 in which the hashes of a perceptual leak differ at most; null: whatever match
    verified."""
    min_similarity: Annotated[float, Field(ge=-1, le=1)]
    """Cosine of the embeddings of a semantic leak, at least."""
    together: list[Literal["group", "identity"]]
    """What besides copies must not lie in two splits. What is assigned together is added."""
    remove_from: list[str]
    """Splits that lose an image which leaks, the first named first. Empty: leaks are reported."""
    report_only: list[Kind]
    """Kinds of leaks that no image is removed for."""
    gate: Gate
    allowed: Allowed
    against: dict[str, Benchmark]
    """Images of others that must not be in this dataset, by a name for them."""
    min_images: Annotated[int, Field(ge=1)]
    """Images that an identity or label must have in the end."""

    @field_validator("methods")
    @classmethod
    def _find_what_match_finds(cls, methods: list[Method], info: ValidationInfo) -> list[Method]:
        reach = info.data.get("reach")
        if "semantic" in methods and reach and not reach.semantic:
            raise ValueError(
                "has semantic, and `match` compares no embeddings: choose an embedder, and the "
                "least similarity that match keeps; README, Leaks, says how"
            )
        return methods

    @field_validator("max_distance")
    @classmethod
    def _stay_within_radius(cls, bits: int | None, info: ValidationInfo) -> int | None:
        reach, methods = info.data.get("reach"), info.data.get("methods", [])
        if bits and reach and "perceptual" in methods and bits > reach.radius:
            raise ValueError(
                f"is beyond `match.radius`, {reach.radius}, and what match does not look for "
                f"cannot be found: lower it, or set match.radius={bits}"
            )
        return bits

    @field_validator("min_similarity")
    @classmethod
    def _stay_within_similarity(cls, cosine: float, info: ValidationInfo) -> float:
        reach, methods = info.data.get("reach"), info.data.get("methods", [])
        least = reach.min_similarity if reach else None
        if least is not None and "semantic" in methods and cosine < least:
            raise ValueError(
                f"is below `match.min_similarity`, {least}, and what match does not keep cannot "
                f"be found: raise it, or set match.min_similarity={cosine}"
            )
        return cosine

    @field_validator("against")
    @classmethod
    def _name_no_split(cls, against: dict[str, Benchmark]) -> dict[str, Benchmark]:
        for name in against:
            if not name.replace("_", "").isalnum():
                raise ValueError(f"{name!r} is no name: letters, digits and _")
        return against

    @property
    def assigning(self) -> Assign | None:
        """Return how to make splits; None where they are given."""
        return self.assign if self.splits == "assigned" else None

    @property
    def hash_distance(self) -> int:
        """Return the bits that hashes of a benchmark's images may differ in."""
        return self.reach.radius if self.max_distance is None else self.max_distance

    @property
    def bonds(self) -> list[Bond]:
        """Return what besides copies is checked."""
        held = self.assigning.bonds if self.assigning else []
        return [each for each in ("group", "identity") if each in {*self.together, *held}]

    @property
    def checked(self) -> set[Kind]:
        """Return the kinds of leaks that are looked for."""
        kinds: set[Kind] = {"bytes", "pixels"} if self.methods else set()
        kinds |= {each for each in self.methods if each != "exact"}
        kinds |= {each for each in self.bonds if each != "copies"}
        return kinds | ({"against"} if self.against else set())

    def reaching(self, matched: Mapping[str, Any]) -> Self:
        """Return this config with what ``match`` went by; ``matched`` is its summary."""
        missed = calibration.miss_rate(matched, semantic="semantic" in self.methods)
        reached = {"min_score": matched["min_score"], "miss_rate": missed}
        return self.model_copy(update={"reach": self.reach.model_copy(update=reached)})
