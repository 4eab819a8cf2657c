"""Objects that a config names by ``_target_``, made by Hydra."""

from collections.abc import Mapping, Sequence
from typing import Any

from imagemill.errors import ConfigError


def each(said: Sequence[Mapping[str, Any]], key: str) -> tuple[Any, ...]:
    """Return the object of each entry of the list ``key``. Raises ``ConfigError``."""
    return tuple(_made(entry, f"{key}[{number}]") for number, entry in enumerate(said))


def _made(entry: Mapping[str, Any], key: str) -> Any:
    # Hydra takes a quarter of a second to import, in every worker that a stage starts.
    from hydra.errors import InstantiationException  # noqa: PLC0415
    from hydra.utils import instantiate  # noqa: PLC0415

    try:
        return instantiate(dict(entry), _convert_="all")
    except (InstantiationException, ImportError) as error:
        cause = error.__cause__ or error
        said = " ".join(f"{type(cause).__name__}: {cause}".split())
        raise ConfigError(
            f"{key}: {entry['_target_']} cannot be made: {said}. It is looked for in the project's "
            "folder and in installed packages; correct its name or its arguments"
        ) from error
