import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from experiments import worker
from experiments.store import Store, Task, plan
from sim.errors import ConfigError

FUNCTION = "ensemble_tasks:simulate"


def task_of(config: dict[str, Any], worlds: int = 8) -> Task:
    return plan(config, 7, worlds, worlds)[0]


def test_only_the_bad_worlds_of_a_chunk_are_errors() -> None:
    simulate = worker.find(FUNCTION)
    good, none = worker.compute(simulate, task_of({}))
    tables, errors = worker.compute(simulate, task_of({"raises": [2, 5], "exits": [6]}))
    assert none == []
    assert errors == [2, 5, 6]
    worlds = tables["worlds"].to_pylist()
    assert [row["status"] for row in worlds] == ["error" if w in errors else "ok" for w in range(8)]
    assert worlds[2]["bad_debt_usd"] is None
    message, trace = worlds[2]["error"].split("\n", 1)
    assert message == "ValueError: world 2 blew up"
    assert trace.startswith("Traceback")
    assert 'raise ValueError(f"world {world} blew up")' in trace
    assert worlds[6]["error"].startswith("SystemExit: 3")
    kept = [row for row in good["series"].to_pylist() if row["world"] not in errors]
    assert tables["series"].to_pylist() == kept


def test_a_chunk_of_errors_only_is_a_result() -> None:
    tables, errors = worker.compute(worker.find(FUNCTION), task_of({"raises": list(range(8))}))
    assert errors == list(range(8))
    assert set(tables) == {"worlds"}
    assert tables["worlds"].num_rows == 8


def test_one_bad_world_costs_few_calls() -> None:
    calls = []

    def simulate(config: dict[str, Any], seed: int, first: int, stop: int) -> dict[str, pa.Table]:
        calls.append((first, stop))
        if first <= 77 < stop:
            raise ZeroDivisionError
        return {"worlds": pa.table({"world": list(range(first, stop))})}

    _, errors = worker.compute(simulate, task_of({}, 256))
    assert errors == [77]
    assert sum(stop - first for first, stop in calls) <= 3 * 256


def test_a_function_cannot_spoil_the_config_of_its_neighbours() -> None:
    def simulate(config: dict[str, Any], seed: int, first: int, stop: int) -> dict[str, pa.Table]:
        config["list"].append(1)
        if stop - first > 1 or len(config["list"]) > 1:
            raise ValueError("config was kept")
        return {"worlds": pa.table({"world": [first]})}

    assert worker.compute(simulate, task_of({"list": []}))[1] == []


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"worlds": pa.table({"world": [1]})}, "one row for each of the worlds 0 to 0"),
        ({"worlds": pa.table({"world": [0, 0]})}, "got 2 rows"),
        ({"series": pa.table({"world": [0]})}, "must return a table worlds"),
        (
            {"worlds": pa.table({"world": [0]}), "series": pa.table({"step": [0]})},
            "must have a column world",
        ),
    ],
)
def test_a_result_without_its_worlds_is_an_error(table: dict[str, pa.Table], words: str) -> None:
    tables, errors = worker.compute(lambda *_: table, task_of({}, 1))
    assert errors == [0]
    assert words in tables["worlds"]["error"][0].as_py()


@pytest.mark.parametrize("name", ["ensemble_tasks:nobody", "no_such_module:f", "nonsense", ""])
def test_a_function_that_cannot_be_found(name: str) -> None:
    with pytest.raises(ConfigError, match="must be named as module:function"):
        worker.find(name)


def test_work_marks_what_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    task = task_of({})
    seen = []
    real = worker.compute

    def compute(simulate: worker.Simulate, task: Task) -> Any:
        seen.append(store.marks())
        return real(simulate, task)

    monkeypatch.setattr(worker, "compute", compute)
    with store.driving(FUNCTION, [task]):
        report = worker.work(str(tmp_path), FUNCTION, task, driver=0)
        assert (report.worlds, report.problem) == (8, "")
        assert not seen[0][task.key]["driver"]
        assert store.marks() == {}
        worker.work(str(tmp_path), FUNCTION, task, driver=0)
    assert len(seen) == 1  # what is there is not computed again


def test_work_reports_what_the_store_refuses(tmp_path: Path) -> None:
    report = worker.work(str(tmp_path / "nowhere"), FUNCTION, task_of({}), driver=0)
    assert report.problem.startswith("FileNotFoundError")


def test_a_process_ends_when_its_driver_has_gone(tmp_path: Path) -> None:
    task = task_of({"pause": 60})
    store = Store(tmp_path)
    with store.driving(FUNCTION, [task]):
        order = {"folder": str(tmp_path), "function": FUNCTION, "task": asdict(task), "driver": 1}
        ended = subprocess.run(
            [sys.executable, "-m", "experiments.worker"],
            input=json.dumps(order),
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
            timeout=30,
            check=False,
        )
    assert ended.returncode == 1
    assert not store.done()
