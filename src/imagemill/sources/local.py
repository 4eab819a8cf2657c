"""Files that hold many images or say much about them: found, and named by their content."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import polars as pl

from imagemill.errors import SourceError
from imagemill.files import LOCAL, replacing
from imagemill.sources.folder import Folder
from imagemill.sources.locate import locate
from imagemill.sources.stamps import digest, stamp


@dataclass(frozen=True)
class LocalFile:
    """One file, as it was when its content was hashed."""

    name: str
    """Its path below the folder that was asked for, or its file name."""
    path: Path
    digest: str
    """sha256 of its content, hex."""
    stamp: tuple[int, ...]

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return self.stamp[0]

    def changed(self) -> bool:
        """Return whether the file may be another one by now."""
        return stamp(self.path) != self.stamp


def local_files(path: str, include: list[str], exclude: list[str], root: Path) -> list[LocalFile]:
    """Return the file at ``path``, or those below it that the patterns choose, by name.

    A file that did not change is not read again. Raises ``SourceError`` when there is none, or
    one cannot be read.
    """
    place = locate(path, root)
    if place.is_dir():
        return _below(place, include, exclude, root)
    stamped = _stamped(place)
    try:
        return [LocalFile(place.name, place, digest(place, root), stamped)]
    except OSError as error:
        raise SourceError(f"{place}: {error.strerror}. Check `path` in the config.") from error


def _below(place: Path, include: list[str], exclude: list[str], root: Path) -> list[LocalFile]:
    spec = Folder(kind="folder", path=str(place), include=include, exclude=exclude)
    listed = spec.open("", root).listed()
    for key, reason in listed.filter(pl.col("digest").is_null()).select("key", "reason").rows():
        raise SourceError(f"{place / key}: {reason}. Mend it, or leave it out by `exclude`.")
    if listed.is_empty():
        raise SourceError(
            f"{place} has no file like {', '.join(include)}. Check the patterns in the config."
        )
    rows = listed.select("key", "digest").iter_rows()
    return [LocalFile(key, place / key, found, _stamped(place / key)) for key, found in rows]


def _stamped(path: Path) -> tuple[int, ...]:
    found = stamp(path)
    if isinstance(found, str):
        raise SourceError(f"{path}: {found}. Check `path` in the config.")
    return found


class Readings:
    """Tables that were read out of files, remembered by what the files hold."""

    def __init__(self, root: Path, kind: str) -> None:
        self._folder = root / LOCAL / "readings" / kind
        self.fresh = 0
        """Rows that had to be read out of a file."""

    def of(self, name: str, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return what ``read`` returns, or has returned under this name."""
        path = self._folder / f"{sha256(name.encode()).hexdigest()[:32]}.parquet"
        try:
            return pl.read_parquet(path)
        except (FileNotFoundError, pl.exceptions.PolarsError):  # or cut short
            found = read()
        self.fresh += len(found)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            found.write_parquet(part)
        return found
