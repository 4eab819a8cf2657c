"""Compose ``conf/`` with Hydra and check what comes out."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from imagemill.config import UNTRACKED, Section, broken_yaml, load, tracked
from imagemill.config.explain import at_fault, checked, first_line, missing_choice, refused
from imagemill.config.origins import Origins, body
from imagemill.config.project import Project, choices
from imagemill.errors import ConfigError, suggest

Sections = Mapping[str, type[Section]]

SHARED = ("about", "expect", "limit", "sources", "tables")
"""What a dataset's file says once, for the sections that refer to it."""


def resolve(project: Project, dataset: str, sections: Sections) -> dict[str, Any]:
    """Compose the config of ``dataset`` and return it checked: one plain mapping a section.

    Raises ``ConfigError`` with one line a mistake: file, key, what is wrong, what to do.
    """
    overrides = project.overrides(dataset)
    _refuse_unknown_choices(project, dataset, overrides)
    composed = _compose(project, dataset, overrides)
    sources = Origins(project, dataset, overrides, composed)
    plain = _plain(composed, sources)
    _refuse_untracked(plain, sources)
    _refuse_unknown_tops(plain, sections, sources)
    _refuse_unknown_shared(plain, project, sources)
    return {name: checked(name, plain[name], model, sources) for name, model in sections.items()}


def runtime(conf: Path, overrides: list[str]) -> DictConfig:
    """Compose ``conf/runtime.yaml``: how to work, which never changes a result."""
    _refuse_unknown_files(conf, overrides, "IMAGEMILL_ENGINE")
    with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        try:
            composed = compose("runtime", overrides=overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"IMAGEMILL_ENGINE: {_refused_at_work(error, overrides)}") from error
    _refuse_none_at_work(composed.engine)
    return composed


def _refused_at_work(error: Exception, overrides: list[str]) -> str:
    """Say which override the chosen engine does not have, and what it has."""
    override = at_fault(error, overrides)
    if override is None:
        return first_line(error)
    chosen = compose("runtime", [each for each in overrides if each.startswith("engine=")])
    known = ", ".join(f"engine.{each}" for each in _ENGINE if each in chosen.engine)
    return f"{override}: no such key; this engine has {known}"


_ENGINE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "workers": (
        "1 or more, or null for one a core",
        lambda given: given is None or (type(given) is int and given > 0),
    ),
    "ahead": ("1 or more", lambda given: type(given) is int and given > 0),
    "patience": (
        "seconds, 1 or more",
        lambda given: type(given) in (int, float) and given >= 1,
    ),
    "address": (
        "such as tcp://host:8786, or null",
        lambda given: given is None or isinstance(given, str),
    ),
}
"""What a key of an engine must be, in words, and whether a value is."""


def _refuse_none_at_work(engine: DictConfig) -> None:
    for key, (must, fits) in _ENGINE.items():
        if key in engine and not fits(engine[key]):
            raise ConfigError(
                f"IMAGEMILL_ENGINE: engine.{key}: must be {must}; got {engine[key]!r}"
            )


def _compose(project: Project, dataset: str, overrides: list[str]) -> DictConfig:
    _register_resolvers(project, dataset)
    try:
        with initialize_config_dir(str(project.conf.resolve()), version_base="1.3"):
            return compose(
                "config", overrides=[f"dataset={dataset}", *overrides], return_hydra_config=True
            )
    except MissingConfigException as error:
        raise ConfigError(missing_choice(error, dataset)) from error
    except yaml.YAMLError as error:
        raise ConfigError(broken_yaml(error, project.root)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(refused(error, dataset, project)) from error


def _register_resolvers(project: Project, dataset: str) -> None:
    """``${pick:${sources},layout}``: that key of each entry; ``omit``: all but that key.

    ``${tracked:splits}``: the sha256 of ``splits/<dataset>.csv``, or null; see ``tracked``. With a
    second name, of that dataset's file, unless it is null. ``${content:PATH}``: of a file there.
    """

    def fingerprint(folder: str, of: str | None = None) -> str | None:
        return tracked.fingerprint(project.root, folder, of or dataset)

    def content(path: str) -> str | None:
        return tracked.content(project.root / path)

    OmegaConf.register_new_resolver("content", content, replace=True)

    OmegaConf.register_new_resolver("tracked", fingerprint, replace=True)
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
            + suggest(dataset, choices(project.conf / "dataset"))
        )
    _refuse_unknown_files(project.conf, overrides, f"params.yaml: datasets.{dataset}")


def _refuse_unknown_files(conf: Path, overrides: list[str], where: str) -> None:
    """Refuse what chooses of a group a file that it has not; ``where`` an override was given."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(f"{where}: {first_line(error)}") from error
    for override in parsed:
        group = conf / override.key_or_group
        value = override.value()
        if not group.is_dir() or override.is_delete():
            continue
        for choice in value if isinstance(value, list) else [value]:
            if str(choice) not in choices(group):
                raise ConfigError(
                    f"{where}: {override.input_line}: no file "
                    f"conf/{group.name}/{choice}.yaml{suggest(str(choice), choices(group))}"
                )


def _plain(composed: DictConfig, origins: Origins) -> dict[str, Any]:
    content = body(composed)
    try:
        missing = sorted(OmegaConf.missing_keys(content))
        plain: Any = OmegaConf.to_container(content, resolve=True)
    except OmegaConfBaseException as error:
        key = error.full_key or ""
        raise ConfigError(f"{origins.file(key)}: {key}: {first_line(error)}") from error
    if missing:
        raise ConfigError(f"{origins.of(missing[0])}: needs a value; none is given")
    return dict(plain)


def _refuse_untracked(plain: Mapping[str, Any], origins: Origins) -> None:
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


def _refuse_unknown_tops(plain: Mapping[str, Any], sections: Sections, origins: Origins) -> None:
    known = {*sections, *SHARED}
    for key in plain:
        if key not in known:
            raise ConfigError(f"{origins.of(key)}: unknown key{suggest(key, known)}")


def _refuse_unknown_shared(plain: Mapping[str, Any], project: Project, origins: Origins) -> None:
    """Refuse a key that ``conf/config.yaml`` does not give a shared mapping of fixed keys."""
    declared = load(project.conf / "config.yaml")
    for name in SHARED:
        known = declared.get(name)
        if not isinstance(known, Mapping) or not known:
            continue
        for key in plain[name]:
            if key not in known:
                where = origins.of(f"{name}.{key}")
                raise ConfigError(f"{where}: unknown key{suggest(key, known)}")
