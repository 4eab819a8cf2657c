"""Mend DVC's own files after ``kill -9``.

DVC 3.67 writes ``dvc.lock`` and its table of running commands in place. A build that is killed in
that moment leaves half a file, and every later ``dvc`` command refuses to start.
"""

import json
import shutil
from pathlib import Path

import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from voluptuous import Invalid

from imagemill.files import DVC_LOCK, LOCAL
from imagemill.progress import say

RUNNING = Path(".dvc") / "tmp" / "rwlock"


def heal(root: Path) -> None:
    """Put the last whole ``dvc.lock`` in the place of a broken one, and drop a broken rwlock.

    At most the stage that was just ending is lost from the lock; DVC runs it again.
    """
    running = root / RUNNING
    if running.exists() and not _is_json(running):
        running.unlink()
        say(f"heal: {RUNNING} was cut short by a killed build; removed")
    lock = root / DVC_LOCK
    if not lock.exists() or recorded(lock) is not None:
        return
    last = root / LOCAL / DVC_LOCK
    if last.exists() and recorded(last) is not None:
        shutil.copyfile(last, lock)
        say(f"heal: {DVC_LOCK} was cut short by a killed build; restored as it was a stage before")
    else:
        lock.unlink()
        say(f"heal: {DVC_LOCK} was cut short by a killed build; removed, DVC's cache will fill it")


def recorded(lock: Path) -> dict[str, dict[str, str]] | None:
    """Return what ``dvc.lock`` records for each stage: the hash of each output, by its path.

    None when the file is not whole.
    """
    try:
        content = COMPILED_LOCKFILE_SCHEMA(yaml.load(lock.read_text(), Loader=yaml.CSafeLoader))
    except (UnicodeDecodeError, yaml.YAMLError, Invalid):
        return None
    stages = content.get("stages", {})
    return {
        name: {out["path"]: str(out.get("md5")) for out in stage.get("outs", [])}
        for name, stage in stages.items()
    }


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True
