"""How expectations are written in a config. What is left out is not checked."""

from typing import Self

from pydantic import Field, model_validator

from imagemill.config import Section


class Bounds(Section):
    """What a figure may be, ends included; null bounds nothing."""

    least: int | float | None = None
    most: int | float | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_a_number(cls, given: object) -> object:
        if isinstance(given, int | float):
            raise ValueError(f"write {{least: {given}}}, {{most: {given}}} or both")
        return given

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least, {self.least}, is above most, {self.most}")
        return self

    def wrong(self, value: float) -> str:
        """Return what is wrong with a figure; empty when nothing is."""
        if self.least is not None and value < self.least:
            return "TOO LOW"
        return "TOO HIGH" if self.most is not None and value > self.most else ""

    def __str__(self) -> str:
        least, most = self.least, self.most
        if least is None:
            return "any" if most is None else f"at most {said(most)}"
        if most is None:
            return f"at least {said(least)}"
        return said(least) if least == most else f"{said(least)} to {said(most)}"


class Figures(Section):
    """Figures of what one source lists, before any of it is fetched."""

    identities: Bounds | None = None
    """Distinct identities, or labels where there are no identities."""
    images: Bounds | None = None
    """Objects that show one of them."""
    images_per_identity: Bounds | None = None
    """The mean."""
    skipped_share: Bounds | None = None
    """Objects left out, of those listed; 0..1."""


class Result(Figures):
    """Figures of what the merge keeps."""

    images_from: dict[str, Bounds] = Field(default={})
    """Images kept of each source."""


class Photos(Section):
    """What every image is that ``clean`` keeps."""

    width: Bounds | None = None
    """Pixels, upright."""
    height: Bounds | None = None
    modes: list[str] = Field(default=[])
    """As stored, such as RGB; none: any."""
    formats: list[str] = Field(default=[])
    """As found in the bytes, such as JPEG; none: any."""


def said(value: float) -> str:
    """Return a figure with commas, and at most four decimals."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4f}".rstrip("0").rstrip(".")
