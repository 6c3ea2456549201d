"""Sweeps: one study per design on the same shocks, and one comparison."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.multirun import Design, Session, sweep_folder
from experiments.store import Store

Command = Callable[..., Any]
SMALL = ["worlds=3", "book.n_positions=200", "hours=1.5", "engine=serial"]
THRESHOLD = "lending.params.reserves.WETH.liquidation_threshold"


def test_a_sweep_is_one_study_per_design_and_one_comparison(
    command: Command, tmp_path: Path
) -> None:
    ended = command("--multirun", *SMALL, f"{THRESHOLD}=0.82,0.84", "oracle=spot,pushed")
    folder = ended.folder()
    assert folder.name.startswith("sweep-4-")
    assert ended.out.strip().endswith("comparison.html")
    found = json.loads((folder / "comparison.json").read_text())
    assert set(found["parameters"]) == {THRESHOLD, "oracle"}
    assert [design["n_ok"] for design in found["designs"]] == [3] * 4
    assert "Mean bad debt" in (folder / "comparison.html").read_text()  # a heat map
    studies = [path for path in (tmp_path / "results").iterdir() if path.name.startswith("crash-3")]
    assert len(studies) == 4
    assert all((study / "report.html").is_file() for study in studies)
    starts = [Store(study).read("series").query("step == 10") for study in studies]
    for other in starts[1:]:
        columns = ["world", "fundamental_WETH", "fundamental_WBTC"]
        pd.testing.assert_frame_equal(starts[0][columns], other[columns], check_exact=True)
    assert {path.name for path in tmp_path.iterdir()} == {"results"}

    parts = {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/*/parts/*/*")}
    assert command("--multirun", *SMALL, f"{THRESHOLD}=0.82,0.84", "oracle=spot,pushed").folder() \
        == folder  # fmt: skip
    assert parts == {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/*/parts/*/*")}


def test_a_design_that_cannot_run_does_not_stop_the_others(command: Command) -> None:
    ended = command(*SMALL, "--multirun", f"{THRESHOLD}=1.2,0.83,0.84")
    assert ended.code == 2
    errors = ended.err.strip().splitlines()
    assert errors[0].startswith(
        "error: liquidation_threshold = 1.2: lending.params.reserves.WETH: "
    )
    assert errors[1:] == ["error: 1 of 3 designs cannot run"]
    page = Path(ended.out.strip().splitlines()[-1])
    assert "The design liquidation_threshold = 1.2 could not run" in page.read_text()
    found = json.loads((page.parent / "comparison.json").read_text())
    assert len(found["designs"]) == 2
    assert "must lie in [0, 1], got 1.2" in found["failed"][0]["problem"]


def test_when_no_design_can_run_there_is_no_comparison(command: Command, tmp_path: Path) -> None:
    ended = command(*SMALL, "--multirun", f"{THRESHOLD}=1.2,1.3")
    assert ended.code == 2
    assert "error: 2 of 2 designs cannot run" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_composed_stops_a_sweep_before_it_begins(
    command: Command, tmp_path: Path
) -> None:
    ended = command(*SMALL, "--multirun", "wrolds=1,2")
    assert ended.code == 2
    assert "did you mean worlds?" in ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_engines_worlds_and_folders_may_be_swept(command: Command, tmp_path: Path) -> None:
    small = ["book.n_positions=200", "hours=0.3", "scenario=crash"]
    ended = command("--multirun", *small, "engine=serial,loky", "worlds=2,3", "out=a,b")
    found = json.loads((ended.folder() / "comparison.json").read_text())
    assert len(found["designs"]) == 8
    assert ended.folder().parent == tmp_path / "a"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert len([path for path in (tmp_path / "a").iterdir() if "crash" in path.name]) == 2


def test_scenarios_may_be_swept_in_combinations(command: Command) -> None:
    ended = command(
        "--multirun", "worlds=1", "book.n_positions=200", "hours=0.2", "engine=serial",
        "scenario=[crash,congestion],calm",
    )  # fmt: skip
    assert "scenario = calm" in ended.out
    assert "crash+congestion-1-" in ended.out


def test_the_folder_follows_from_what_is_compared(tmp_path: Path) -> None:
    one = [Design({"a": "1"}, tmp_path, {"a": "1"}, problem="x"), Design({}, tmp_path, {})]
    again = [Design({"a": "1"}, tmp_path, {"a": "1"}, problem="y"), Design({}, tmp_path, {})]
    other = [Design({"a": "2"}, tmp_path, {"a": "2"}, problem="x"), Design({}, tmp_path, {})]
    assert sweep_folder(one) == sweep_folder(again)
    assert sweep_folder(one) != sweep_folder(other)


def test_scratch_is_made_when_needed_and_removed() -> None:
    with Session() as session:
        folder = Path(session._scratch_folder())
        assert folder.is_dir()
        assert session._scratch_folder() == str(folder)
    assert not folder.exists()


def test_labels_name_what_differs(tmp_path: Path) -> None:
    assert Design({}, tmp_path, {"a.b.c": "1", "d": "x"}).label == "c = 1, d = x"
    assert Design({}, tmp_path, {}).label == "the only design"


@pytest.mark.parametrize("override", ["~cast.lenders", "+cast.lenders.n_lenders=3"])
def test_deleted_and_added_keys_are_overrides_too(override: str) -> None:
    from experiments.multirun import _pair

    key, value = _pair(override)
    assert key == override.partition("=")[0]
    assert value in ("removed", "3")
