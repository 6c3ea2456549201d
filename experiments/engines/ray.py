"""Run tasks on a Ray cluster: an existing one, or one of this machine's processes."""

import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any

from experiments.engines.engine import (
    ONE_THREAD,
    Engine,
    checked_workers,
    environment,
    in_short,
    missing_extra,
    unreachable,
    usable_cpus,
)

# Reports are a few hundred bytes: Ray's default, 30% of the memory, would be held for nothing.
_OBJECT_STORE_BYTES = 100 * 2**20
# Tasks handed over per worker: enough to keep it busy; more makes each `ray.wait` slower.
_AHEAD = 4


class Ray(Engine):
    """A Ray cluster; the run folder must be on a file system that its workers share.

    Parameters
    ----------
    n_workers : int, optional
        Processes of a cluster that is started here; one per usable CPU when left out.
    address : str, optional
        An existing cluster: `auto`, `10.0.0.1:6379` or `ray://10.0.0.1:10001`; faultline must be
        installed on its workers.
    """

    def __init__(self, n_workers: int | None = None, address: str | None = None) -> None:
        self._wanted = checked_workers(n_workers)
        self._address = address
        self._started = False

    @property
    def n_workers(self) -> int:
        """How many tasks run at once."""
        if self._address is None:
            return self._wanted or usable_cpus()
        return max(1, int(self._connected().cluster_resources().get("CPU", 1)))

    def map(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Generator[Any, None, None]:
        """Yield results as they come; skip what was lost with its worker."""
        self.problem = ""
        ray = self._connected()
        remote = ray.remote(max_retries=0, num_cpus=1)(function)
        waiting = iter(arguments)
        running: list[Any] = []
        whole = False
        try:
            while True:
                free = _AHEAD * self.n_workers - len(running)
                running += [remote.remote(*values) for values in islice(waiting, free)]
                if not running:
                    break
                ready, running = ray.wait(running)
                for reference in ready:
                    try:
                        result = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        self.problem = in_short(error)
                        continue
                    yield result
            whole = True
        finally:
            if not whole:
                # Leaving ends this driver's tasks. `ray.cancel(force=True)` would too, and aborts
                # the driver when a task ends at that moment (seen with Ray 2.60).
                self.close()

    def close(self) -> None:
        """Leave the cluster, and stop it when it was started here."""
        if self._started:
            import ray

            ray.shutdown()
            self._started = False

    def _connected(self) -> Any:
        try:
            # No report of use leaves this machine; workers see no accelerators they did not ask for
            # (the second variable picks Ray's future default and so avoids its FutureWarning).
            with environment(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0"):
                import ray
        except ImportError as error:
            raise missing_extra("ray") from error
        if ray.is_initialized():
            return ray
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if self._address is not None:
            try:
                ray.init(address=self._address, runtime_env={"env_vars": ONE_THREAD}, **quiet)
            except (ConnectionError, OSError, ValueError, RuntimeError) as error:
                raise unreachable("ray", self._address, error) from error
        else:
            # Workers inherit the environment of the node, which inherits ours; they must find
            # the modules that this process finds.
            with environment(
                RAY_USAGE_STATS_ENABLED="0",
                RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
                PYTHONPATH=os.pathsep.join(path for path in sys.path if path),
                **ONE_THREAD,
            ):
                ray.init(
                    address="local",  # else Ray joins whatever cluster this machine advertises
                    num_cpus=self.n_workers,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    **quiet,
                )
        self._started = True
        return ray
