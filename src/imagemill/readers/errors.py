"""What goes wrong on a training machine, in one line for the user."""

from imagemill.errors import BuildError


class PackageError(BuildError):
    """A package that cannot be read, or is not what it was when it was opened."""


class WorkerError(PackageError):
    """A worker that was killed, or failed, while it read."""


class LabelsChanged(UserWarning):
    """Labels have other numbers than those that were given."""
