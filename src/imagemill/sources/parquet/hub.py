"""Datasets on the Hugging Face hub, named ``hf://owner/name@revision``."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from imagemill.errors import SourceError
from imagemill.sources.keys import any_of
from imagemill.sources.parquet.shards import Remote

HUB = "hf://"

T = TypeVar("T")


def hub_shards(path: str, include: list[str], exclude: list[str]) -> list[Remote]:
    """Return the files of a dataset that the patterns choose, by name.

    A branch or tag is resolved to its commit, so that all of them are of one revision. Each
    bears its content hash as version: another revision with the same file is no news.
    Raises ``SourceError``.
    """
    hub, _ = _hub()
    repo, _, revision = path.removeprefix(HUB).removeprefix("datasets/").partition("@")

    def ask() -> Any:
        return hub.HfApi().dataset_info(repo, revision=revision or None, files_metadata=True)

    found = _asked(path, ask)
    chosen, left = any_of(include), any_of(exclude)
    files = sorted(found.siblings or [], key=lambda file: file.rfilename)
    shards = [
        _shard(path, repo, found.sha, file)
        for file in files
        if chosen(file.rfilename) and not left(file.rfilename)
    ]
    if not shards:
        raise SourceError(
            f"{path} has no file like {', '.join(include)} among {len(files)}. "
            "Check the patterns in the config."
        )
    return shards


def _shard(path: str, repo: str, commit: str, file: Any) -> Remote:
    """Return one file; the version of a small one, outside Git LFS, is its Git blob."""
    hub, http = _hub()
    url = hub.hf_hub_url(repo, file.rfilename, repo_type="dataset", revision=commit)

    def get(offset: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}

        def ask() -> bytes:
            answer = http.http_backoff("GET", url, headers=http.build_hf_headers() | wanted)
            http.hf_raise_for_status(answer)
            return bytes(answer.content)

        got = _asked(path, ask)
        if len(got) != length:
            raise SourceError(
                f"{path}: {file.rfilename}: asked for {length:,} bytes, got {len(got):,}. "
                "Build again; what has arrived is kept."
            )
        return got

    return Remote(file.rfilename, file.lfs.sha256 if file.lfs else file.blob_id, file.size, get)


def _hub() -> Any:
    try:
        return import_module("huggingface_hub"), import_module("huggingface_hub.utils")
    except ImportError as error:
        raise SourceError(
            "the hub needs a package that is not installed: pip install 'imagemill[hf]'"
        ) from error


def _asked(path: str, ask: Callable[[], T]) -> T:
    """Return the hub's answer. Raises ``SourceError`` with what it says."""
    refusal = import_module("huggingface_hub.errors").HfHubHTTPError
    # Its first base is the error of the HTTP client in use, which is no OSError in all of them.
    try:
        return ask()
    except (OSError, ValueError, refusal.__bases__[0]) as error:
        lines = [line.strip(" .") for line in str(error).splitlines() if line.strip()]
        said = ": ".join(lines[:2])
        raise SourceError(
            f"{path}: the hub does not give it: {said}. Check the name after hf:// and the "
            "revision after @; a private or gated dataset needs HF_TOKEN in the environment."
        ) from error
