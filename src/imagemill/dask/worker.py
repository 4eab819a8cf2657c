"""What runs in a Dask worker."""

import pickle
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from socket import gethostname

from imagemill import images
from imagemill.errors import BuildError

_LIBRARIES = ("numpy", "polars", "onnxruntime", "torch", "timm", "dlib-bin")


def do(task: bytes, expected: str, token: str) -> bytes:
    """Make the pickled call ``task`` and return its pickled result.

    Raises ``BuildError`` when results might differ from the client's, whose ``versions`` are
    ``expected``, or the worker sees another disk, one without the file ``token``.
    """
    _check(expected, token)
    call = pickle.loads(task)  # noqa: S301 (of our own client)
    try:
        return pickle.dumps(call())
    except FileNotFoundError as error:
        raise BuildError(_unseen(str(error.filename))) from error


@cache
def _check(expected: str, token: str) -> None:
    differing = sorted(set(versions().split()) ^ set(expected.split()))
    if differing:
        raise BuildError(
            f"engine=dask: the worker on {gethostname()} has other versions than this machine: "
            f"{', '.join(differing)}. Install the same on both."
        )
    if not Path(token).exists():
        raise BuildError(_unseen(str(Path(token).parents[1])))


def _unseen(path: str) -> str:
    return (
        f"engine=dask: the worker on {gethostname()} does not see {path}. Put the project on a "
        "disk that all workers share, under the same path."
    )


@cache
def versions() -> str:
    """Return all that may change a result, in words: hash of the code, versions of libraries."""
    root = Path(__file__).parents[1]
    code = sha256()
    for path in sorted(root.rglob("*.py")):
        code.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    libraries = (f"{name}={found}" for name in _LIBRARIES if (found := _version(name)))
    return " ".join([f"imagemill={code.hexdigest()[:12]}", *libraries, images.decoders()])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
