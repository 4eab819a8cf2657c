"""Config: composed by Hydra once, checked by pydantic, written as one YAML file a dataset.

Nothing downstream composes again: a stage reads its own section of that file. What composes lies
in ``config.compose``, so that those who only read need not load Hydra.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict

from imagemill.errors import ConfigError
from imagemill.files import replacing

UNTRACKED = frozenset({"size", "nfiles"})
"""Keys that DVC's run-cache leaves out when it compares parameters, at any depth: a change of
such a value would restore the old output. No config may have one."""


class Section(BaseModel):
    """Base of every config model: frozen, exact types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def or_none(choice: str) -> BeforeValidator:
    """Return what makes None of ``kind: none``, the choice of nothing in a group of ``conf/``.

    ``choice`` is an override that chooses something; an error names it.
    """

    def chosen(given: Any) -> Any:
        if not isinstance(given, dict) or given.get("kind") != "none":
            return given
        if len(given) > 1:
            raise ValueError(f"none takes no settings; choose with `override /{choice}`")
        return None

    return BeforeValidator(chosen)


def write(path: Path, resolved: Mapping[str, Any]) -> None:
    """Write a resolved config to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        text = yaml.safe_dump(dict(resolved), sort_keys=False, allow_unicode=True, width=100)
        beside.write_text(f"# Written by the config stage from conf/ and params.yaml.\n{text}")


def read(path: Path, section: str) -> dict[str, Any]:
    """Return one section of a resolved config."""
    found: dict[str, Any] = load(path)[section]
    return found


def load(path: Path) -> Any:
    """Return the content of a YAML file; raises ``ConfigError`` naming file and line."""
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.safe_load(file)
    except FileNotFoundError as error:
        raise ConfigError(f"{path.name}: not found in {path.parent}") from error
    except yaml.YAMLError as error:
        raise ConfigError(broken_yaml(error, path.parent)) from error


def broken_yaml(error: yaml.YAMLError, root: Path) -> str:
    """Return where a file is not YAML, as ``file:line: what``."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error).strip().splitlines()[0]
    name = Path(mark.name)
    shown = name.relative_to(root) if name.is_relative_to(root) else name
    problem = getattr(error, "problem", None) or "not YAML"
    return f"{shown}:{mark.line + 1}: {problem}; mend the line or its indentation"
