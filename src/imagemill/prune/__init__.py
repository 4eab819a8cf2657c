"""Free what lies here and elsewhere too, and say what, and how it can be had again.

Always: files of DVC's cache that no output of now has, if the remote holds them; memos that no
dataset has use for. Of datasets that are named: their download and package, in data/ and in
the cache, if the remote holds every file of them, or else the packs whose images are published.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from imagemill import packaged
from imagemill.errors import BuildError, suggest
from imagemill.files import LOCAL, locked
from imagemill.progress import say
from imagemill.prune import memos, published
from imagemill.prune.stored import Out, Remote, Stored, stored

LARGE = ("download", "package")
"""Stages whose output is images; that of the others is tables, which stay."""

SHOWN = 20  # paths that are named of each kind


@dataclass(frozen=True)
class Group:
    """Files and folders that can be freed for one reason."""

    what: str
    again: str
    """Why they can be had again, and how."""
    paths: list[Path]


@dataclass(frozen=True)
class Plan:
    """What to free, and what stays that one might expect to be freed."""

    free: list[Group]
    kept: list[str]


def prune(root: Path, datasets: Sequence[str], remote: str | None, *, dry_run: bool) -> None:
    """Free what can be had again; with ``dry_run`` only say what.

    Raises ``BuildError``, with nothing freed, where DVC or the remote cannot be asked.
    """
    root = root.resolve()
    with ExitStack() as held:
        for dataset in datasets:
            _refuse_unknown(root, dataset)
            for lock in sorted((root / LOCAL / "locks").glob(f"{dataset}.*")):
                waiting = f"prune: a build is in {lock.name}; waiting for it to end"
                held.enter_context(locked(lock, waiting))
        store = held.enter_context(stored(root))
        plan = decide(root, store, datasets, remote)
        say(described(plan, root, dry_run=dry_run))
        for path in (path for group in plan.free for path in group.paths if not dry_run):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _refuse_unknown(root: Path, dataset: str) -> None:
    if not packaged.is_dataset(root, dataset):
        known = [path.parent.name for path in (root / "data").glob("*/config.yaml")]
        raise BuildError(f"prune: {dataset} is no dataset that was built{suggest(dataset, known)}")


def decide(root: Path, store: Stored, datasets: Sequence[str], remote: str | None) -> Plan:
    """Return what can be freed: each thing proven to be held elsewhere, or of no more use."""
    there = store.remote(remote)
    kept = [] if there else ["what DVC has: it has no remote; `dvc remote add`, then `dvc push`"]
    if store.shared:
        kept.append(f"DVC's cache {store.shared}: it lies outside, and others may use it")
    cache = Cache(store.cached(), store.outs(), there, ours=store.shared is None)
    free = [*_datasets(root, cache, datasets, kept), *cache.old(kept), *_memos(root)]
    return Plan([group for group in free if group.paths], kept)


@dataclass
class Cache:
    """DVC's cache, and what of it can be spared."""

    files: dict[str, Path]
    outs: list[Out]
    there: Remote | None
    ours: bool
    """Nobody else uses it."""
    spared: set[str] = field(default_factory=set)
    """Names of files that are freed with the outputs that they are of."""

    def spare(self, out: Out, oids: set[str]) -> list[Path]:
        """Return the files to free with those of ``out``: those that no other output needs."""
        others = {oid for each in self.outs if each is not out for oid in each.objects}
        spared = (oids - others - {out.listed}) & self.files.keys() if self.ours else set()
        self.spared |= spared
        return [self.files[oid] for oid in sorted(spared)]

    def why_kept(self, out: Out) -> str | None:
        """Return why ``out`` cannot be freed; None where the remote holds all of it."""
        if not out.present:
            return "it is not here"
        if not out.clean:
            return f"it is not what dvc.lock names; `dvc repro {out.stage}`, then `dvc push`"
        if self.there is None:
            return "DVC has no remote"
        missing = [oid for oid in out.objects if not self._held(oid, out.files.get(oid))]
        if missing:
            return (
                f"remote {self.there.name} lacks {len(missing):,} of its {len(out.objects):,} "
                f"files; `dvc push {out.stage}`"
            )
        return None

    def _held(self, oid: str, path: Path | None) -> bool:
        copy = self.files.get(oid, path)
        return self.there is not None and copy is not None and self.there.holds(oid, copy)

    def old(self, kept: list[str]) -> Iterator[Group]:
        """Yield the files that no output of now has and the remote holds."""
        if self.there is None or not self.ours:
            return
        named = {oid for out in self.outs for oid in out.objects} | self.spared
        unnamed = sorted(self.files.keys() - named)
        held = [oid for oid in unnamed if self._held(oid, None)]
        if len(held) < len(unnamed):
            kept.append(
                f"{len(unnamed) - len(held):,} old files of DVC's cache: remote {self.there.name} "
                "lacks them; `dvc push -A` sends those that Git's commits name"
            )
        again = f"remote {self.there.name} has them: `dvc pull` in the commit that names them"
        yield Group("old files of DVC's cache", again, [self.files[oid] for oid in held])


def _datasets(
    root: Path, cache: Cache, datasets: Sequence[str], kept: list[str]
) -> Iterator[Group]:
    """Yield the large outputs of the datasets that are held elsewhere."""
    for dataset in datasets:
        stages = [f"{stage}@{dataset}" for stage in LARGE]
        for out in (each for each in cache.outs if each.stage in stages):
            reason = cache.why_kept(out)
            if reason is None and cache.there is not None:
                again = (
                    f"remote {cache.there.name} has every file: `dvc pull {out.stage}`. Until then "
                    "build others with `dvc repro --allow-missing`, or this is built anew"
                )
                yield Group(out.stage, again, [out.path, *cache.spare(out, set(out.files))])
            elif out.stage == f"package@{dataset}" and out.clean:
                yield from _published(root, cache, out, dataset, str(reason), kept)
            else:
                kept.append(f"{out.path.relative_to(root)}: {reason}")


def _published(
    root: Path, cache: Cache, out: Out, dataset: str, reason: str, kept: list[str]
) -> Iterator[Group]:
    """Yield the packs of a package whose images all lie at the prefix that it is published to."""
    url = published.holder(root, dataset)
    if url is None:
        kept.append(f"{out.path.relative_to(root)}: {reason}; nor is it published as it is")
        return
    packs = {oid: path for oid, path in out.files.items() if path.suffix == ".tar"}
    again = (
        f"{url} has their images: `imagemill export {url} --to DIR` makes folders of them, "
        f"`dvc repro {out.stage}` these packs, from those of download"
    )
    yield Group(
        f"packs of {out.stage}", again, [*sorted(packs.values()), *cache.spare(out, set(packs))]
    )


def _memos(root: Path) -> Iterator[Group]:
    """Yield the folders of the project's own memo that nobody could use."""
    what = "memos of settings or versions that no dataset has"
    again = "what they say is measured again where it is wanted"
    yield Group(what, again, memos.unused(root / LOCAL / "memo", root / "data"))


def described(plan: Plan, root: Path, *, dry_run: bool) -> str:
    """Return what is freed, each path with its bytes, and why, in lines."""
    total = sum(_bytes(path) for group in plan.free for path in group.paths)
    lines = [f"prune: {'would free' if dry_run else 'frees'} {total:,} bytes"]
    for group in plan.free:
        amount = sum(_bytes(path) for path in group.paths)
        lines.append(f"  {group.what}: {amount:,} bytes; {group.again}")
        lines += [f"    {_bytes(path):>15,}  {_shown(path, root)}" for path in group.paths[:SHOWN]]
        if len(group.paths) > SHOWN:
            lines.append(f"    ... and {len(group.paths) - SHOWN:,} more")
    return "\n".join([*lines, *(f"  kept: {each}" for each in plan.kept)])


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _bytes(path: Path) -> int:
    """Return what removing a file or folder frees, if all names of a file are removed."""
    if path.is_dir() and not path.is_symlink():
        return sum(_bytes(each) for each in path.iterdir())
    told = path.lstat()
    return told.st_size // told.st_nlink
