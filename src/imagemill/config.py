"""Config: composed by Hydra once, checked by pydantic, written as one YAML file a dataset.

Nothing downstream composes again: a stage reads its own section of that file.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError

from imagemill.errors import ConfigError, suggest
from imagemill.files import replacing

UNTRACKED = frozenset({"size", "nfiles"})
"""Keys that DVC's run-cache leaves out when it compares parameters, at any depth: a change of
such a value would restore the old output. No config may have one."""


class Section(BaseModel):
    """Base of every config model: frozen, exact types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Sections = Mapping[str, type[Section]]


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
        return (_load(self.root / "params.yaml") or {}).get("datasets") or {}

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


def resolve(project: Project, dataset: str, sections: Sections) -> dict[str, Any]:
    """Compose the config of ``dataset`` and return it checked: one plain mapping a section.

    Raises ``ConfigError`` with one line a mistake: file, key, what is wrong, what to do.
    """
    overrides = project.overrides(dataset)
    _refuse_unknown_choices(project, dataset, overrides)
    composed = _compose(project, dataset, overrides)
    sources = _Origins(project, dataset, overrides, composed)
    plain = _plain(composed, sources)
    _refuse_untracked(plain, sources)
    _refuse_unknown_tops(plain, sections, sources)
    return {name: _checked(name, plain[name], model, sources) for name, model in sections.items()}


def write(path: Path, resolved: Mapping[str, Any]) -> None:
    """Write a resolved config to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        text = yaml.safe_dump(dict(resolved), sort_keys=False, allow_unicode=True, width=100)
        beside.write_text(f"# Written by the config stage from conf/ and params.yaml.\n{text}")


def read(path: Path, section: str) -> dict[str, Any]:
    """Return one section of a resolved config."""
    found: dict[str, Any] = _load(path)[section]
    return found


def runtime(conf: Path, overrides: list[str]) -> DictConfig:
    """Compose ``conf/runtime.yaml``: how to work, which never changes a result."""
    with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        try:
            return compose("runtime", overrides=overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"IMAGEMILL_ENGINE: {_first_line(error)}") from error


def _compose(project: Project, dataset: str, overrides: list[str]) -> DictConfig:
    _register_resolvers()
    try:
        with initialize_config_dir(str(project.conf.resolve()), version_base="1.3"):
            return compose(
                "config", overrides=[f"dataset={dataset}", *overrides], return_hydra_config=True
            )
    except MissingConfigException as error:
        raise ConfigError(_missing(error, dataset)) from error
    except yaml.YAMLError as error:
        raise ConfigError(_broken_yaml(error, project.root)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_refused(error, dataset, project)) from error


def _register_resolvers() -> None:
    """``${pick:${sources},layout}``: that key of each entry; ``omit``: all but that key."""
    OmegaConf.register_new_resolver("pick", _pick, replace=True)
    OmegaConf.register_new_resolver("omit", _omit, replace=True)


def _pick(entries: DictConfig, key: str) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(entries, resolve=True)
    return {name: each[key] for name, each in plain.items() if key in each}


def _omit(entries: DictConfig, key: str) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(entries, resolve=True)
    return {name: {k: v for k, v in each.items() if k != key} for name, each in plain.items()}


def _refuse_unknown_choices(project: Project, dataset: str, overrides: list[str]) -> None:
    if not (project.conf / "dataset" / f"{dataset}.yaml").exists():
        raise ConfigError(
            f"params.yaml: datasets.{dataset}: no file conf/dataset/{dataset}.yaml"
            + suggest(dataset, _choices(project.conf / "dataset"))
        )
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(f"params.yaml: datasets.{dataset}: {_first_line(error)}") from error
    for override in parsed:
        group = project.conf / override.key_or_group
        value = override.value()
        if not group.is_dir() or override.is_delete():
            continue
        for choice in value if isinstance(value, list) else [value]:
            if str(choice) not in _choices(group):
                raise ConfigError(
                    f"params.yaml: datasets.{dataset}: {override.input_line}: no file "
                    f"conf/{group.name}/{choice}.yaml{suggest(str(choice), _choices(group))}"
                )


def _choices(group: Path) -> list[str]:
    return sorted(path.stem for path in group.glob("*.yaml"))


def _missing(error: MissingConfigException, dataset: str) -> str:
    wrong = error.missing_cfg_file or "?"
    known = [option.split("/")[-1] for option in error.options or []]
    return (
        f"conf/dataset/{dataset}.yaml: no file conf/{wrong}.yaml"
        f"{suggest(str(wrong).split('/')[-1], known)}"
    )


def _broken_yaml(error: yaml.YAMLError, root: Path) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return _first_line(error)
    name = Path(mark.name)
    shown = name.relative_to(root) if name.is_relative_to(root) else name
    problem = getattr(error, "problem", None) or "not YAML"
    return f"{shown}:{mark.line + 1}: {problem}; mend the line or its indentation"


def _refused(error: Exception, dataset: str, project: Project) -> str:
    text = str(error)
    for override in project.overrides(dataset):
        key = override.lstrip("+~").split("=")[0]
        if f"'{key}'" in text or override in text:
            return (
                f"params.yaml: datasets.{dataset}: {override}: no such key"
                f"{suggest(key, _keys(project.conf))}"
            )
    return f"conf/dataset/{dataset}.yaml: {' '.join(text.split())}"


def _keys(conf: Path) -> set[str]:
    """Return every ``group.key`` that a config file of a group gives a value."""
    return {
        f"{path.parent.name}.{key}"
        for path in conf.glob("*/*.yaml")
        for key in (_load(path) or {})
        if key != "defaults"
    }


def _body(composed: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def _plain(composed: DictConfig, origins: "_Origins") -> dict[str, Any]:
    body = _body(composed)
    try:
        missing = sorted(OmegaConf.missing_keys(body))
        plain: Any = OmegaConf.to_container(body, resolve=True)
    except OmegaConfBaseException as error:
        key = error.full_key or ""
        raise ConfigError(f"{origins.file(key)}: {key}: {_first_line(error)}") from error
    if missing:
        raise ConfigError(f"{origins.of(missing[0])}: needs a value; none is given")
    return dict(plain)


def _refuse_untracked(plain: Mapping[str, Any], origins: "_Origins") -> None:
    for key in _deep_keys(plain):
        if key.rsplit(".", 1)[-1] in UNTRACKED:
            raise ConfigError(
                f"{origins.of(key)}: DVC's run-cache ignores keys called "
                f"{' or '.join(sorted(UNTRACKED))} and would restore an old output; "
                "use another name, such as side or count"
            )


def _deep_keys(value: Any, path: str = "") -> Iterator[str]:
    inner = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, each in inner:
        here = f"{path}.{key}" if path else str(key)
        yield here
        if isinstance(each, Mapping | list):
            yield from _deep_keys(each, here)


SHARED = ("about", "limit", "sources", "tables")
"""What a dataset's file says once, for the sections that refer to it."""


def _refuse_unknown_tops(plain: Mapping[str, Any], sections: Sections, origins: "_Origins") -> None:
    known = {*sections, *SHARED}
    for key in plain:
        if key not in known:
            raise ConfigError(f"{origins.of(key)}: unknown key{suggest(key, known)}")


def _checked(name: str, value: Any, model: type[Section], origins: "_Origins") -> dict[str, Any]:
    try:
        return model.model_validate(value).model_dump(mode="json")
    except ValidationError as error:
        lines = [_explain(name, each, value, model, origins) for each in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _explain(
    section: str, error: Any, value: Any, model: type[Section], origins: "_Origins"
) -> str:
    path = _keys_only(error["loc"], value)
    where = origins.of(".".join([section, *path]))
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key{suggest(path[-1], _siblings(model, path))}"
    if error["type"] == "missing":
        return f"{where}: needs a value; none is given"
    return f"{where}: {error['msg']}; got {error['input']!r}"


def _keys_only(location: tuple[int | str, ...], value: Any) -> list[str]:
    """Return pydantic's location without the names of union members, which no file has."""
    path = []
    for part in location[:-1]:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
            path.append(str(part))
        elif isinstance(part, int):
            path.append(str(part))
    return [*path, str(location[-1])]


def _siblings(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys that the model takes at the place of ``path``'s last part."""
    for part in path[:-1]:
        field = model.model_fields.get(part)
        inner = _models(field.annotation) if field else []
        model = inner[0] if inner else model
    return sorted(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [model for each in inner for model in _models(each)]


_REFERENCE = re.compile(r"^\$\{(?:(?:pick|omit):\$\{)?([\w.]+)\}(?:,(\w+)\})?$")


class _Origins:
    """Finds the file that gave a value, so that an error can name it."""

    def __init__(
        self, project: Project, dataset: str, overrides: list[str], composed: DictConfig
    ) -> None:
        self._project = project
        self._dataset = dataset
        self._overrides = overrides
        self._choices = composed.hydra.runtime.choices
        self._raw = OmegaConf.to_container(_body(composed), resolve=False)

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


def _has(path: Path, keys: list[str]) -> bool:
    value = _load(path) if path.exists() else None
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path.name}: not found in {path.parent}") from error
    except yaml.YAMLError as error:
        raise ConfigError(_broken_yaml(error, path.parent)) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
