"""The seam between a stage script and the world: config, paths, lock, engine, errors.

``python -m stages.clean solar`` runs ``main`` of ``stages/clean.py`` with that dataset's own
section of its resolved config, and puts the folder that it wrote in place when it ends well.
"""

import inspect
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from types import ModuleType
from typing import Any

import psutil

from imagemill import config
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.files import DVC_LOCK, LOCAL, expanded, locked, replacing, swap
from imagemill.progress import say

INTERRUPTED = 128 + SIGINT  # as shells have it


@dataclass(frozen=True)
class Paths:
    """Where one run of a stage reads and writes."""

    root: Path
    dataset: str
    out: Path
    """Folder for this stage's output; empty at the start, unless the stage keeps it."""

    def of(self, stage: str) -> Path:
        """Return the finished output folder of another stage of this dataset."""
        return self.root / "data" / self.dataset / stage

    def earlier(self, stage: str) -> Path:
        """Return where a later stage keeps its output: what an earlier build left there, if any.

        No dependency, which would be a circle, and so only for a stage that always runs.
        """
        return self.root / "data" / self.dataset / stage

    @property
    def local(self) -> Path:
        """Folder of this project's local state."""
        return self.root / LOCAL

    @property
    def memo(self) -> Path:
        """Folder of the memo; ``IMAGEMILL_MEMO`` shares one between projects."""
        place = expanded(os.environ.get("IMAGEMILL_MEMO") or str(self.local / "memo"))
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BuildError(
                f"IMAGEMILL_MEMO: {place} can be no folder ({error.strerror}); name one that can "
                "be written, or none"
            ) from error
        return place


def stage(main: Callable[..., None]) -> Callable[..., None]:
    """Run ``main(config, paths[, engine])`` when its module is the script that was started."""
    return _declare(main, keep=False)


def keeping_stage(main: Callable[..., None]) -> Callable[..., None]:
    """Like ``stage``, for one that finds its last output in ``paths.out`` and updates it."""
    return _declare(main, keep=True)


def _declare(main: Callable[..., None], *, keep: bool) -> Callable[..., None]:
    if main.__module__ == "__main__":
        name = _hidden(sys.modules["__main__"])
        sys.exit(reported(lambda: run(main, name, _argument(name), keep=keep)))
    return main


def _hidden(script: ModuleType) -> str:
    """Return the name of a stage's script, and keep workers from importing it.

    They begin with the script that was started, as ``multiprocessing`` does not know that none of
    their work is there; what it imports takes up to half a second and 50 MB.
    """
    name = script.__spec__.name.split(".")[-1]  # type: ignore[union-attr]
    script.__spec__ = None
    del script.__file__
    return name


def reported(work: Callable[[], None]) -> int:
    """Run ``work``; print what a ``BuildError`` says instead of a traceback. Return the status."""
    try:
        work()
    except BuildError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("error: interrupted; what was done is remembered")
        return INTERRUPTED
    return 0


def run(main: Callable[..., None], name: str, dataset: str, *, keep: bool) -> None:
    """Run the stage ``name`` on ``dataset`` in the project of the working directory."""
    root = Path.cwd()
    _remember_lock(root)
    lock = root / LOCAL / "locks" / f"{dataset}.{name}"
    waiting = f"{name}: another build of {dataset} is in this stage; waiting for it to end"
    with locked(lock, waiting), _output(root, dataset, name, keep=keep) as out:
        given = _given(main, name, Paths(root, dataset, out))
        main(*given)


def _remember_lock(root: Path) -> None:
    """Keep a copy of DVC's lock file for ``heal``; DVC writes none while it starts a stage."""
    if (root / DVC_LOCK).exists():
        (root / LOCAL).mkdir(exist_ok=True)
        with replacing(root / LOCAL / DVC_LOCK) as part:
            shutil.copyfile(root / DVC_LOCK, part)


def _given(main: Callable[..., None], name: str, paths: Paths) -> list[Any]:
    wanted = inspect.signature(main, eval_str=True).parameters
    model = wanted["config"].annotation
    section = config.read(paths.of("config.yaml"), name)
    given: dict[str, Any] = {"config": model.model_validate(section), "paths": paths}
    if "engine" in wanted:
        given["engine"] = engine(paths.root)
    return [given[each] for each in wanted]


def engine(root: Path) -> Engine:
    """Return the engine that ``conf/runtime.yaml`` and ``IMAGEMILL_ENGINE`` ask for."""
    # Hydra takes a quarter of a second to import, which stages without workers need not wait for.
    from hydra.utils import instantiate  # noqa: PLC0415

    from imagemill.config.compose import runtime  # noqa: PLC0415

    chosen = runtime(root / "conf", os.environ.get("IMAGEMILL_ENGINE", "").split()).engine
    return Engine(instantiate(chosen.start), chosen.ahead)


@contextmanager
def _output(root: Path, dataset: str, name: str, *, keep: bool) -> Iterator[Path]:
    target = root / "data" / dataset / name
    if keep:
        target.mkdir(parents=True, exist_ok=True)
        yield target
        return
    fresh = root / LOCAL / "tmp" / f"{dataset}.{name}"
    shutil.rmtree(fresh, ignore_errors=True)  # of a build that was killed; we hold the lock
    fresh.mkdir(parents=True)
    builders = psutil.Process().parents()[:2]  # the shell that DVC starts, and DVC
    yield fresh
    if not all(each.is_running() for each in builders):
        # Another build may have put its own result here by now, or be about to.
        raise BuildError(f"{name}: the build that started this was killed; its result is dropped")
    swap(fresh, target)


def _argument(name: str) -> str:
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: python -m stages.{name} DATASET\n\nDVC runs this; see dvc.yaml.")
    return sys.argv[1]
