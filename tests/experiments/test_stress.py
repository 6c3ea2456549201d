"""The stress study from the command line to its files."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from experiments import stress
from experiments.ensemble import run_digest
from experiments.store import Store
from experiments.summary import dumps, summarise

Command = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
SMALL = ["worlds=8", "book.n_positions=300", "hours=2"]
TABLES = ("worlds", "series", "liquidations")


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {name: Store(folder).read(name) for name in TABLES}


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_module("conf", version_base=None):
        config = OmegaConf.to_container(compose("stress", list(overrides)), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def test_a_run_writes_what_it_promises_and_does_not_repeat_it(command: Command) -> None:
    folder = command(*SMALL, "engine=serial").folder()
    names = {path.name for path in folder.iterdir()}
    assert {"manifest.json", "summary.json", "report.html", "parts"} <= names
    found = tables(folder)
    assert found["worlds"]["world"].tolist() == list(range(8))
    assert (found["worlds"]["status"] == "ok").all()
    assert found["worlds"]["liquidated_debt_usd"].sum() > 0.0
    said = (folder / "summary.json").read_text()
    assert said == dumps(summarise(*found.values(), seed=0))
    counted = found["liquidations"].groupby("world")["debt_repaid_usd"].sum()
    written = found["worlds"].set_index("world")["liquidated_debt_usd"]
    np.testing.assert_allclose(counted, written[counted.index])
    page = (folder / "report.html").read_text()
    assert "crash" in page
    parts = {path: path.stat().st_mtime_ns for path in folder.glob("parts/*/*.parquet")}
    assert command(*SMALL, "engine=serial").folder() == folder
    assert {p: p.stat().st_mtime_ns for p in folder.glob("parts/*/*.parquet")} == parts
    assert (folder / "summary.json").read_text() == said


def test_rows_are_the_same_for_any_chunk_and_engine(command: Command) -> None:
    one = tables(command(*SMALL, "engine=serial", "chunk=8", "out=a").folder())
    other = tables(
        command(*SMALL, "engine=loky", "engine.n_workers=2", "chunk=3", "out=b").folder()
    )
    more = tables(command(*SMALL, "engine=serial", "worlds=9", "chunk=2", "out=c").folder())
    for name in TABLES:
        pd.testing.assert_frame_equal(one[name], other[name], check_exact=True)
        fewer = more[name][more[name]["world"] < 8].reset_index(drop=True)
        pd.testing.assert_frame_equal(one[name], fewer, check_exact=True)


def test_an_error_in_one_world_is_a_result(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments import record

    whole = record.simulate

    def simulate(config: dict[str, Any], seed: int, first: int, stop: int) -> Any:
        if first <= 3 < stop:
            raise ZeroDivisionError("world 3 divided by zero")
        return whole(config, seed, first, stop)

    monkeypatch.setattr(record, "simulate", simulate)
    ended = command(*SMALL, "engine=serial")
    worlds = tables(ended.folder())["worlds"]
    assert worlds["status"].tolist() == ["ok"] * 3 + ["error"] + ["ok"] * 4
    assert "world 3 divided by zero" in worlds["error"][3]
    (line,) = [line for line in ended.out.splitlines() if "Failed worlds" in line]
    assert line.split("│")[2].strip() == "1"


def test_a_study_without_a_result_is_an_error(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments import record

    def simulate(*arguments: Any) -> Any:
        raise ZeroDivisionError("all of them")

    monkeypatch.setattr(record, "simulate", simulate)
    said = command("worlds=2", "book.n_positions=300", "hours=0.2", "engine=serial").one_sentence()
    assert said.startswith("none of the 2 worlds finished: world 0 ended in ZeroDivisionError")


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(tmp_path: Path, command: Command) -> None:
    arguments = ["worlds=24", "chunk=1", "book.n_positions=300", "hours=2", "engine.n_workers=2"]
    running = subprocess.Popen(
        [sys.executable, "-m", "experiments.stress", *arguments, "out=killed"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240.0
    while len(list(tmp_path.glob("killed/*/parts/[!.]*"))) < 3:
        assert running.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no world was finished"
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    (folder,) = tmp_path.glob("killed/*")
    assert len(list(folder.glob("parts/[!.]*"))) < 24
    assert not (folder / "summary.json").exists()
    assert command(*arguments, "out=killed").folder() == folder
    whole = command("worlds=24", *arguments[2:4], "engine=serial", "out=whole").folder()
    assert whole.name == folder.name
    for name, table in tables(whole).items():
        pd.testing.assert_frame_equal(tables(folder)[name], table, check_exact=True)
    assert (whole / "summary.json").read_text() == (folder / "summary.json").read_text()


# Composition


def test_scenarios_compose_in_one_line() -> None:
    config = composed("scenario=[black_thursday,congestion,liquidity_drain]", "data=x")
    assert set(config["scenarios"]) == {"congestion", "liquidity_drain"}
    assert config["price"]["assets"]["WETH"]["symbol"] == "ETHUSD"  # the scenario overrides a group
    assert "keeper_a" in config["cast"]
    assert "liquidator_large" not in config["cast"]
    assert config["book"]["total_debt_usd"] == 2.0e8  # ... and a value
    assert config["start"] == "2020-03-12T00:00"
    assert config["blockspace"]["fee_market"] == "first_price"


def test_the_user_wins_over_a_scenario() -> None:
    config = composed(
        "scenario=[black_thursday,congestion]", "cast=default", "background=mean_reverting",
        "hours=3", "scenarios.congestion.multiple=7", "book.total_debt_usd=1e7",
    )  # fmt: skip
    assert "liquidator_large" in config["cast"]
    assert config["background"]["_target_"].endswith("MeanRevertingDemand")
    assert config["hours"] == 3
    assert config["scenarios"]["congestion"]["multiple"] == 7
    assert config["book"]["total_debt_usd"] == 1e7


def test_calm_has_no_stress_and_the_default_has() -> None:
    assert composed("scenario=calm")["scenarios"] == {}
    assert set(composed()["scenarios"]) == {"crash"}


def test_a_composed_run_is_named_by_its_scenarios(command: Command) -> None:
    ended = command("worlds=1", "book.n_positions=200", "hours=0.2", "engine=serial",
                    "scenario=[crash,congestion]")  # fmt: skip
    assert ended.folder().name.startswith("crash+congestion-1-")
    about = json.loads((ended.folder() / "manifest.json").read_text())["about"]
    assert set(about["scenarios"]) == {"crash", "congestion"}


def test_names() -> None:
    assert stress.study_name({"scenario": "crash"}, ["worlds=2"]) == "crash"
    assert stress.study_name({}, ["scenario=[a, b]"]) == "a+b"
    assert stress.study_name({"scenario": "mine/x"}, []) == "mine_x"


# The user's own files


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_own_prices_and_positions(
    command: Command, write_prices: Command, write_positions: Command, tmp_path: Path, suffix: str
) -> None:
    write_prices(tmp_path / f"prices.{suffix}")
    rows = [("alice", "WETH", 10.0, 0.0), ("alice", "USDC", 0.0, 24_000.0),
            ("bob", "WBTC", 5.0, 0.0), ("bob", "DAI", 0.0, 30_000.0)]  # fmt: skip
    write_positions(tmp_path / f"book.{suffix}", rows)
    folder = command(
        "worlds=2", "scenario=calm", "engine=serial", "hours=1", f"prices=prices.{suffix}",
        f"positions=book.{suffix}", "record_every=1",
    ).folder()  # fmt: skip
    found = tables(folder)
    series, worlds = found["series"], found["worlds"]
    assert series["time"].iloc[0] == pd.Timestamp("2024-05-01")  # where the file starts
    assert series["fundamental_WETH"].iloc[0] == pytest.approx(3000.0, rel=2e-3)
    assert series["fundamental_WETH"].iloc[59] == pytest.approx(3000.0 * 0.882, rel=3e-3)
    assert (series["fundamental_USDC"] == 1.0).all()
    np.testing.assert_allclose(worlds["initial_debt_usd"], 54_000.0, rtol=1e-6)
    np.testing.assert_allclose(worlds["initial_collateral_usd"], 330_000.0, rtol=2e-3)
    assert set(found["liquidations"]["position"]) == {0}  # alice: 24,000 of 30,000 at 0.83
    assert set(found["liquidations"]["debt"]) == {"USDC"}


def test_own_prices_start_where_start_says(
    command: Command, write_prices: Command, tmp_path: Path
) -> None:
    write_prices(tmp_path / "prices.csv")
    folder = command(
        "worlds=1", "scenario=calm", "engine=serial", "hours=0.4", "prices=prices.csv",
        "start=2024-05-01T00:30", "book.n_positions=200",
    ).folder()  # fmt: skip
    series = tables(folder)["series"]
    assert series["time"].iloc[0] == pd.Timestamp("2024-05-01T00:30")
    assert series["fundamental_WETH"].iloc[0] == pytest.approx(3000.0 * 0.94, rel=3e-3)


def test_exchange_klines_without_a_header(command: Command, tmp_path: Path) -> None:
    opened = 1_714_521_600_000 + 60_000 * np.arange(61)
    close = 3000.0 * (1.0 - 0.002 * np.arange(61))
    rows = {
        "open_time": opened, "open": close, "high": close * 1.001, "low": close * 0.999,
        "close": close, "volume": 1.0, "close_time": opened + 59_999, "quote": 1.0, "trades": 1,
        "taker_base": 1.0, "taker_quote": 1.0, "ignore": 0,
    }  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "ETHUSDT-1m.csv", index=False, header=False)
    small = ["worlds=1", "scenario=calm", "engine=serial", "hours=0.5", "prices=ETHUSDT-1m.csv"]
    assert "WBTC" in command(*small).one_sentence()  # a file without symbols holds one asset
    folder = command(*small, "assets=[WETH,USDC,DAI]", "book.n_positions=200").folder()
    series = tables(folder)["series"]
    assert series["time"].iloc[0] == pd.Timestamp("2024-05-01")
    assert "price_WBTC" not in series


def test_options_of_a_book_file_are_kept_and_those_of_a_drawn_book_dropped(tmp_path: Path) -> None:
    config = composed("book=file", "positions=x.csv", "+book.rename.stETH=WETH",
                      "scenario=black_thursday", "data=x")  # fmt: skip
    book = stress.relevant(config)["book"]
    assert book["rename"] == {"stETH": "WETH"}
    assert "total_debt_usd" not in book
    drawn = stress.relevant(composed("positions=x.csv"))
    assert set(drawn["book"]) == {"_target_", "path"}
    assert drawn["cast"]["borrowers"]["book"] == drawn["book"]


def test_an_edited_file_is_another_study(tmp_path: Path, write_positions: Command) -> None:
    config = composed(f"positions={tmp_path / 'book.csv'}")

    def digest() -> str:
        return run_digest(stress.FUNCTION, stress.relevant(config), 0)

    write_positions(tmp_path / "book.csv", [("a", "WETH", 1.0, 0.0)])
    before = digest()
    assert digest() == before
    write_positions(tmp_path / "book.csv", [("a", "WETH", 2.0, 0.0)])
    assert digest() != before


def test_what_no_row_depends_on_does_not_name_the_run() -> None:
    one = stress.relevant(composed("worlds=5", "engine=serial"))
    other = stress.relevant(composed("out=x", "chunk=3", "name=y", "seed=0", "engine=dask"))
    assert one == other
    assert one != stress.relevant(composed("hours=3"))


def test_chunks_fit_memory_and_share_the_work() -> None:
    config = composed()
    assert stress.chunk_of(config, 1000, 2) == 250  # 340 fit; two rounds
    assert stress.chunk_of(config, 8, 2) == 4
    assert stress.chunk_of(config, 1, 16) == 1
    assert stress.chunk_of(composed("chunk=7"), 1000, 2) == 7
    assert stress.chunk_of(composed("book.n_positions=1000000"), 1000, 2) == 3
