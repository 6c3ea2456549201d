"""Ensembles on every engine, left alone and killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from experiments.engines.dask import Dask
from experiments.engines.engine import Engine, EngineError
from experiments.engines.serial import Serial
from experiments.ensemble import Interrupted, plan, run
from experiments.store import Store
from sim.errors import InputError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FUNCTION = "ensemble_tasks:simulate"
ENGINES = sorted(path.stem for path in (ROOT / "conf" / "engine").glob("*.yaml"))
PARALLEL = [name for name in ENGINES if name != "serial"]


def build(name: str) -> Engine:
    if name not in ("serial", "loky"):
        pytest.importorskip(name, reason=f"the package {name} (extra scale) is not installed")
    config = OmegaConf.load(ROOT / "conf" / "engine" / f"{name}.yaml")
    if "n_workers" in config:
        config.n_workers = 2
    engine = instantiate(config)
    assert isinstance(engine, Engine)
    return engine


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with build(request.param) as engine:
        yield engine


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    run(FUNCTION, plan({"raises": [13]}, 7, 60, 7), store, Serial(), progress=False)
    return store


def assert_same_rows(store: Store, other: Store, without: tuple[int, ...] = ()) -> None:
    for name in ("worlds", "series"):
        expected = other.read(name)
        expected = expected[~expected.world.isin(without)].reset_index(drop=True)
        pd.testing.assert_frame_equal(store.read(name), expected)


def test_every_engine_gives_the_same_rows(
    engine: Engine, undisturbed: Store, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    outcome = run(FUNCTION, plan({"raises": [13]}, 7, 60, 2), store, engine, progress=False)
    assert (outcome.worlds, outcome.done, outcome.resumed) == (60, 60, 0)
    assert outcome.complete
    assert outcome.errors == [13]
    assert outcome.failed == []
    assert store.marks() == {}
    assert_same_rows(store, undisturbed)


@pytest.mark.parametrize("engine", PARALLEL, indirect=True)
def test_workers_have_one_thread_and_are_reused(engine: Engine, tmp_path: Path) -> None:
    pids: list[set[int]] = []
    for name in "ab":
        store = Store(tmp_path / name)
        tasks = plan({}, 7, 20, 1)
        run("ensemble_tasks:environment", tasks, store, engine, progress=False)
        frame = store.read("worlds")
        assert set(frame.threads) == {"1"}
        pids.append(set(frame.pid))
    assert os.getpid() not in pids[0] | pids[1]
    assert pids[0] & pids[1]


@pytest.mark.parametrize("engine", PARALLEL, indirect=True)
def test_killers_are_isolated_and_victims_are_done(
    engine: Engine, undisturbed: Store, tmp_path: Path
) -> None:
    config = {
        "raises": [13],
        "kills": [21, 40],
        "kills_once": [5, 33],
        "scratch": str(tmp_path),
        "pause": 0.002,
    }
    store = Store(tmp_path / "run")
    tasks = plan(config, 7, 60, 2)
    outcome = run(FUNCTION, tasks, store, engine, progress=False)
    assert [failure.worlds for failure in outcome.failed] == [[20, 21], [40, 41]]
    assert all("SIGKILL" in failure.reason for failure in outcome.failed)
    assert (outcome.done, outcome.complete) == (56, False)
    assert_same_rows(store, undisturbed, without=(20, 21, 40, 41))
    failed = store.manifest()["failed"]
    assert [entry["worlds"] for entry in failed] == [[20, 21], [40, 41]]
    # The same command tries the killers again, each alone, and nothing else.
    again = run(FUNCTION, tasks, store, _Nowhere(), progress=False)
    assert [failure.first for failure in again.failed] == [20, 40]
    assert (again.done, again.resumed) == (56, 56)


class _Nowhere(Serial):
    """An engine that must not be asked for anything."""

    def map(self, function: Any, arguments: Any) -> Any:
        raise AssertionError("the engine was used")


class _Deaf(Serial):
    """An engine that loses everything."""

    def map(self, function: Any, arguments: Any) -> Any:
        self.problem = "nobody is there"
        yield from ()


class _Elsewhere(Serial):
    """An engine whose workers write to a folder that the driver does not see."""

    def map(self, function: Any, arguments: Any) -> Any:
        for folder, name, task, driver in arguments:
            other = Path(folder + "-elsewhere")
            (other / "parts").mkdir(parents=True, exist_ok=True)
            (other / "started").mkdir(exist_ok=True)
            yield function(str(other), name, task, driver)


def test_nothing_is_started_when_nothing_is_missing(tmp_path: Path) -> None:
    tasks = plan({}, 7, 10, 3)
    run(FUNCTION, tasks, Store(tmp_path), Serial(), progress=False)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    outcome = run(FUNCTION, tasks, Store(tmp_path), _Nowhere(), progress=False)
    assert (outcome.done, outcome.resumed) == (10, 10)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}


def test_an_engine_without_progress_ends_the_run(tmp_path: Path) -> None:
    tasks = plan({}, 7, 10, 3)
    with pytest.raises(EngineError, match=r"Deaf began none of 4 tasks \(nobody is there\)"):
        run(FUNCTION, tasks, Store(tmp_path / "a"), _Deaf(), progress=False)
    with pytest.raises(EngineError, match="file system that the driver and all workers share"):
        run(FUNCTION, tasks, Store(tmp_path / "b"), _Elsewhere(), progress=False)


def test_a_full_disk_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    tasks = plan({}, 7, 10, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", full)
        with pytest.raises(InputError, match=r"could not put .*No space left on device"):
            run(FUNCTION, tasks, Store(tmp_path), Serial(), progress=False)
    assert run(FUNCTION, tasks, Store(tmp_path), Serial(), progress=False).complete


@pytest.mark.parametrize("engine", ["dask"], indirect=True)
def test_an_existing_cluster_is_used_and_left_running(
    engine: Engine, undisturbed: Store, tmp_path: Path
) -> None:
    from ensemble_tasks import add

    assert list(engine.map(add, [(1, 2)])) == [3]
    assert isinstance(engine, Dask)
    guest = Dask(address=engine._cluster.scheduler_address)
    with guest:
        assert guest.n_workers == 2
        run(FUNCTION, plan({"raises": [13]}, 7, 60, 6), Store(tmp_path), guest, progress=False)
    assert_same_rows(Store(tmp_path), undisturbed)
    assert list(engine.map(add, [(1, 2)])) == [3]


def test_ctrl_c_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ensemble_tasks

    real = ensemble_tasks.simulate

    def interrupted(config: Any, seed: int, first: int, stop: int) -> Any:
        if first >= 6:
            raise KeyboardInterrupt
        return real(config, seed, first, stop)

    tasks = plan({}, 7, 10, 3)
    with monkeypatch.context() as patch:
        patch.setattr(ensemble_tasks, "simulate", interrupted)
        with pytest.raises(Interrupted, match=r"stopped: 6 of 10 worlds are kept in .* same comm"):
            run(FUNCTION, tasks, Store(tmp_path), Serial(), progress=False)
    assert not Store(tmp_path).marks()
    outcome = run(FUNCTION, tasks, Store(tmp_path), Serial(), progress=False)
    assert (outcome.done, outcome.resumed) == (10, 6)


def test_lines_instead_of_a_bar_where_nobody_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(FUNCTION, plan({}, 7, 10, 3), Store(tmp_path / "a"), Serial())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("experiments.progress._SECONDS_BETWEEN_LINES", 0.0)
    run(FUNCTION, plan({}, 7, 10, 3), Store(tmp_path / "b"), Serial())
    assert "9 of 10 worlds" in capsys.readouterr().err


# The driver as a process of its own, to be killed


@contextmanager
def command(folder: Path, engine: str, config: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            *(sys.executable, str(HERE / "ensemble_drive.py"), str(folder), engine),
            *("60", "2", json.dumps(config)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])},
        cwd=folder.parent,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def running(folder: Path) -> set[int]:
    """Processes that are at a task now."""
    if not (folder / "started").is_dir():
        return set()
    return {mark["pid"] for mark in Store(folder).marks().values() if mark and alive(mark["pid"])}


def parts(folder: Path) -> int:
    return len(Store(folder).done())


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def needs(engine: str) -> None:
    if engine not in ("serial", "loky"):
        pytest.importorskip(engine, reason=f"the package {engine} (extra scale) is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_rows_after_kills_are_those_of_an_undisturbed_run(
    engine: str, undisturbed: Store, tmp_path: Path
) -> None:
    needs(engine)
    chance = random.Random(7)
    folder = tmp_path / "run"
    config = {"raises": [13], "pause": 0.06}
    with command(folder, engine, config) as driver:
        for _ in range(3 if engine != "serial" else 0):
            wait_until(lambda: running(folder))
            time.sleep(chance.uniform(0.0, 0.1))
            for pid in list(running(folder))[:1]:
                with suppress(ProcessLookupError):  # it was quicker
                    os.kill(pid, signal.SIGKILL)
        enough = parts(folder) + 3
        wait_until(lambda: parts(folder) >= enough)
        time.sleep(chance.uniform(0.0, 0.1))
        orphans = running(folder)
        assert driver.poll() is None
        driver.kill()
        driver.communicate()
    resumed = parts(folder)
    assert 0 < resumed < 30

    with command(folder, engine, config) as driver:
        out, err = driver.communicate(timeout=120)
        assert driver.returncode == 0, err
    done, kept, failed = json.loads(out)
    assert (done, failed) == (60, []), err
    assert kept >= 2 * resumed
    assert_same_rows(Store(folder), undisturbed)
    wait_until(lambda: not any(map(alive, orphans)), 15.0)


def test_a_killer_does_not_stop_the_serial_engine_twice(undisturbed: Store, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = {"raises": [13], "kills": [20]}
    with command(folder, "serial", config) as first:
        first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL
    with command(folder, "serial", config) as second:
        out, err = second.communicate(timeout=60)
    assert json.loads(out) == [58, 20, [20]], err
    assert_same_rows(Store(folder), undisturbed, without=(20, 21))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_on_a_terminal(engine: str, undisturbed: Store, tmp_path: Path) -> None:
    needs(engine)
    folder = tmp_path / "run"
    config = {"raises": [13], "pause": 0.1}
    with command(folder, engine, config) as driver:
        wait_until(lambda: parts(folder) >= 2)
        workers = running(folder)
        os.killpg(driver.pid, signal.SIGINT)  # a terminal tells the workers as well
        _, err = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert "worlds are kept in" in err, err
    assert "Traceback" not in err, err
    wait_until(lambda: not any(map(alive, workers)), 15.0)
    store = Store(folder)
    run(FUNCTION, plan(config, 7, 60, 2), store, Serial(), progress=False)  # another engine goes on
    assert_same_rows(store, undisturbed)


def test_a_second_driver_is_turned_away(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with command(folder, "serial", {"pause": 0.2}):
        wait_until(lambda: running(folder))
        with command(folder, "serial", {"pause": 0.2}) as second:
            _, err = second.communicate(timeout=60)
    assert second.returncode == 1
    assert err.strip().startswith("another run is writing to")
    assert len(err.strip().splitlines()) == 1
