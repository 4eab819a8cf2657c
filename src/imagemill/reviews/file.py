"""The file of a dataset's reviews: read with what is wrong in it, added to by several at once.

Lines are only ever added, each by one write under a lock, and are on the disk when ``append``
returns. What a killed writer left half written is taken off by the next one, who says so.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from imagemill.config import tracked
from imagemill.errors import BuildError
from imagemill.files import LOCAL, locked
from imagemill.progress import say
from imagemill.reviews import rows
from imagemill.reviews.rows import COLUMNS, Review
from imagemill.reviews.taxonomy import Taxonomy

FOLDER = "reviews"
HEADER = ",".join(COLUMNS)
SHOWN = 10  # wrong lines that a message names
LONGEST = 1 << 20  # bytes of a line


class Problem(NamedTuple):
    """A line that says nothing that can be obeyed."""

    line: int
    said: str


@dataclass(frozen=True)
class Log:
    """What a file holds, in its order."""

    name: str
    reviews: list[Review] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Of each review, in the file."""
    problems: list[Problem] = field(default_factory=list)
    torn: str = ""
    """The end of a file whose last line was never finished."""
    fingerprint: str | None = None
    """sha256 of the file, by which one sees that it changed; None where there is none."""

    def refuse(self) -> "Log":
        """Return this log; raises ``BuildError`` naming the lines where some are wrong."""
        if not self.problems:
            return self
        lines = [f"{self.name}:{line}: {said}" for line, said in self.problems[:SHOWN]]
        more = len(self.problems) - SHOWN
        rest = [f"and {more:,} more lines"] if more > 0 else []
        raise BuildError(
            "\n".join([*lines, *rest, "Mend these lines; the others are as they were"])
        )


def path(root: Path, dataset: str) -> Path:
    """Return where the reviews of ``dataset`` lie."""
    return tracked.place(root, FOLDER, dataset)


def load(root: Path, dataset: str, taxonomy: Taxonomy) -> Log:
    """Return what is in the file now; wrong lines are among the ``problems``, not an error."""
    place = path(root, dataset)
    name = f"{FOLDER}/{place.name}"
    return parse(place.read_bytes(), name, taxonomy) if place.exists() else Log(name)


def obeyed(
    root: Path, dataset: str, said: str | None, taxonomy: Taxonomy, reader: str | None = None
) -> Log:
    """Return what a build must obey; ``said`` is the sha256 of the file in the config.

    ``reader``: the dataset that is built, where it obeys the reviews of another. Raises
    ``BuildError`` where the file is another one, or lines of it are wrong.
    """
    content = tracked.read(root, FOLDER, dataset, said, reader)
    log = parse(content or b"", f"{FOLDER}/{dataset}.csv", taxonomy).refuse()
    if log.torn:
        say(f"{log.name}: its last line was never finished and is not obeyed: {log.torn[:120]!r}")
    return log


def parse(content: bytes, name: str, taxonomy: Taxonomy) -> Log:
    """Return the reviews of a file; raises ``BuildError`` where its first line names no columns."""
    if not content or HEADER.encode().startswith(content):  # cut short when it was made
        return Log(name)
    *lines, last = content.decode("utf-8-sig", errors="replace").split("\n")
    columns = _columns(lines[0] if lines else last, name)
    log = Log(name, fingerprint=sha256(content).hexdigest())
    for number, line in enumerate(lines[1:], start=2):
        _take(log, number, line, columns, taxonomy)
    if not last or not lines:
        return log
    if not _whole(last, columns):
        return replace(log, torn=last)
    _take(log, len(lines) + 1, last, columns, taxonomy)
    return log


def _whole(line: str, columns: Sequence[str]) -> bool:
    try:
        rows.read(line.rstrip("\r"), columns)
    except ValueError:
        return False
    return True


def _take(log: Log, number: int, line: str, columns: Sequence[str], taxonomy: Taxonomy) -> None:
    if not line.strip():
        return
    try:
        review = rows.read(line.rstrip("\r"), columns)
    except ValueError as error:
        log.problems.append(Problem(number, str(error)))
        return
    said = rows.wrong(review, taxonomy)
    if said is None:
        log.reviews.append(review)
        log.lines.append(number)
    else:
        log.problems.append(Problem(number, said))


def _columns(first: str, name: str) -> list[str]:
    found = [cell.strip().strip('"') for cell in first.rstrip("\r").split(",")]
    if sorted(found) == sorted(COLUMNS):
        return found
    missing = [each for each in COLUMNS if each not in found]
    odd = [each for each in found if each not in COLUMNS]
    said = f"no column {missing[0]}" if missing else f"column {' '.join(odd) or 'twice'}"
    raise BuildError(f"{name}:1: {said}; the first line must be `{HEADER}`")


def append(root: Path, dataset: str, reviews: Iterable[Review], taxonomy: Taxonomy) -> None:
    """Add reviews to the file. When it returns, all of them are on the disk.

    Raises ``BuildError`` where one of them is wrong, or the disk is full: then none is.
    """
    added = list(reviews)
    for number, review in enumerate(added, start=1):
        if (said := rows.wrong(review, taxonomy)) is not None:
            raise BuildError(f"review {number:,} of {len(added):,}: {said}; nothing was saved")
    place = path(root, dataset)
    place.parent.mkdir(exist_ok=True)
    fresh = not place.exists()
    lock = root / LOCAL / "locks" / f"{dataset}.reviews"
    with (
        locked(lock, f"{FOLDER}/{place.name}: waiting for another writer"),
        place.open("a+b") as file,
    ):
        _write(file, added, f"{FOLDER}/{place.name}")
    if fresh:
        _keep_name(place.parent)


def _keep_name(folder: Path) -> None:
    """Have the disk know the name of a new file too: without it, its bytes are nobody's."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(file: BinaryIO, added: Sequence[Review], name: str) -> None:
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    first = file.readline().decode("utf-8-sig", errors="replace")
    fresh = HEADER.startswith(first)
    columns = COLUMNS if fresh else _columns(first.rstrip("\n"), name)
    kept, before = (0, f"{HEADER}\n") if fresh else _healed(file, end, columns, name)
    text = before + "".join(rows.line(each, columns) for each in added)
    try:
        file.truncate(kept)
        _write_all(file.fileno(), text.encode())
    except OSError as error:
        file.truncate(kept)
        raise BuildError(f"{name}: nothing was saved: {error.strerror}") from error


def _healed(file: BinaryIO, end: int, columns: Sequence[str], name: str) -> tuple[int, str]:
    """Return how much of the file stays, and what must come before the next line."""
    start = max(0, end - LONGEST)
    file.seek(start)
    tail = file.read()
    last = tail[tail.rfind(b"\n") + 1 :]
    line = last.decode(errors="replace")
    if not last or _whole(line, columns):
        return end, "\n" if last else ""
    say(f"{name}: took off its last line, which was never finished: {line[:120]!r}")
    return end - len(last), ""


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)
