"""Which keys a source's patterns choose, and which no table can hold as they are."""

import os
import re
from collections.abc import Callable
from fnmatch import translate
from unicodedata import category

UNWRITABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that no key may have: control characters, line ends, bytes beyond UTF-8."""


def any_of(patterns: list[str]) -> Callable[[str], object]:
    """Return a test of whether any pattern fits a key; ``*`` crosses slashes."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)").match


def odd(key: str) -> bool:
    """Tell whether a key has a character that no key may have."""
    return not key.isprintable() and any(category(each) in UNWRITABLE for each in key)


def writable(key: str) -> str:
    """Return an odd key as people can read it, with the odd characters as numbers."""
    text = os.fsencode(key).decode(errors="backslashreplace")
    return "".join(f"\\x{ord(c):02x}" if category(c) in UNWRITABLE else c for c in text)
