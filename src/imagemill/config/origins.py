"""Where a value of a composed config was written, so that an error can name the file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from imagemill.config import load
from imagemill.config.project import Project

_REFERENCE = re.compile(r"^\$\{(?:(?:pick|omit):\$\{)?([\w.]+)\}(?:,(\w+)\})?$")


class Origins:
    """Finds the file that gave a value, so that an error can name it."""

    def __init__(
        self, project: Project, dataset: str, overrides: list[str], composed: DictConfig
    ) -> None:
        self._project = project
        self._dataset = dataset
        self._overrides = overrides
        self._choices = composed.hydra.runtime.choices
        self._raw = OmegaConf.to_container(body(composed), resolve=False)

    def of(self, key: str) -> str:
        """Return ``file: key`` for a key of the composed config, where its value was written."""
        written = self._written(key.split("."))
        return f"{self.file(written)}: {written}"

    def _written(self, path: list[str]) -> str:
        """Follow the references on the way to a key: ``scan.limit`` is written as ``limit``."""
        value: Any = self._raw
        for depth, part in enumerate(path):
            value = value.get(part) if isinstance(value, Mapping) else None
            found = _REFERENCE.match(value) if isinstance(value, str) else None
            if found:
                rest = path[depth + 1 :]
                if "pick:" in value and rest:
                    rest.insert(1, found[2])
                return self._written([*found[1].split("."), *rest])
        return ".".join(path)

    def file(self, key: str) -> str:
        """Return the file that gave ``key`` its value."""
        if any(each.lstrip("+~").split("=")[0] == key for each in self._overrides):
            return f"params.yaml: datasets.{self._dataset}"
        own = self._project.conf / "dataset" / f"{self._dataset}.yaml"
        group, *rest = key.split(".")
        choice = self._choices.get(group)
        shared = self._project.conf / group / f"{choice}.yaml"
        if choice and not _has(own, [group, *rest]) and _has(shared, rest):
            return str(shared.relative_to(self._project.root))
        return str(own.relative_to(self._project.root))


def body(composed: DictConfig) -> DictConfig:
    """Return a composed config without Hydra's own part."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def _has(path: Path, keys: list[str]) -> bool:
    value = load(path) if path.exists() else None
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True
