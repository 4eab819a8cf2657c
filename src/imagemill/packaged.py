"""A dataset's packaged ImageFolder, as ``package`` wrote it or ``dvc pull`` brought it."""

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import polars as pl
import yaml

from imagemill import packs
from imagemill.engine import Engine
from imagemill.errors import BuildError, suggest
from imagemill.exported import BATCH, threads
from imagemill.files import DVC_LOCK
from imagemill.packs import Member, Pack
from imagemill.progress import progress
from imagemill.tables import CONTENTS

Result = TypeVar("Result")

Place = tuple[str, str, str, int, int]
"""Where an image lies: member, sha256, pack, offset, length."""


@dataclass(frozen=True)
class Packaged:
    """Packs and what they are to hold."""

    dataset: str
    folder: Path
    contents: pl.DataFrame
    """``tables.CONTENTS``."""

    def placed(self) -> pl.DataFrame:
        """Return member, packaged, pack, offset, bytes of every image, in the packs' order.

        Raises ``BuildError`` where packs are missing or cut short.
        """
        try:
            places = list(packs.places(self.folder, self._members()))
        except BuildError as error:
            raise BuildError(self._wrong()) from error
        pack, offset = zip(*places, strict=True)
        return self.contents.select(
            "member",
            "packaged",
            pl.Series("pack", pack, pl.String),
            pl.Series("offset", offset, pl.Int64),
            "bytes",
        )

    def mend(self, pack: str) -> str:
        """Return what to do about a pack that is damaged."""
        return (
            f"Delete {self.folder / pack} and fetch it with `dvc pull package@{self.dataset}`, or "
            f"write it again with `dvc repro package@{self.dataset}`."
        )

    def _members(self) -> Iterator[Member]:
        rows = self.contents.select("member", "packaged", "bytes").iter_rows()
        return (Member(*row) for row in rows)

    def _wrong(self) -> str:
        """Return what keeps the packs from being all that the manifest names."""
        found, broken = _recognised(self.folder, list(self._members()))
        if broken:
            return f"{self.folder / broken[0]} is damaged or cut short. {self.mend(broken[0])}"
        held = sum(len(pack.members) for pack in found)
        return (
            f"{self.folder} lacks packs: those that are there hold {held:,} of its "
            f"{len(self.contents):,} images. Fetch the rest with `dvc pull package@{self.dataset}`."
        )


def work_through(
    title: str, placed: pl.DataFrame, work: Callable[[list[Place]], Result]
) -> Iterator[Result]:
    """Yield ``work`` of batches of ``Packaged.placed``, in order, done by threads.

    Threads, for the work is the kernel's; processes would only take longer to start.
    """
    pool = Engine(partial(ThreadPoolExecutor, threads()), 4 * threads())
    rows = placed.select("member", "packaged", "pack", "offset", "bytes").iter_rows()
    with progress(title, len(placed), "images") as advance:
        batches = iter(lambda: list(islice(rows, BATCH)), [])
        for done, result in enumerate(pool.map(work, batches)):
            advance(min(BATCH, len(placed) - done * BATCH))
            yield result


def find(root: Path, dataset: str) -> Packaged:
    """Return the packaged ImageFolder of ``dataset`` in the project at ``root``.

    Raises ``BuildError`` where there is none, or none in packs, with what to do about it.
    """
    folder = root / "data" / dataset / "package" / "imagefolder"
    package = folder.parent
    if not (folder / CONTENTS.file).exists():
        raise BuildError(_absent(root, dataset, package))
    if is_unpacked(folder):
        raise BuildError(
            f"{folder} holds real folders, not packs: train on them where they are, or copy "
            "them. package.formats.imagefolder.unpacked=false makes packs to export from."
        )
    if not any(folder.glob("*.tar")):
        raise BuildError(f"{folder} holds no packs. Fetch them with `dvc pull package@{dataset}`.")
    return Packaged(dataset, folder, CONTENTS.read(folder))


def _absent(root: Path, dataset: str, package: Path) -> str:
    if f"package@{dataset}" not in recorded(root):
        known = [path.parent.name for path in (root / "data").glob("*/package")]
        return (
            f"{package} is not built{suggest(dataset, known)} Build it with "
            f"`dvc repro package@{dataset}`; built elsewhere, fetch its {DVC_LOCK} with `git pull`."
        )
    others = sorted(path.name for path in package.glob("*") if path.is_dir())
    if others:
        return (
            f"{package} holds {', '.join(others)} only, and folders are made of an ImageFolder: "
            f"add it in params.yaml with `{dataset}: [package=[imagefolder,{others[0]}]]`."
        )
    return f"{package} is built, and not here. Fetch it with `dvc pull package@{dataset}`."


def is_unpacked(folder: Path) -> bool:
    """Tell whether an ImageFolder was packaged as real folders, and not in packs."""
    if not (folder / CONTENTS.file).exists() or any(folder.glob("*.tar")):
        return False
    return any(path.is_dir() for path in folder.iterdir())


def is_dataset(root: Path, name: str) -> bool:
    """Tell whether the project at ``root`` has built, or could fetch, a dataset of this name."""
    return (root / "data" / name / "package").is_dir() or f"package@{name}" in recorded(root)


def recorded(root: Path) -> set[str]:
    """Return the names of the stages that DVC's lock file says were built."""
    try:
        lock = yaml.load((root / DVC_LOCK).read_text(), Loader=yaml.CSafeLoader)
        return set(lock["stages"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return set()


def _recognised(folder: Path, members: list[Member]) -> tuple[list[Pack], list[str]]:
    """Return the packs in ``folder`` that are whole, and the names of files that are none.

    A pack's name is the hash of a run of ``members``, which begins with the first that it holds.
    """
    position = {member.name: at for at, member in enumerate(members)}
    found: list[Pack] = []
    broken: list[str] = []
    for path in sorted(folder.glob("*.tar")):
        start = position.get(_first(path))
        pack = None if start is None else _named(path.stem, members[start:])
        if pack is not None and packs.holds(folder, pack):
            found.append(pack)
        else:
            broken.append(path.name)
    return found, broken


def _first(path: Path) -> str:
    try:
        with tarfile.open(path, "r:") as tar:
            first = tar.next()
    except tarfile.TarError:
        return ""
    return first.name if first else ""


def _named(stem: str, members: list[Member]) -> Pack | None:
    """Return the shortest run from the first of ``members`` whose name is ``stem``."""
    seen = hashlib.sha256()
    for count, member in enumerate(members, 1):
        seen.update(f"{member.digest} {member.name}".encode())
        if seen.hexdigest()[:20] == stem:
            return Pack(tuple(members[:count]))
        seen.update(b"\n")
    return None
