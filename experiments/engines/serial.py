"""Run tasks one after another in this process: for debugging, profiling and small studies."""

from collections.abc import Callable, Generator, Iterable
from typing import Any

from experiments.engines.engine import Engine


class Serial(Engine):
    """One task at a time, here; a task that kills its process kills the command.

    The same command run again puts the killer into a process of its own and goes on.
    """

    @property
    def n_workers(self) -> int:
        """Return 1."""
        return 1

    def map(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Generator[Any, None, None]:
        """Yield the results in the order of the arguments."""
        self.problem = ""
        for values in arguments:
            yield function(*values)
