"""What people must know of a dataset before they use it."""

from imagemill.config import Section


class About(Section):
    """Travels in the package and on the report."""

    title: str
    licence: str
    """Of the images, with what it asks of users."""
    credit: str
    """Whom to name, and where the images come from."""
    licences: dict[str, str]
    """Of single sources, by name, where they are not ``licence``."""
