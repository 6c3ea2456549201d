"""What happens to one task, in whatever process an engine runs it.

`python -m experiments.worker` runs a single task, given as JSON on standard input, in a process
of its own: that is how a task that may kill its process is tried a last time.
"""

import copy
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.engines.engine import enter_worker
from experiments.store import Store, Task, stack
from sim.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

Tables = dict[str, "pa.Table"]
Simulate = Callable[[dict[str, Any], int, int, int], Tables]


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells the driver; the results themselves are in the store.

    Attributes
    ----------
    key : str
        The task.
    worlds : int
        How many worlds it has.
    problem : str
        Why the result could not be put into the store; empty when it is there.
    """

    key: str
    worlds: int
    problem: str = ""


def find(function: str) -> Simulate:
    """Import `module:function`.

    Parameters
    ----------
    function : str
        Import path of `function(config, seed, first, stop) -> dict of str to pyarrow.Table`.
    """
    module, _, name = function.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"the function of an ensemble must be named as module:function, and {function!r} "
            f"cannot be imported ({error}): check the name, and that workers have the package"
        ) from error
    return found  # type: ignore[no-any-return]


def work(folder: str, function: str, task: Task, driver: int) -> Report:
    """Run one task and put its result in place; a Python error in a world is a result.

    Parameters
    ----------
    folder : str
        The run folder.
    function : str
        Import path of what computes the worlds.
    task : Task
        Which worlds.
    driver : int
        Process id of the driver.

    Returns
    -------
    Report
        Never raises but for Ctrl-C.
    """
    store = Store(folder)
    size = task.stop - task.first
    try:
        if not store.has(task.key):
            store.mark(task.key, driver)
            begun = time.perf_counter()
            tables, errors = compute(find(function), task)
            store.put(task, tables, errors, time.perf_counter() - begun)
        store.unmark(task.key)
    except KeyboardInterrupt:
        store.unmark(task.key)
        raise
    except Exception as error:
        return Report(task.key, size, f"{type(error).__name__}: {error}")
    return Report(task.key, size)


def compute(simulate: Simulate, task: Task) -> tuple[Tables, list[int]]:
    """Compute the worlds of a task, whatever some of them raise.

    Parameters
    ----------
    simulate : callable
        Computes a slice of worlds.
    task : Task
        Which worlds.

    Returns
    -------
    tables : dict of str to pyarrow.Table
        `worlds`, with the columns `status` and `error` (message, then traceback), and whatever
        else the function returns.
    errors : list of int
        Ids of the worlds that raised.
    """
    pieces: list[Tables] = []
    errors: list[int] = []
    slices = [(task.first, task.stop)]
    while slices:
        first, stop = slices.pop()
        outcome = _attempt(simulate, task, first, stop)
        if isinstance(outcome, dict):
            pieces.append(outcome)
        elif stop - first == 1:
            pieces.append({"worlds": _error_row(first, outcome)})
            errors.append(first)
        else:
            # Halves rather than single worlds: one bad world of 256 costs about two more chunks,
            # where 256 runs of one world would cost fifty.
            middle = (first + stop) // 2
            slices += [(middle, stop), (first, middle)]
    names = sorted({name for piece in pieces for name in piece})
    return {n: stack([piece[n] for piece in pieces if n in piece]) for n in names}, errors


def _attempt(simulate: Simulate, task: Task, first: int, stop: int) -> Tables | BaseException:
    try:
        tables = simulate(copy.deepcopy(dict(task.config)), task.seed, first, stop)
        return _checked(tables, first, stop)
    except (Exception, SystemExit) as error:
        return error


def _checked(tables: Mapping[str, "pa.Table"], first: int, stop: int) -> Tables:
    import pyarrow as pa

    expected = list(range(first, stop))
    if "worlds" not in tables or "world" not in tables["worlds"].column_names:
        raise ConfigError("the function of an ensemble must return a table worlds, column world")
    came = sorted(tables["worlds"]["world"].to_pylist())
    if came != expected:
        raise ConfigError(
            f"the table worlds must have one row for each of the worlds {first} to {stop - 1}, "
            f"got {len(came)} rows, of the worlds {came[:10]}"
        )
    worlds = tables["worlds"]
    if "status" not in worlds.column_names:
        worlds = worlds.append_column("status", pa.array(["ok"] * worlds.num_rows))
    if "error" not in worlds.column_names:
        worlds = worlds.append_column("error", pa.nulls(worlds.num_rows, pa.string()))
    return {name: _plain(table) for name, table in {**tables, "worlds": worlds}.items()}


def _plain(table: "pa.Table") -> "pa.Table":
    """Undo dictionaries, whose order would depend on the chunk; drop pandas' own notes."""
    import pyarrow as pa

    if "world" not in table.column_names:
        raise ConfigError("each table of an ensemble must have a column world")
    fields = []
    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        fields.append(pa.field(field.name, kind))
    return table.cast(pa.schema(fields))


def _error_row(world: int, error: BaseException) -> "pa.Table":
    import pyarrow as pa

    # The first frame is this module's own, and says nothing about the world.
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    message = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    return pa.table(
        {
            "world": pa.array([world], pa.int64()),
            "status": pa.array(["error"]),
            "error": pa.array([f"{message}\n{trace}"]),
        }
    )


def main(arguments: Sequence[str] = ()) -> int:
    """Run the task that standard input describes, alone in this process."""
    del arguments
    order = json.load(sys.stdin)
    enter_worker(order["driver"])
    report = work(order["folder"], order["function"], Task(**order["task"]), order["driver"])
    if report.problem:
        print(report.problem, file=sys.stderr)
    return 1 if report.problem else 0


if __name__ == "__main__":
    # Nothing to flush or to wait for: libraries' exit handlers must not turn success into failure.
    code = main()
    sys.stderr.flush()
    os._exit(code)
