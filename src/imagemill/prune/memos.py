"""Which folders of the memo a build could still use."""

from pathlib import Path

from pydantic import ValidationError

from imagemill import calibration, config, match, measure, package
from imagemill.config import instantiate
from imagemill.errors import BuildError


def unused(memo: Path, data: Path) -> list[Path]:
    """Return the folders of ``memo`` that no dataset below ``data`` has use for as it is now.

    Raises ``BuildError`` where a dataset's config is not one of today's.
    """
    if not memo.is_dir():
        return []
    used = {name for path in data.glob("*/config.yaml") for name in _names(memo, path)}
    return sorted(each for each in memo.iterdir() if each.is_dir() and each.name not in used)


def _names(memo: Path, path: Path) -> set[str]:
    try:
        measured = measure.Config.model_validate(config.read(path, "measure"))
        matched = match.Config.model_validate(config.read(path, "match"))
        packaged = package.Config.model_validate(config.read(path, "package"))
    except (KeyError, ValidationError) as error:
        raise BuildError(f"prune: {path} is of an earlier imagemill; run `dvc repro`") from error
    transforms = instantiate.each(packaged.transforms, "package.transforms")
    found = calibration.read(path.parents[2], path.parent.name, matched.calibration.file)
    return {
        *(each.folder.name for each in measure.memos(memo, measured).values()),
        match.known(memo, match.effective(matched, found)).folder.name,
        *package.recipe(packaged, transforms).folders(),
    }
