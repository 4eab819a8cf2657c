"""The config of assigned splits."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from imagemill.config import Section

Bond = Literal["copies", "group", "identity"]
"""What can hold two images in one split."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
"""Of a split: a folder in the package, a cell of a CSV."""


class Config(Section):
    """Which splits to make, and of what."""

    fractions: dict[Name, Annotated[float, Field(ge=0, le=1)]]
    """Share of the samples for each split, by name; they add up to 1. One with 0 takes no
    newcomers, and keeps what is frozen in it."""
    seed: int
    """Of the hashes that decide."""
    together: list[Literal["copies", "group"]]
    """What must stay in one split: verified copies, groups."""
    identities: Literal["any", "open", "closed"]
    """``open``: an identity lies whole in one split, so that a test shows strangers. ``closed``:
    every identity is in every split, where it has enough units. ``any``: not looked at."""
    draw: Literal["even", "hashed"]
    """``even``: shares are met, overall and label by label; what is not frozen may move when the
    data changes. ``hashed``: each unit is drawn alone by the hash of its name, which is sticky
    without a file and meets the shares only by chance."""
    rare: Literal["spread", "share"]
    """A label too small for its shares, with ``even``: ``spread`` gives every split a unit of it
    before any gets more than its share; ``share`` looks at shares alone."""
    folds: Annotated[int, Field(ge=0)]
    """Parts of ``folded`` for cross-validation; 0: none."""
    folded: str
    """The split that the folds divide."""
    frozen: str | None
    """Sha256 of ``splits/<dataset>.csv``; null when there is none. The config stage fills it in."""

    @property
    def bonds(self) -> list[Bond]:
        """Return everything that must stay in one split."""
        return [*self.together, *(["identity"] if self.identities == "open" else [])]  # type: ignore[list-item]

    @model_validator(mode="after")
    def _check(self) -> Self:
        total = sum(self.fractions.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"`fractions` add up to {total:g}; they must add up to 1")
        if self.folds == 1:
            raise ValueError("`folds: 1` divides nothing; 0 for none, or 2 and more")
        if self.folds and self.folded not in self.fractions:
            raise ValueError(f"`folded: {self.folded}` is none of the splits in `fractions`")
        return self
