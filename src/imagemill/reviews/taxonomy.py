"""What people may say of an image or of a pair: actions that a build obeys, tags that explain."""

from imagemill.config import Section

KEEP, REMOVE, RELABEL = "keep", "remove", "relabel"
SAME, DIFFERENT = "same", "different"
WITHDRAW = "withdraw"

OF_IMAGES = (KEEP, REMOVE, RELABEL)
"""What is to become of an image, or of one annotation of it."""

OF_PAIRS = (SAME, DIFFERENT)
"""Whether two images show the same thing."""

NONE = ""
"""The action of a review that only tags or notes: an opinion, no verdict."""


class Taxonomy(Section):
    """The words that reviews are held to."""

    tags: dict[str, str]
    """Each tag with what it means."""


def actions(*, pair: bool) -> tuple[str, ...]:
    """Return the actions that a review of a pair, or of an image, may have."""
    return (*(OF_PAIRS if pair else OF_IMAGES), WITHDRAW, NONE)
