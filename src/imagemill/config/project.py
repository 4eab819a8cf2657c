"""What a user edits: ``params.yaml`` and the files of ``conf/``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagemill.config import load
from imagemill.errors import ConfigError, suggest


@dataclass(frozen=True)
class Project:
    """A folder with ``params.yaml`` and ``conf/``."""

    root: Path

    @property
    def conf(self) -> Path:
        """Folder of Hydra's config groups."""
        return self.root / "conf"

    def datasets(self) -> dict[str, Any]:
        """Return the datasets that ``params.yaml`` lists, each with its overrides."""
        return (load(self.root / "params.yaml") or {}).get("datasets") or {}

    def overrides(self, dataset: str) -> list[str]:
        """Return the Hydra overrides that ``params.yaml`` gives for ``dataset``."""
        datasets = self.datasets()
        if dataset not in datasets:
            raise ConfigError(
                f"params.yaml: datasets.{dataset}: not listed{suggest(dataset, datasets)} "
                f"Add `{dataset}: []` to build conf/dataset/{dataset}.yaml."
            )
        found = datasets[dataset] or []
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise ConfigError(
                f"params.yaml: datasets.{dataset}: must be a list of Hydra overrides, "
                f"such as [merge.min_images=3, package=hdf5]; got {found!r}"
            )
        return found


def choices(group: Path) -> list[str]:
    """Return the names of the files of a config group."""
    return sorted(path.stem for path in group.glob("*.yaml"))


def keys(conf: Path) -> set[str]:
    """Return every ``group.key`` that a config file of a group gives a value."""
    return {
        f"{path.parent.name}.{key}"
        for path in conf.glob("*/*.yaml")
        for key in (load(path) or {})
        if key != "defaults"
    }
