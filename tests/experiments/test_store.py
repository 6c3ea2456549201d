import json
import os
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from experiments.engines.serial import Serial
from experiments.ensemble import run
from experiments.store import Store, plan, run_digest, stack
from sim.errors import ConfigError, InputError

FUNCTION = "ensemble_tasks:simulate"


def finished(folder: Path, config: dict[str, Any] | None = None, chunk: int = 4) -> Store:
    store = Store(folder)
    run(FUNCTION, plan(config or {}, 7, 10, chunk), store, Serial(), progress=False)
    return store


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_plan_covers_each_world_once() -> None:
    tasks = plan({"a": 1}, 7, 10, 4)
    assert [(task.first, task.stop) for task in tasks] == [(0, 4), (4, 8), (8, 10)]
    assert len({task.key for task in tasks}) == 3
    assert [(task.first, task.stop) for task in plan({}, 7, 10, 99)] == [(0, 10)]


def test_key_is_the_hash_of_config_seed_and_slice() -> None:
    (task,) = plan({"a": 1, "b": [0.5, None]}, 7, 10, 10)
    (same,) = plan({"b": (0.5, None), "a": 1}, 7, 10, 10)
    assert same.key == task.key
    others = [plan({"a": 2, "b": [0.5, None]}, 7, 10, 10), plan({"a": 1}, 8, 10, 10)]
    others.append(plan({"a": 1, "b": [0.5, None]}, 7, 9, 10))
    assert task.key not in {other[0].key for other in others}


@pytest.mark.parametrize(
    ("worlds", "chunk", "field"),
    [
        (0, 4, "worlds"),
        (10, 0, "chunk"),
        (10, -3, "chunk"),
        (10, 2.5, "chunk"),
        (True, 4, "worlds"),
    ],
)
def test_impossible_sizes_are_refused(worlds: Any, chunk: Any, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} must be a whole number of at least 1, got"):
        plan({}, 7, worlds, chunk)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, Path("x")])
def test_a_config_that_json_does_not_know_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="results are keyed by it"):
        plan({"a": value}, 7, 10, 4)


def test_rows_do_not_depend_on_the_chunk(tmp_path: Path) -> None:
    for config in ({}, {"raises": [0, 5]}):
        folders = [tmp_path / f"{len(config)}-{chunk}" for chunk in (1, 3, 10)]
        stores = [
            finished(folder, config, chunk)
            for folder, chunk in zip(folders, (1, 3, 10), strict=True)
        ]
        for name in ("worlds", "series"):
            first, *others = [store.read(name) for store in stores]
            for other in others:
                pd.testing.assert_frame_equal(first, other)


def test_reading_orders_by_world_step_and_seq(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    tasks = plan({}, 7, 4, 2)
    with store.driving(FUNCTION, tasks):
        for task, worlds in zip(tasks[::-1], ([3, 2], [1, 0]), strict=True):
            table = pa.table({"seq": [1, 0] * 2, "world": sorted(worlds * 2, reverse=True)})
            store.put(task, {"liquidations": table}, [])
    frame = store.read("liquidations")
    assert frame.world.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert frame.seq.tolist() == [0, 1] * 4
    assert store.read("liquidations", ["world"]).columns.tolist() == ["world"]
    with pytest.raises(InputError, match="has no table worlds: it has liquidations"):
        store.read("worlds")


def test_stack_takes_the_columns_of_the_widest() -> None:
    narrow = pa.table({"world": [0], "error": ["x"]})
    wide = pa.table({"world": [1], "bad_debt_usd": [2.0], "error": pa.nulls(1)})
    for order in ([narrow, wide], [wide, narrow]):
        assert stack(order).column_names == ["world", "bad_debt_usd", "error"]


@pytest.mark.parametrize("name", ["worlds.parquet", "series.parquet", "part.json"])
@pytest.mark.parametrize("keep", [0, 20, None])
def test_a_damaged_part_is_named_and_left_alone(
    tmp_path: Path, name: str, keep: int | None
) -> None:
    store = finished(tmp_path / "run")
    key = plan({}, 7, 10, 4)[1].key
    path = tmp_path / "run" / "parts" / key / name
    if keep is None:
        path.unlink()
    else:
        os.truncate(path, keep)
    before = snapshot(tmp_path)
    with pytest.raises(InputError) as caught:
        finished(tmp_path / "run")
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "delete the folder" in sentence
    assert snapshot(tmp_path) == before
    # What the sentence says to do works.
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    finished(tmp_path / "run")
    pd.testing.assert_frame_equal(store.read("series"), finished(tmp_path / "new").read("series"))


def test_a_flipped_bit_is_found_when_reading(tmp_path: Path) -> None:
    store = finished(tmp_path / "run")
    path = tmp_path / "run" / "parts" / plan({}, 7, 10, 4)[0].key / "series.parquet"
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"series\.parquet cannot be read"):
        store.read("series")


def test_another_config_seed_or_function_is_refused(tmp_path: Path) -> None:
    config = {"scenario": {"size": 0.3}, "pause": 0.0}
    finished(tmp_path, config)
    before = snapshot(tmp_path)
    cases = [
        (FUNCTION, plan({"scenario": {"size": 0.4}, "pause": 0.0}, 7, 10, 4), "scenario.size=0.3"),
        (
            FUNCTION,
            plan({"scenario": {}, "pause": 0.0}, 7, 10, 4),
            r"has scenario.size=\(nothing\)",
        ),
        (FUNCTION, plan(config, 8, 10, 4), "seed=7 where this one has seed=8"),
        (FUNCTION, plan(config, 7, 11, 4), "worlds=10 where this one has worlds=11"),
        ("ensemble_tasks:hollow", plan(config, 7, 10, 4), "function="),
    ]
    for function, tasks, words in cases:
        with pytest.raises(InputError, match=words):
            run(function, tasks, Store(tmp_path), Serial(), progress=False)
    assert snapshot(tmp_path) == before


def test_another_version_of_the_simulator_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = run_digest(FUNCTION, {}, 7)
    finished(tmp_path)
    monkeypatch.setattr("experiments.manifest.code_digest", lambda _: "0123")
    assert run_digest(FUNCTION, {}, 7) != digest
    with pytest.raises(InputError, match="another version of the simulator"):
        finished(tmp_path)


def test_a_run_is_not_completed_under_another_library(tmp_path: Path) -> None:
    finished(tmp_path)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    numpy = manifest["versions"]["numpy"]
    path.write_text(path.read_text().replace(f'"numpy": "{numpy}"', '"numpy": "1.0"'))
    finished(tmp_path)  # nothing is missing, nothing is mixed
    part = next((tmp_path / "parts").iterdir())
    part.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=rf"begun with numpy 1.0 and this is numpy {numpy}"):
        finished(tmp_path)


def test_another_chunk_size_keeps_the_slices_of_the_folder(tmp_path: Path) -> None:
    store = finished(tmp_path, chunk=4)
    part = tmp_path / "parts" / plan({}, 7, 10, 4)[1].key
    part.rename(tmp_path / "elsewhere")
    finished(tmp_path, chunk=5)
    assert part.is_dir()
    assert store.read("worlds").world.tolist() == list(range(10))


def test_a_cut_off_manifest_is_refused(tmp_path: Path) -> None:
    finished(tmp_path)
    os.truncate(tmp_path / "manifest.json", 100)
    with pytest.raises(InputError, match=r"manifest\.json must be the JSON"):
        finished(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match="holds parts and no manifest"):
        finished(tmp_path)
    with pytest.raises(InputError, match=r"holds no manifest\.json"):
        Store(tmp_path).read("worlds")


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        finished(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        finished(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"

    # Permissions do not bind root, who may run the tests: refuse as a read-only file system does.
    real = Path.open

    def refuse(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "r" in mode:
            return real(path, mode, *args, **options)
        raise OSError(30, "Read-only file system")

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"run cannot be written \(Read-only file system\)"):
        finished(tmp_path / "run")


def test_two_drivers_do_not_share_a_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    with (
        store.driving(FUNCTION, plan({}, 7, 10, 4)),
        pytest.raises(InputError, match=rf"another run is writing .*process {os.getpid()} on"),
    ):
        finished(tmp_path / "run")
    finished(tmp_path / "run")  # the lock file is still there, and nobody holds it


def test_of_two_workers_on_one_task_one_result_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (task,) = plan({}, 7, 1, 1)
    table = pa.table({"world": [0]})
    with store.driving(FUNCTION, [task]):
        threads = [
            threading.Thread(target=store.put, args=(task, {"worlds": table}, [])) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [task.key]
    store.check()


def test_leftovers_of_a_dead_worker_are_swept(tmp_path: Path) -> None:
    store = finished(tmp_path)
    key = plan({}, 7, 10, 4)[0].key
    (tmp_path / "parts" / key).rename(tmp_path / "parts" / f".{key}-half")
    finished(tmp_path)
    assert store.done() == {task.key for task in plan({}, 7, 10, 4)}
    assert not list((tmp_path / "parts").glob(".*"))


def test_manifest_describes_the_run(tmp_path: Path) -> None:
    store = Store(tmp_path, about={"engine": "serial"})
    run(FUNCTION, plan({"raises": [3]}, 7, 10, 4), store, Serial(), progress=False)
    manifest = store.manifest()
    assert manifest["config"] == {"raises": [3]}
    assert manifest["about"] == {"engine": "serial"}
    assert (manifest["seed"], manifest["worlds"], manifest["complete"]) == (7, 10, True)
    assert {"python", "faultline", "numpy", "numba", "mesa"} <= manifest["versions"].keys()
    assert manifest["wall_seconds"] > 0
    assert [(task["first"], task["stop"]) for task in manifest["tasks"]] == [
        (0, 4),
        (4, 8),
        (8, 10),
    ]


def test_one_world_is_read_from_its_own_part(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    run(FUNCTION, plan({}, 7, 10, 3), store, Serial(), progress=False)
    whole = store.read("worlds")
    for world in (0, 5, 9):
        expected = whole[whole["world"] == world].reset_index(drop=True)
        pd.testing.assert_frame_equal(
            store.read("worlds", world=world).reset_index(drop=True), expected
        )
