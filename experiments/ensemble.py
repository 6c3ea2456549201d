"""Run the worlds of a study so that it survives what happens to machines.

Round by round the engine is given what the store lacks. Whatever was begun and not ended when
a worker died runs once more alone, in a process of its own; if that dies too, the task is
reported as failed with its world ids, and the rest goes on. A Python error in a world is
a result. Kill anything at any moment and run the same command again: it does what is missing.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.engines.engine import ONE_THREAD, Engine, EngineError
from experiments.progress import Progress
from experiments.store import Store, Task, plan, run_digest
from experiments.worker import find, work
from sim.errors import InputError

__all__ = ["Failure", "Interrupted", "Outcome", "plan", "run", "run_digest"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a sentence that says what is kept and how to go on."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that killed its process twice, the second time alone.

    Attributes
    ----------
    key : str
        The task.
    first, stop : int
        Its world ids are `first, ..., stop - 1`.
    reason : str
        How its process ended.
    """

    key: str
    first: int
    stop: int
    reason: str

    @property
    def worlds(self) -> list[int]:
        """Ids of the worlds that have no result."""
        return list(range(self.first, self.stop))

    def __str__(self) -> str:
        return f"worlds {self.first} to {self.stop - 1}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    worlds : int
        Worlds of the study.
    done : int
        Worlds with a row in the store, errors included.
    resumed : int
        Those of them that were there before this run.
    errors : list of int
        Ids of the worlds that ended in a Python error.
    failed : list of Failure
        Tasks that killed their processes.
    seconds : float
        Wall time of this run, s.
    """

    worlds: int
    done: int
    resumed: int
    errors: list[int]
    failed: list[Failure]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether each world has a row, errors included."""
        return self.done == self.worlds


def run(
    function: str,
    tasks: Sequence[Task],
    store: Store,
    engine: Engine,
    progress: bool = True,
) -> Outcome:
    """Compute what the store lacks of a study.

    Parameters
    ----------
    function : str
        Import path `module:function` of `function(config, seed, first, stop)`, which returns
        a dict of pyarrow tables, each with a column `world`, among them `worlds` with one row
        per world. It must be a pure function of its arguments.
    tasks : sequence of Task
        From `plan`, at least one.
    store : Store
        Where results are and go.
    engine : Engine
        Where to run; not started when nothing is missing.
    progress : bool
        Whether to show how far it is.

    Returns
    -------
    Outcome
        What is there now.

    Raises
    ------
    InputError
        For a folder that cannot be written, is in use, or holds another or a damaged run.
    EngineError
        When the engine cannot start or makes no progress.
    Interrupted
        On Ctrl-C; the store is resumable.
    """
    begun = time.perf_counter()
    with store.driving(function, tasks) as slices:
        done = store.done()
        before = _worlds(t for t in slices if t.key in done)
        failed: list[Failure] = []
        if any(task.key not in done for task in slices):
            find(function)
            total = _worlds(slices)
            with Progress(total, before, progress) as shown:
                driver = _Driver(function, slices, store, engine, shown)
                try:
                    driver.run()
                except KeyboardInterrupt as stop:
                    kept = _worlds(t for t in slices if store.has(t.key))
                    raise Interrupted(
                        f"stopped: {kept:,} of {total:,} worlds are kept in {store.folder}; the "
                        f"same command again does the others"
                    ) from stop
                finally:
                    failed = driver.failed
                    entries = [{**asdict(f), "worlds": f.worlds} for f in failed]
                    store.conclude(entries, time.perf_counter() - begun)
        done = store.done()
        headers = [store.header(task.key) for task in slices if task.key in done]
        return Outcome(
            worlds=_worlds(slices),
            done=sum(header["stop"] - header["first"] for header in headers),
            resumed=before,
            errors=[world for header in headers for world in header["errors"]],
            failed=sorted(failed, key=lambda failure: failure.first),
            seconds=time.perf_counter() - begun,
        )


class _Driver:
    """The rounds of one run."""

    def __init__(
        self,
        function: str,
        tasks: Sequence[Task],
        store: Store,
        engine: Engine,
        progress: Progress,
    ) -> None:
        self.failed: list[Failure] = []
        self._function = function
        self._tasks = tasks
        self._store = store
        self._engine = engine
        self._progress = progress

    def run(self) -> None:
        suspects = self._known_suspects()
        while True:
            for task in self._missing():
                if task.key in suspects:
                    self._alone(task)
            missing = self._missing()
            if not missing:
                return
            suspects = self._round(missing)

    def _missing(self) -> list[Task]:
        settled = self._store.done() | {failure.key for failure in self.failed}
        return [task for task in self._tasks if task.key not in settled]

    def _known_suspects(self) -> set[str]:
        """Tasks that failed before, or that ran in a driver when it died (the serial engine)."""
        marks = self._store.marks()
        suspects = {key for key, mark in marks.items() if mark.get("driver")}
        return suspects | {failure["key"] for failure in self._store.manifest()["failed"]}

    def _round(self, missing: Sequence[Task]) -> set[str]:
        """Give the engine what is missing; return the tasks that were cut off."""
        self._store.clear_marks()
        folder, driver = str(self._store.folder.absolute()), os.getpid()
        arguments = [(folder, self._function, task, driver) for task in missing]
        reports = self._engine.map(work, arguments)
        n_reports = 0
        try:
            for report in reports:
                if report.problem:
                    raise InputError(
                        f"a worker could not put its result into {folder} ({report.problem}): "
                        f"mend that and run the same command again, which does what is missing"
                    )
                n_reports += 1
                self._progress.advance(report.worlds)
        finally:
            reports.close()
        left = {task.key for task in self._missing()}
        cut_off = left & self._store.marks().keys()
        if len(left) == len(missing) and not cut_off:
            raise EngineError(self._no_progress(len(missing), n_reports))
        if left:
            self._progress.say(
                f"{len(cut_off)} of {len(missing)} tasks were cut off "
                f"({self._engine.problem or 'no reason given'}): they run once more, alone"
            )
        return cut_off

    def _no_progress(self, n_tasks: int, n_reports: int) -> str:
        name = type(self._engine).__name__
        if n_reports:
            return (
                f"the engine {name} reports {n_reports} finished tasks, and "
                f"{self._store.folder} has none of them: choose an output folder on a file "
                f"system that the driver and all workers share"
            )
        return (
            f"the engine {name} began none of {n_tasks} tasks "
            f"({self._engine.problem or 'no reason given'}): check that its workers can import "
            f"faultline and write to {self._store.folder}, or use engine=loky"
        )

    def _alone(self, task: Task) -> None:
        """Run a task in a process of its own; it has failed when that dies too."""
        order = {
            "folder": str(self._store.folder.absolute()),
            "function": self._function,
            "task": asdict(task),
            "driver": os.getpid(),
        }
        paths = os.pathsep.join(path for path in sys.path if path)
        with tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "experiments.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": paths},
            )
            try:
                process.communicate(json.dumps(order).encode())
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            stderr.seek(0)
            last_words = stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        if self._store.has(task.key):
            self._progress.advance(task.stop - task.first)
        else:
            reason = ", ".join([_ending(process.returncode), *last_words])
            self.failed.append(Failure(task.key, task.first, task.stop, reason))
            self._progress.say(f"failed: {self.failed[-1]}")


def _worlds(tasks: Any) -> int:
    return sum(task.stop - task.first for task in tasks)


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        return f"its process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"its process was killed by signal {-code}"
