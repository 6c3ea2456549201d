"""Run tasks on this machine's cores, in loky's processes (which come with joblib)."""

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from experiments.engines.engine import (
    ONE_THREAD,
    Engine,
    checked_workers,
    enter_worker,
    in_short,
    usable_cpus,
)


class Loky(Engine):
    """Processes on this machine; they stay warm from one study of a sweep to the next.

    A worker's death breaks the whole pool: loky then stops the others as well, `map` ends early,
    and the next `map` starts a new pool. The executor is used directly, since joblib's `Parallel`
    adds nothing here but its own queue.

    Parameters
    ----------
    n_workers : int, optional
        Processes; one per usable CPU when left out.
    """

    def __init__(self, n_workers: int | None = None) -> None:
        self._wanted = checked_workers(n_workers)
        self._executor: Any = None

    @property
    def n_workers(self) -> int:
        """How many processes run tasks."""
        return self._wanted or usable_cpus()

    def map(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Generator[Any, None, None]:
        """Yield results as they come; end early when a worker died."""
        self.problem = ""
        whole = False
        try:
            executor = self._pool()
            futures = [executor.submit(function, *values) for values in arguments]
            for future in as_completed(futures):
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    raise error
                if error is None:
                    yield future.result()
                else:
                    self.problem = in_short(error)
            whole = True
        except BrokenExecutor as error:
            self.problem = in_short(error)
        finally:
            if not whole:
                self.close()

    def close(self) -> None:
        """Kill the processes."""
        if self._executor is not None:
            with _tasks_dropped():
                self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None

    def _pool(self) -> Any:
        if self._executor is None:
            from joblib.externals.loky import ProcessPoolExecutor

            self._executor = ProcessPoolExecutor(
                max_workers=self.n_workers,
                env=ONE_THREAD,
                initializer=_enter,
                initargs=(os.getpid(),),
            )
        return self._executor


@contextmanager
def _tasks_dropped() -> Iterator[None]:
    """Keep one message of loky's off the screen.

    A shutdown drops the tasks that wait; where loky's own thread is handing one out at that moment,
    it dies of a KeyError, which harms nothing and would look like a failure.
    """
    told = threading.excepthook

    def hook(details: threading.ExceptHookArgs) -> None:
        if details.exc_type is not KeyError:
            told(details)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = told


def _enter(parent: int) -> None:
    """Make the process a worker that may grow.

    loky replaces a worker whose memory grew by 300 MB since its first task, which a chunk of worlds
    does: the next task would pay for imports and kernels again.
    """
    from joblib.externals.loky import process_executor

    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")
    enter_worker(parent)
