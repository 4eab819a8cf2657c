"""Turn the ``path`` of a config into a real path.

A plain path is relative to the project. ``package://name/rest`` lies inside an installed Python
package. ``sample://rest`` lies in the demonstration images, which are made when first asked for.
"""

import importlib.util
import shutil
from pathlib import Path

from imagemill.errors import SourceError
from imagemill.files import LOCAL, expanded, locked
from imagemill.progress import say


def locate(path: str, root: Path) -> Path:
    """Return the path that ``path`` means in the project at ``root``.

    Raises ``SourceError`` when nothing is there.
    """
    scheme, found, rest = path.partition("://")
    if not found:
        place = root / expanded(path)
    elif scheme == "package":
        place = _package(rest)
    elif scheme == "sample":
        place = _sample(root) / rest
    else:
        raise SourceError(f"path {path}: unknown scheme {scheme}://; known: package://, sample://")
    if not place.exists():
        raise SourceError(f"path {path}: {place} does not exist. Check `path` in the config.")
    return place


def _package(rest: str) -> Path:
    name, _, inner = rest.partition("/")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # within a package that is not there, or not a name at all
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"path package://{rest}: no package {name} is installed. "
            "For the default datasets: pip install 'imagemill[samples]'"
        )
    return Path(spec.submodule_search_locations[0]) / inner


def _sample(root: Path) -> Path:
    # It draws with NumPy and Pillow, which sources of other images need not wait for.
    from imagemill import sample  # noqa: PLC0415

    target = root / LOCAL / "sample" / sample.VERSION
    with locked(target.with_suffix(".lock"), "another build makes the sample images; waiting"):
        if not target.exists():
            say("scan: making the sample images")
            part = target.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            sample.write(part)
            part.rename(target)
    return target
