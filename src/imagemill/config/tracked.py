"""What was decided about one dataset: a small file in Git, ``<folder>/<dataset>.csv`` or ``.json``.

It need not exist, and DVC wants what a stage depends on to exist. So the config stage depends on
the whole folder, and the config says by ``${tracked:<folder>}`` what the file holds: its sha256, or
null. The stage that obeys the file depends on that value. An edit so reruns ``config`` and that
stage of that dataset alone, and ``data/<dataset>/config.yaml`` shows in Git that it happened.
"""

from hashlib import file_digest, sha256
from pathlib import Path

from imagemill.errors import BuildError

JSON = frozenset({"calibrations"})
"""Folders whose files are JSON; those of the others are CSV."""


def place(root: Path, folder: str, dataset: str) -> Path:
    """Return where the file of ``dataset`` lies in the project ``root``."""
    return root / folder / f"{dataset}.{'json' if folder in JSON else 'csv'}"


def fingerprint(root: Path, folder: str, dataset: str) -> str | None:
    """Return the sha256 of the file, or None when there is none."""
    return content(place(root, folder, dataset))


def content(path: Path) -> str | None:
    """Return the sha256 of a file, or None when there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def read(
    root: Path, folder: str, dataset: str, said: str | None, reader: str | None = None
) -> bytes | None:
    """Return what the file holds, or None when there is none.

    ``reader``: the dataset whose config says so, where that is another one.

    Raises ``BuildError`` when it is not the one of which the config ``said`` the sha256.
    """
    path = place(root, folder, dataset)
    content = path.read_bytes() if path.exists() else None
    if (None if content is None else sha256(content).hexdigest()) != said:
        raise BuildError(
            f"{folder}/{path.name}: is not what data/{reader or dataset}/config.yaml was written "
            f"for; run `dvc repro config@{reader or dataset}`, or the whole build"
        )
    return content
