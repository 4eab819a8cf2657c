"""Embeddings by the model that the config names."""

from collections.abc import Callable, Iterator, Sequence

from PIL.Image import Image

from imagemill.embed import Embed, Embedder

_LOADED: dict[str, Embed] = {}


def embeddings(embedder: Embedder) -> Callable[[Sequence[Image]], Iterator[dict[str, bytes]]]:
    """Return what yields the embedding of each image; the model is loaded when one is wanted."""

    def of(images: Sequence[Image]) -> Iterator[dict[str, bytes]]:
        for vector in _loaded(embedder)(images).astype("<f2"):
            yield {"embedding": vector.tobytes()}

    return of


def _loaded(embedder: Embedder) -> Embed:
    """Return the model, loaded once a process. Its settings may hold lists, and so have no hash."""
    key = repr(embedder)
    if key not in _LOADED:
        _LOADED[key] = embedder.load()
    return _LOADED[key]
