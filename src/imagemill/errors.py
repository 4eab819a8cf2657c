"""Errors that end a build with one clear message instead of a traceback."""

import difflib
from collections.abc import Iterable


class BuildError(Exception):
    """What is wrong, where, and what to do about it, in words for the user."""


class ConfigError(BuildError):
    """A config file or an override that cannot be built from."""


class SourceError(BuildError):
    """A source that cannot be listed or read as its config promises."""


class GateError(BuildError):
    """A promise about the dataset that the data does not keep."""


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` for the nearest of ``known``, or the list of them."""
    options = sorted(known)
    near = difflib.get_close_matches(wrong, options, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known: {', '.join(options)}" if options else ""
