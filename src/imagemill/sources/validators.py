"""How a server names a version of a file, so that it can be asked later whether it has changed.

A validator is kept as the header that has it: ``ETag: "abc"``, ``Last-Modified: Wed, 21 ...`` or,
where a server gives neither, ``Content-Length: 123``, which tells less.
"""

from collections.abc import Mapping

import polars as pl

from imagemill.sources.keys import odd

_CONDITIONS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
"""By the header that has a validator, the one that asks for another version; the best first."""


def validator(headers: Mapping[str, str]) -> str | None:
    """Return the best validator of an answer but its length; null where it has none."""
    found = (_said(headers, name) for name in _CONDITIONS)
    return next((each for each in found if each), None)


def of_length(length: str) -> pl.Expr:
    """Return the validator of files of which only the length is known, in the column ``length``."""
    return pl.format("Content-Length: {}", length)


def condition(validator: str) -> dict[str, str]:
    """Return the headers that ask for the file only if it has another validator."""
    name, _, value = validator.partition(": ")
    return {_CONDITIONS[name]: value} if name in _CONDITIONS else {}


def newer(validator: str, headers: Mapping[str, str]) -> str | None:
    """Return the validator of an answer where it differs from ``validator``.

    Null where it does not, and where the answer has none of that kind: then nothing tells.
    """
    name = validator.partition(": ")[0]
    if name not in _CONDITIONS and "Content-Encoding" in headers:  # the length of something else
        return None
    found = _said(headers, name)
    return found if found and _strong(found) != _strong(validator) else None


def _said(headers: Mapping[str, str], name: str) -> str | None:
    value = (headers.get(name) or "").strip()
    return f"{name}: {value}" if value and not odd(value) else None


def _strong(validator: str) -> str:
    """Return a validator without the mark of a weak ETag, which says nothing of the version."""
    return validator.replace("ETag: W/", "ETag: ", 1)
