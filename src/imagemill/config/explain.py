"""Mistakes in a config, in one line each: file, key, what is wrong, what to do."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from hydra.errors import MissingConfigException
from pydantic import BaseModel, ValidationError

from imagemill.config import Section
from imagemill.config.origins import Origins
from imagemill.config.project import Project, keys
from imagemill.errors import ConfigError, suggest


def checked(name: str, value: Any, model: type[Section], origins: Origins) -> dict[str, Any]:
    """Return a section as its model has it. Raises ``ConfigError``, a line a mistake."""
    try:
        return model.model_validate(value).model_dump(mode="json")
    except ValidationError as error:
        lines = [_explain(name, each, value, model, origins) for each in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _explain(section: str, error: Any, value: Any, model: type[Section], origins: Origins) -> str:
    path = _keys_only(error["loc"], value)
    where = origins.of(".".join([section, *path]))
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key{suggest(path[-1], _siblings(model, error['loc']))}"
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


def _siblings(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the model takes at the place of ``location``'s last part."""
    options = [model]
    for part in location[:-1]:
        field = options[0].model_fields.get(str(part))
        inner = models(field.annotation) if field else []
        chosen = [each for each in options if part in _kinds(each)]
        options = inner or chosen or options
    return sorted(options[0].model_fields)


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    """Return the values of ``kind`` that choose this model in a union."""
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a field's annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [model for each in inner for model in models(each)]


def missing_choice(error: MissingConfigException, dataset: str) -> str:
    """Say which file of a config group is not there, and which is nearest."""
    wrong = error.missing_cfg_file or "?"
    known = [option.split("/")[-1] for option in error.options or []]
    return (
        f"conf/dataset/{dataset}.yaml: no file conf/{wrong}.yaml"
        f"{suggest(str(wrong).split('/')[-1], known)}"
    )


def refused(error: Exception, dataset: str, project: Project) -> str:
    """Say what Hydra refused, naming the override at fault where it is one."""
    override = at_fault(error, project.overrides(dataset))
    if override is not None:
        return (
            f"params.yaml: datasets.{dataset}: {override}: no such key"
            f"{suggest(_key(override), keys(project.conf))}"
        )
    return f"conf/dataset/{dataset}.yaml: {' '.join(str(error).split())}"


def at_fault(error: Exception, overrides: Sequence[str]) -> str | None:
    """Return the override that Hydra refused, where it is one."""
    text = str(error)
    return next((each for each in overrides if f"'{_key(each)}'" in text or each in text), None)


def _key(override: str) -> str:
    return override.lstrip("+~").split("=")[0]


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().splitlines()[0]
