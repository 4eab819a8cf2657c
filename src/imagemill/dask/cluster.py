# mypy: disable-error-code="no-untyped-call"
"""An executor of Dask's workers."""

import asyncio
import logging
import pickle
import socket
from asyncio import CancelledError
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, KilledWorker, LocalCluster
from distributed.comm.addressing import get_address_host_port
from distributed.core import rpc

from imagemill.dask import worker
from imagemill.engine import deaf
from imagemill.errors import BuildError
from imagemill.files import LOCAL

if TYPE_CHECKING:
    from tempfile import _TemporaryFileWrapper

ANSWER = 10  # seconds within which a scheduler answers, and within which all is closed

_SETTINGS = {
    # Of a cluster of our own. A worker that pauses because its memory is nearly full might wait
    # for ever; one that is ended is replaced. The second death with a task is no bad luck.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.scheduler.allowed-failures": 1,
    # Of any: a batch of thumbnails is larger than what Dask finds worth a warning.
    "distributed.admin.large-graph-warning-threshold": "1GB",
}


class Cluster(Executor):
    """Hands calls to Dask's workers; arguments, see ``imagemill.dask.connect``.

    A call is pickled here and unpickled by the worker, so that Dask takes none of it apart.
    """

    def __init__(self, address: str | None, workers: int | None, patience: float) -> None:
        for name in ("distributed", "distributed.client"):  # which have levels of their own
            logging.getLogger(name).setLevel(logging.CRITICAL)
        dask.config.set(_SETTINGS)
        with ExitStack() as opened:
            token = opened.enter_context(_token(Path.cwd()))
            self._promise = (worker.versions(), token.name)
            self._client = _client(address, workers, opened)
            self._executor = self._client.get_executor(pure=False)
            self._opened = opened.pop_all()
        self._lost = f"lost the Dask scheduler at {_public(address)}; is it still running?"
        self._over = False
        self._waiting: set[Future[Any]] = set()
        self._lock = Lock()
        self._closed = Event()
        Thread(target=self._watch, args=(patience,), daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand ``fn(*args, **kwargs)`` to a worker.

        The future raises ``BrokenExecutor`` when workers died with it. Raises ``BuildError`` when
        the cluster is lost.
        """
        task = pickle.dumps(partial(fn, *args, **kwargs))
        outer: Future[Any] = Future()
        with self._lock:
            if self._over:
                raise self._loss()
            self._waiting.add(outer)
        inner = self._executor.submit(worker.do, task, *self._promise)
        inner.add_done_callback(partial(self._settle, outer))
        outer.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, or end it where it is this executor's own."""
        del wait  # the engine has waited before
        self._closed.set()
        with self._lock:
            given_up = list(self._waiting) if cancel_futures else []
        for outer in given_up:
            outer.cancel()
        self._opened.close()

    def _settle(self, outer: Future[Any], inner: Future[bytes]) -> None:
        """Pass the outcome on, in the terms of ``concurrent.futures``."""
        with self._lock:
            if outer not in self._waiting:
                return
            self._waiting.remove(outer)
        if not outer.set_running_or_notify_cancel():
            return
        error = self._loss() if inner.cancelled() else inner.exception()
        if error is None:
            outer.set_result(pickle.loads(inner.result()))  # noqa: S301 (of our own worker)
        elif isinstance(error, KilledWorker):
            outer.set_exception(BrokenExecutor("a Dask worker died"))
        else:
            outer.set_exception(error)

    def _watch(self, patience: float) -> None:
        """Give up what waits when there is no worker for ``patience`` seconds."""
        alone = 0
        while not self._closed.wait(1):
            workers = self._workers()
            alone = 0 if workers else alone + 1
            if alone >= patience:
                if workers is not None:
                    self._lost = (
                        f"no Dask worker for {patience:g} seconds. Start some: `dask worker`."
                    )
                self._give_up()
                return

    def _give_up(self) -> None:
        """End what waits: Dask itself never does when its scheduler died at a bad moment."""
        with self._lock:
            self._over = True
            waiting, self._waiting = self._waiting, set()
        for outer in waiting:
            if outer.set_running_or_notify_cancel():
                outer.set_exception(self._loss())

    def _loss(self) -> BuildError:
        return BuildError(f"engine=dask: {self._lost}")

    def _workers(self) -> int | None:
        """Return how many there are; null when the scheduler does not answer."""
        try:
            return len(self._client.nthreads())
        except (Exception, CancelledError):  # noqa: BLE001 (many kinds, by the moment of its death)
            return None


def _client(address: str | None, workers: int | None, opened: ExitStack) -> Client:
    """Return a client of the scheduler, or of a new cluster; ``opened`` closes both."""
    target: str | LocalCluster = address or ""
    if address is None:
        with deaf():
            target = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=None,
                # Or it warns where the usual port of its pages is taken, also without any.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
            )
        opened.callback(target.close, timeout=ANSWER)
    try:
        if address is not None:  # a client that fails to connect prints tracebacks when it is gone
            socket.create_connection(get_address_host_port(address), ANSWER).close()
            asyncio.run(asyncio.wait_for(_greet(address), ANSWER))
        client = Client(target, timeout=ANSWER, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:  # the second by tls:// without certificates
        raise BuildError(
            f"engine.address: no Dask scheduler answers at {_public(address)} "
            f"({type(error).__name__}). Start one with `dask scheduler`, or mend the address, "
            "such as tcp://host:8786."
        ) from None
    opened.callback(client.close, timeout=ANSWER)
    return client


async def _greet(address: str) -> None:
    """Raise an error unless a scheduler answers: a client of anything else waits for ever."""
    async with rpc(address) as server:
        kind = (await server.identity())["type"]
    if kind != "Scheduler":
        raise BuildError(
            f"engine.address: what answers at {_public(address)} is a Dask {kind.lower()}, no "
            "scheduler; give the address that `dask scheduler` prints"
        )


def _token(root: Path) -> "_TemporaryFileWrapper[bytes]":
    """Return a file in the project's folder, there until it is closed, for workers to look for."""
    (root / LOCAL).mkdir(exist_ok=True)
    return NamedTemporaryFile(prefix="dask-", dir=root / LOCAL)


def _public(address: str | None) -> str:
    """Return an address without user and password."""
    if address is None:
        return "this machine"
    scheme, found, rest = address.rpartition("://")
    return scheme + found + rest.rpartition("@")[2]
