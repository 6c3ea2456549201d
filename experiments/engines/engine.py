"""The contract of an engine: run a function over arguments somewhere, in any order.

An engine promises little on purpose: results come in any order, some may never come, and the
iterator may stop early when workers die. What was finished is read from the store
(`experiments.store`), never from the engine, so that every engine fails in the same harmless way.
Workers run one thread each and are started by spawn or loky, never by fork: forking after
numba's OpenMP ran kills the child.
"""

import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sim.errors import ConfigError, FaultlineError

# Parallelism is between worlds, in processes: a worker that starts threads of its own only
# competes with its neighbours. torch and pyarrow obey OMP_NUM_THREADS.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}


class EngineError(FaultlineError, RuntimeError):
    """An engine that cannot run anything: not installed, not reachable, or making no progress."""


class Engine(ABC):
    """A way to run tasks; cheap to construct, workers start with the first `map`.

    Attributes
    ----------
    problem : str
        What last went wrong with a task or a worker, in words; empty when nothing did.
    """

    problem: str = ""

    @property
    @abstractmethod
    def n_workers(self) -> int:
        """How many tasks run at the same time."""

    @abstractmethod
    def map(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Generator[Any, None, None]:
        """Yield `function(*arguments[i])` in any order; what is lost with its worker is skipped.

        Parameters
        ----------
        function : callable
            Defined at the top of an importable module, so that a worker can find it by name.
        arguments : iterable of tuple
            One tuple per call.

        Yields
        ------
        object
            Results as they come. The generator may stop before all came; the next `map` starts
            whatever workers are needed anew. Closing it stops what still runs.
        """

    def close(self) -> None:  # noqa: B027 - an engine without workers has nothing to stop
        """Stop the workers; the next `map` starts new ones."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def checked_workers(n_workers: int | None) -> int | None:
    """Return `n_workers` when it is None or a whole number of at least 1."""
    if n_workers is None:
        return None
    if isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 1:
        raise ConfigError(
            f"engine.n_workers must be a whole number of at least 1, or null for one worker per "
            f"CPU, got {n_workers!r}: set it to the number of tasks that may run at once"
        )
    return n_workers


def usable_cpus() -> int:
    """Count the CPUs that this process may use: affinity and container quotas included."""
    import joblib

    return int(joblib.cpu_count())


def missing_extra(engine: str) -> EngineError:
    """Say how to install an engine that is not there."""
    return EngineError(
        f"engine={engine} needs the package {engine}, which is not installed: install the extra "
        f"with `pip install 'faultline[scale]'` or use engine=loky"
    )


def unreachable(engine: str, address: str, error: BaseException) -> EngineError:
    """Say that no cluster answers at an address."""
    return EngineError(
        f"engine={engine} expects a running cluster at engine.address={address}, and none answers "
        f"({in_short(error)}): check the address, that the cluster is up, and its token "
        f"if it asks for one, or leave engine.address out to start workers here"
    )


def in_short(error: BaseException) -> str:
    """Name an error and its first sentence: libraries explain worker deaths at length."""
    words = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {words[0].partition('. ')[0]}".rstrip(": ")


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for the processes that are started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def enter_worker(parent: int) -> None:
    """Prepare a worker process: leave Ctrl-C to the driver, and do not outlive the driver.

    Parameters
    ----------
    parent : int
        Process id of the driver. When it is gone (`kill -9` included) the worker ends within a
        second; what it was writing is in a temporary folder that nobody reads.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="faultline-watch-parent", daemon=True).start()
