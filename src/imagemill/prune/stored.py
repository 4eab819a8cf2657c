"""What DVC keeps of this project: its cache, its outputs, and what a remote of it holds."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from dvc.config import NoRemoteError
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo

from imagemill.errors import BuildError

_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Out:
    """An output of a stage, as DVC's lock file names it."""

    path: Path
    stage: str
    """Such as ``package@solar``; empty where it is of none."""
    listed: str
    """Name in the cache of the list of its files, or of itself where it is a file."""
    files: dict[str, Path]
    """Where each of its files lies, by its name in the cache: its MD5."""
    present: bool
    clean: bool
    """What lies there is what the lock file names."""

    @property
    def objects(self) -> set[str]:
        """Names of all that the cache needs to have for it."""
        return {self.listed, *self.files}


class Stored:
    """DVC's own view of a project; ``stored`` opens one."""

    def __init__(self, root: Path, repo: Any) -> None:
        self._root = root
        self._repo = repo
        self._cache = repo.cache.local

    @property
    def shared(self) -> Path | None:
        """The folder of the cache where it lies outside the project, for others to use too."""
        folder = Path(self._cache.path).resolve()
        return None if folder.is_relative_to(self._root) else folder

    def cached(self) -> dict[str, Path]:
        """Return the files of the cache by their names."""
        return {oid: Path(self._cache.oid_to_path(oid)) for oid in sorted(self._cache.all())}

    def outs(self) -> list[Out]:
        """Return the outputs that the lock file names, of every stage."""
        stages = self._repo.index.stages
        # What was added by `dvc add` has a stage without a name.
        found = ((getattr(stage, "name", ""), out) for stage in stages for out in stage.outs)
        return [self._out(*each) for each in found if each[1].use_cache and each[1].hash_info]

    def _out(self, stage: str, out: Any) -> Out:
        path, present = Path(out.fs_path), bool(out.exists)
        return Out(
            path=path,
            stage=stage,
            listed=out.hash_info.value,
            files=_files(path, out),
            present=present,
            clean=present and not out.workspace_status(),
        )

    def remote(self, name: str | None) -> "Remote | None":
        """Return the remote of that name, or the default one, listed now; None without default.

        Raises ``BuildError`` where there is none of that name, or it cannot be listed.
        """
        try:
            label = self._repo.cloud.get_remote(name, "prune").name
            place = self._repo.cloud.get_remote_odb(name, "prune", hash_name="md5")
        except NoRemoteError:
            return None
        except DvcException as error:
            raise BuildError(f"prune: {error}; nothing was freed.") from error
        return Remote(label, place)


def _files(path: Path, out: Any) -> dict[str, Path]:
    """Return where each file of an output lies; fetches the list of them where it must."""
    if not out.hash_info.isdir:
        return {out.hash_info.value: path}
    out.get_used_objs()
    tree = out.get_obj()
    return {} if tree is None else {each.value: path.joinpath(*key) for key, _, each in tree}


class Remote:
    """A remote of DVC's, as it was listed a moment ago."""

    def __init__(self, name: str, place: Any) -> None:
        self.name = name
        self._local = place.fs.protocol == "local"
        try:
            listed = _walked(place.path) if self._local else _found(place)
        except (OSError, BotoCoreError, ClientError, DvcException) as error:
            raise BuildError(
                f"prune: remote {name} cannot be listed: {error}; nothing was freed."
            ) from error
        self._told: dict[str, tuple[str, Mapping[str, Any]]] = {
            "".join(path.split("/")[-2:]): (path, told) for path, told in listed.items()
        }

    def holds(self, oid: str, path: Path) -> bool:
        """Tell whether it has the file at ``path`` whole, under its name ``oid``.

        By its length, and by its MD5 where the remote is a folder or tells an ETag.
        """
        if oid not in self._told:
            return False
        there, told = self._told[oid]
        if told.get("size") != path.stat().st_size:
            return False
        return self._md5(there, told) in (None, oid.removesuffix(".dir"))

    def _md5(self, there: str, told: Mapping[str, Any]) -> str | None:
        if self._local:
            with Path(there).open("rb") as file:
                return hashlib.file_digest(file, "md5").hexdigest()
        tag = str(told.get("ETag", "")).strip('"')
        # An object that was sent in parts has an ETag that is no checksum of the whole.
        return tag if _MD5.fullmatch(tag) else None


Listing = dict[str, Mapping[str, Any]]


def _walked(folder: str) -> Listing:
    return {
        str(path): {"size": path.stat().st_size}
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def _found(place: Any) -> Listing:
    listed: Listing = place.fs.fs.find(place.path, detail=True)
    return listed


@contextmanager
def stored(root: Path) -> Iterator[Stored]:
    """Open DVC's view of the project at ``root``; no other DVC command runs meanwhile."""
    try:
        with Repo(str(root)) as repo, repo.lock:
            yield Stored(root, repo)
    except LockError as error:
        raise BuildError("prune: another DVC command is running; wait for its end") from error
    except DvcException as error:
        raise BuildError(f"prune: {error}") from error
