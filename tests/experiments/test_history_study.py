"""The history study judges what an event simulates; here an event whose answer is known."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.engines.serial import Serial
from experiments.history.event import Documented, Event
from experiments.history.study import BASE, bare, judge, replay
from experiments.paired import Run, difference, run_designs
from sim.errors import ConfigError

EVENT = """
import numpy as np
import pyarrow as pa
from experiments.history.event import Event

class Toy(Event):
    title = "Toy"
    def __init__(self, *, loss=1.0, **told):
        super().__init__(**told)
        self.loss = loss
    def simulate(self, config, seed, first, stop):
        world = np.arange(first, stop)
        return {"worlds": pa.table({
            "world": world, "lost_usd": self.loss * (1e6 + 1e4 * world), "none_usd": 0.0 * world,
            "seen": 2.0 + 0.0 * world,
        })}
    def observed(self):
        return {"seen": 4.0}
"""
TOLD = {
    "documented": {
        "lost_usd": {"title": "loss", "unit": "USD", "value": 1.05e6, "bar": True},
        "none_usd": {"title": "nothing", "unit": "USD", "value": 0.0, "most": 1.0, "bar": True},
        "seen": {"title": "seen", "unit": "ETH", "bar": True},
    },
    "ablations": {
        "double": {"title": "twice the loss", "overrides": ["history.loss=2"]},
        "broken": {"title": "no number", "overrides": ["history.loss=x"]},
    },
    "assumptions": {"price": "assumed"},
}


@pytest.fixture
def event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "toy_event.py").write_text(EVENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("experiments.paired.check", lambda *_: None)  # no study to build
    from importlib import import_module

    yield import_module("toy_event").Toy(data="nowhere", **TOLD)
    sys.modules.pop("toy_event", None)


def config(tmp_path: Path, loss: Any = 1.0) -> dict[str, Any]:
    return {
        "history": {"_target_": "toy_event.Toy", "data": "nowhere", "loss": loss, **TOLD},
        "worlds": 11, "seed": 3, "chunk": None, "out": str(tmp_path / "out"), "hours": 1.0,
        "block_seconds": 60.0, "assets": ["WETH"], "gas_asset": "WETH", "record_every": 1,
        "check_every": 0, "book": {}, "market": {}, "ablate": True, "cast": {}, "start": "2020",
    }  # fmt: skip


def test_an_event_is_judged_and_its_ablations_are_paired(event: Event, tmp_path: Path) -> None:
    variants = {"double": config(tmp_path, 2.0), "broken": config(tmp_path, "x")}
    report, found = replay(event, "toy", config(tmp_path), variants, ["event=toy"], Serial())
    lost, none, seen = (found["figures"][name] for name in ("lost_usd", "none_usd", "seen"))
    assert lost["simulated"]["median"] == 1.05e6
    assert (lost["ratio"]["value"], lost["verdict"]) == (1.0, "yes")
    assert (none["ratio"], none["verdict"]) == (None, "yes")
    assert (seen["documented"], seen["ratio"]["value"], seen["verdict"]) == (4.0, 0.5, "no")
    double = found["ablations"]["double"]["effects"]["lost_usd"]
    assert double["median"] == 2.1e6
    assert double["difference"]["value"] == pytest.approx(1.05e6)
    assert "finished" in found["ablations"]["broken"]["problem"]
    assert json.loads((report.parent / "summary.json").read_text()) == found
    html = report.read_text()
    assert "$1.05M" in html
    assert "no number could not run" in html


def test_what_the_report_alone_reads_starts_no_other_run(tmp_path: Path) -> None:
    reworded = config(tmp_path)
    reworded["history"] = {**reworded["history"], "assumptions": {"price": "said otherwise"}}
    assert bare(reworded) == bare(config(tmp_path))
    assert bare(config(tmp_path, 2.0)) != bare(config(tmp_path))


def test_a_second_run_computes_nothing(event: Event, tmp_path: Path) -> None:
    designs = {BASE: bare(config(tmp_path))}
    where = tmp_path / "designs"
    made = [
        run_designs("experiments.history.event:simulate", designs, where, Serial(),
                    seed=3, worlds=11)
        for _ in range(2)
    ]  # fmt: skip
    first, second = (found[BASE] for found in made)
    assert first.worlds is not None
    assert first.worlds.equals(second.worlds)
    assert len(list(where.iterdir())) == 1
    assert difference(first.worlds, first.worlds, "lost_usd").value == 0.0


def test_a_failed_event_is_not_judged_silently(event: Event) -> None:
    with pytest.raises(AssertionError):
        judge(event, "toy", {BASE: Run(BASE, problem="no")})


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"value": float("nan")}, "finite"), ({"value": 0.0, "bar": True}, "give most=")],
)
def test_a_figure_that_cannot_be_judged_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Documented(title="loss", unit="USD", **fields)


def test_bad_input_stops_a_study_before_any_world_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.history.__main__ import main

    monkeypatch.setattr(sys, "argv", ["history", "event=maker_2020", f"data={tmp_path}/none"])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert "which is no folder" in said
    assert len(said.strip().splitlines()) == 1
    monkeypatch.setattr(sys, "argv", ["history"])
    with pytest.raises(SystemExit):
        main()
    assert "event must be given" in capsys.readouterr().err
