"""Work on a Dask cluster, through the client executor of ``distributed``."""

from concurrent.futures import Executor

from imagemill.errors import BuildError


def connect(address: str | None, workers: int | None, patience: float) -> Executor:
    """Return an executor of the workers of the scheduler at ``address``.

    Without one, of a cluster on this machine with ``workers`` processes (as many as cores when
    None) that lives as long as the executor. What waits for a worker while there is none for
    ``patience`` seconds raises ``BuildError``, and so does this when ``distributed`` is missing
    or no scheduler answers.
    """
    try:
        from imagemill.dask import cluster  # noqa: PLC0415 (of an extra, and slow to import)
    except ModuleNotFoundError as error:
        raise BuildError(
            f"engine=dask: the package {error.name} is missing: pip install 'imagemill[dask]'"
        ) from error
    return cluster.Cluster(address, workers, patience)
