"""Read one long JSON object entry by entry: memory holds an entry of a list, not the file."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

PIECE = 1 << 20
"""Characters read at a time; a value that is longer is read in pieces that double."""

_DECODER = json.JSONDecoder()
_SPACES = re.compile(r"[ \t\r\n]*")
_TOKEN = 16  # characters: what ends so near the end of a window, such as a number, may go on


class BrokenJsonError(ValueError):
    """What is wrong with the text, and at which line and column."""


def members(file: TextIO) -> Iterator[tuple[str, Iterator[Any] | None]]:
    """Yield each name of the object with the entries of its list; None where it is no list.

    The entries are to be taken before the next name. Yields nothing where the text is no object.
    Raises ``BrokenJsonError`` and ``RecursionError``.
    """
    text = _Text(file)
    if text.peek() == "{":
        for _ in text.items("{", "}"):
            yield from _member(text)
    else:
        text.value()
    text.end()


def _member(text: "_Text") -> Iterator[tuple[str, Iterator[Any] | None]]:
    name = text.name()
    if text.peek() != "[":
        text.value()
        yield name, None
        return
    entries = (text.value() for _ in text.items("[", "]"))
    yield name, entries
    for _ in entries:  # what nobody took
        pass


class _Text:
    """A text of which only a window is in memory, and a place in it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._window = ""
        self._at = 0
        self._lines = 0  # before the window
        self._columns = 0  # before the window, in its first line

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        while True:
            spaces = _SPACES.match(self._window, self._at)
            self._at = spaces.end() if spaces else self._at
            if self._at < len(self._window) or not self._more():
                return self._window[self._at : self._at + 1]

    def items(self, first: str, last: str) -> Iterator[None]:
        """Step to each item between two brackets; the caller takes it before the next."""
        self._take(first)
        empty = self.peek() == last
        while not empty:
            yield
            if self.peek() == last:
                break
            self._take(",")
        self._take(last)

    def name(self) -> str:
        """Take the name of a member and the colon after it."""
        if self.peek() != '"':
            raise self._broken("Expecting property name enclosed in double quotes", self._at)
        name = str(self.value())
        self._take(":")
        return name

    def value(self) -> Any:
        """Take one value of any kind."""
        self.peek()
        while True:
            start, fault = self._at, ""
            try:
                found, end = _DECODER.raw_decode(self._window, start)
            except json.JSONDecodeError as error:
                found, end, fault = None, error.pos, error.msg
            length, left = end - start, len(self._window) - end
            cut = "Unterminated" in fault or left < _TOKEN
            if cut and self._more():
                continue
            if fault:
                raise self._broken(fault, self._at + length)
            self._at += length
            return found

    def end(self) -> None:
        """Refuse anything but the end of the text."""
        if self.peek():
            raise self._broken("Extra data", self._at)

    def _take(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise self._broken(f"Expecting {wanted!r}", self._at)
        self._at += 1

    def _more(self) -> bool:
        """Move the window on; False at the end of the file."""
        self._lines, self._columns = self._counted(self._at)
        left = self._window[self._at :]
        piece = self._file.read(max(PIECE, len(left)))
        self._window, self._at = left + piece, 0
        return bool(piece)

    def _counted(self, at: int) -> tuple[int, int]:
        """Return the lines before a place of the window, and the columns before it in its own."""
        lines = self._window.count("\n", 0, at)
        if lines:
            return self._lines + lines, at - self._window.rfind("\n", 0, at) - 1
        return self._lines, self._columns + at

    def _broken(self, fault: str, at: int) -> BrokenJsonError:
        lines, columns = self._counted(at)
        return BrokenJsonError(f"line {lines + 1} column {columns + 1}: {fault}")
