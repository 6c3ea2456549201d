"""Run tasks on a Dask cluster: an existing one, or one of this machine's processes."""

import logging
import signal
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any

from experiments.engines.engine import (
    ONE_THREAD,
    Engine,
    checked_workers,
    in_short,
    missing_extra,
    unreachable,
    usable_cpus,
)


class Dask(Engine):
    """A Dask cluster; the run folder must be on a file system that its workers share.

    A cluster that is started here gives a task one try. An existing cluster retries a task whose
    worker died as often as its own `distributed.scheduler.allowed-failures` says; that costs
    time and nothing else.

    Parameters
    ----------
    n_workers : int, optional
        Processes of a cluster that is started here; one per usable CPU when left out.
    address : str, optional
        Scheduler of an existing cluster, as in `tcp://10.0.0.1:8786`; faultline must be installed
        on its workers.
    """

    def __init__(self, n_workers: int | None = None, address: str | None = None) -> None:
        self._wanted = checked_workers(n_workers)
        self._address = address
        self._client: Any = None
        self._cluster: Any = None
        self._distributed: Any = None

    @property
    def n_workers(self) -> int:
        """How many tasks run at once."""
        if self._address is None:
            return self._wanted or usable_cpus()
        threads: dict[str, int] = self._connected().nthreads()
        return max(1, sum(threads.values()))

    def map(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Generator[Any, None, None]:
        """Yield results as they come; skip what was lost with its worker."""
        self.problem = ""
        columns = list(zip(*arguments, strict=True))
        if not columns:
            return
        client = self._connected()
        futures = client.map(function, *columns, pure=False)
        whole = False
        try:
            for future in self._distributed.as_completed(futures):
                if future.status != "finished":
                    self.problem = _reason(future)
                    continue
                try:
                    result = future.result()
                except Exception as error:  # its worker died before it was fetched
                    self.problem = in_short(error)
                    continue
                yield result
            whole = True
        finally:
            if not whole:
                with suppress(Exception):  # what stopped the loop matters, not a cluster that left
                    client.cancel(futures)
                self.close()

    def close(self) -> None:
        """Leave the cluster, and stop it when it was started here."""
        client, cluster, self._client, self._cluster = self._client, self._cluster, None, None
        if client is not None:
            client.close()
        if cluster is not None:
            cluster.close()

    def _connected(self) -> Any:
        if self._client is not None and self._client.status == "running":
            return self._client
        self.close()
        try:
            import dask

            distributed: Any = import_module("distributed")
        except ImportError as error:
            raise missing_extra("dask") from error
        self._distributed = distributed
        if self._address is not None:
            try:
                self._client = distributed.Client(self._address, timeout=20)
            except (OSError, ValueError) as error:
                raise unreachable("dask", self._address, error) from error
            return self._client
        # The scheduler reads allowed-failures once, when it starts.
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            self._cluster = distributed.LocalCluster(
                n_workers=self.n_workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # any free port, not the well-known one
                memory_limit=0,  # a pause at a share of the memory would hang a large chunk
                silence_logs=logging.CRITICAL,
                env=ONE_THREAD,
                preload=[__name__],
            )
            self._client = distributed.Client(self._cluster)
        return self._client


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the driver; Dask calls this when a worker starts (`preload`)."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _reason(future: Any) -> str:
    if future.status != "error":
        return f"a task was {future.status}"
    return in_short(future.exception())
