"""Bad input through the real command: one sentence, a non-zero exit, nothing overwritten."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.cli import in_order

Command = Callable[..., Any]
SMALL = ["worlds=2", "book.n_positions=200", "hours=0.5", "engine=serial"]


CASES = {
    "unknown asset in assets": (["assets=[WETH,WBTC,USDC,DAI,FOO]"], "FOO"),
    "unknown asset in book": (["+book.debt_mix.FOO=1"], "FOO"),
    "unknown asset in lending": (
        ["+lending.params.reserves.FOO=${lending.params.reserves.WETH}"], "FOO",
    ),
    "unknown asset in a pool": (["pools.weth_usdc.asset_0=FOO"], "pools.weth_usdc.asset_0"),
    "unknown gas asset": (["gas_asset=FOO"], "gas_asset must be one of"),
    "an asset twice": (["assets=[WETH,WETH]"], "different names"),
    "negative price": (["price.initial.WETH=-5"], "price: initial.WETH must be a positive"),
    "price that is not a number": (["price.initial.WETH=nan"], "price: initial.WETH"),
    "ltv above threshold": (
        ["lending.params.reserves.WETH.ltv=0.9"],
        "lending.params.reserves.WETH: ltv must not exceed liquidation_threshold",
    ),
    "bonus above what the threshold leaves": (
        ["lending.params.reserves.WETH.liquidation_bonus=0.3"],
        "liquidation_threshold * (1 + liquidation_bonus) must not exceed 1",
    ),
    "no worlds per task": (["chunk=0"], "chunk must be a whole number of at least 1, got 0"),
    "half a world per task": (["chunk=1.5"], "chunk must be a whole number"),
    "mistyped key": (["lending.params.reserves.WETH.ltvv=0.7"], "did you mean ltv?"),
    "mistyped top-level key": (["wrolds=10"], "did you mean worlds?"),
    "added key that no part knows": (
        ["+lending.params.reserves.WETH.ltvv=0.7"],
        "lending.params.reserves.WETH cannot be made from these values: there is no parameter ltvv",
    ),
    "added top-level key": (["+wrolds=10"], "unknown parameter wrolds: a study has"),
    "agent without a name": (["+agent=liquidator"], "+agent@cast.NAME=OPTION"),
    "unknown option": (["scenario=nope"], "choose one of black_thursday, calm, capo_2026"),
    "unknown engine": (["engine=nope"], "choose one of dask, loky, ray, serial"),
    "unreadable argument": (["worlds=[1"], "cannot be read"),
    "text for a number in a part": (
        ["lending.params.reserves.WETH.liquidation_threshold=high"],
        "liquidation_threshold=high",
    ),
    "text for hours": (["hours=long"], "hours must be a positive number of hours, got 'long'"),
    "no time": (["hours=0"], "hours must be a positive number of hours, got 0"),
    "endless time": (["hours=inf"], "hours must be a positive number"),
    "negative block time": (["block_seconds=-1"], "block_seconds must be a positive number"),
    "no worlds": (["worlds=0"], "worlds must be a whole number of at least 1, got 0"),
    "text for worlds": (["worlds=many"], "worlds must be a whole number"),
    "negative seed": (["seed=-1"], "seed must be a whole number of at least 0, got -1"),
    "a start that is no time": (["start=tomorrow"], "start must be a UTC time"),
    "no series": (["record_every=0"], "record_every must be a whole number of at least 1"),
    "history without data": (["scenario=black_thursday"], "needs data=DIR"),
    "data that is no folder": (["scenario=black_thursday", "data=nowhere"], "nowhere"),
    "folder without tables": (["scenario=may_2021", "data=."], "must hold the table"),
    "book=file without a file": (["book=file"], "positions"),
    "no price file": (["prices=absent.csv"], "absent.csv"),
    "no positions file": (["positions=absent.csv"], "absent.csv"),
    "drawn whale in a given book": (
        ["scenario=whale", "positions=absent.csv"], "the whale's row into the file",
    ),
    "no such worker count": (["engine=loky", "engine.n_workers=0"], "engine.n_workers"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_configuration(command: Command, tmp_path: Path, name: str) -> None:
    arguments, expected = CASES[name]
    said = command(*SMALL, *arguments).one_sentence()
    assert expected in said
    assert list(tmp_path.iterdir()) == []


TABLES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing column": (lambda t: t.drop(columns="low"), "missing: low"),
    "missing time": (lambda t: t.drop(columns="timestamp"), "ts (or timestamp"),
    "unsorted": (lambda t: t.iloc[[0, 2, 1, *range(3, len(t))]], "sort the file by time"),
    "twice": (lambda t: t.iloc[[0, 0, *range(1, len(t))]], "drop the duplicate"),
    "negative": (lambda t: t.assign(close=-1.0), "must hold a positive number"),
    "empty cell": (lambda t: t.assign(open=t["open"].where(t.index != 4)), "an empty cell"),
    "gap": (
        lambda t: t[(t["timestamp"].dt.minute < 20) | (t["timestamp"].dt.minute > 50)],
        "gap",
    ),
    "no symbol of an asset": (lambda t: t[t["symbol"] == "ETHUSD"], "no symbol for WBTC"),
    "too short": (lambda t: t, "3 h"),
}


@pytest.mark.parametrize("name", TABLES)
def test_bad_price_file(command: Command, write_prices: Command, tmp_path: Path, name: str) -> None:
    change, expected = TABLES[name]
    write_prices(tmp_path / "prices.csv", change)
    more = {"gap": ["+price.max_gap=600"], "too short": ["hours=3"]}.get(name, [])
    said = command(*SMALL, "scenario=calm", "prices=prices.csv", *more).one_sentence()
    assert expected in said
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


BOOKS: dict[str, tuple[list[tuple[str, str, float, float]], str]] = {
    "unknown asset": ([("a", "FOO", 1.0, 0.0)], "unknown asset FOO"),
    "debt without collateral": ([("a", "USDC", 0.0, 5.0)], "collateral"),
    "negative": ([("a", "WETH", -1.0, 0.0)], "finite number of zero or more, got -1"),
    "not a number": ([("a", "WETH", float("nan"), 0.0)], "got nothing (empty or NaN)"),
    "twice": ([("a", "WETH", 1.0, 0.0)] * 2, "more than one row for WETH"),
}


@pytest.mark.parametrize("name", BOOKS)
def test_bad_positions_file(
    command: Command, write_positions: Command, tmp_path: Path, name: str
) -> None:
    rows, expected = BOOKS[name]
    write_positions(tmp_path / "book.csv", rows)
    assert expected in command(*SMALL, "positions=book.csv").one_sentence()
    assert [path.name for path in tmp_path.iterdir()] == ["book.csv"]


def test_history_must_cover_the_run(command: Command, shared: Path) -> None:
    day = ["scenario=black_thursday", f"data={shared / 'data'}"]
    assert "must cover 2020-03-12" in command(*SMALL, *day, "hours=60").one_sentence()
    assert (
        "must have rows between" in command(*SMALL, *day, "price.start=2001-01-01").one_sentence()
    )


def test_output_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    said = command(*SMALL, "out=file/below").one_sentence()
    assert "cannot be written" in said
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_read_only_output(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir(mode=0o555)
    assert "cannot be written" in command(*SMALL).one_sentence()


def test_engine_that_is_not_installed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'faultline[scale]'" in command(*SMALL, "engine=ray").one_sentence()


def test_truncated_part_on_resume(command: Command, tmp_path: Path) -> None:
    assert command(*SMALL).code == 0
    (part,) = tmp_path.glob("results/*/parts/*/series.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[:-100])
    said = command(*SMALL).one_sentence()
    assert "series.parquet" in said
    assert "run the same command again" in said
    assert part.read_bytes() == whole[:-100]


def test_flags_may_stand_anywhere() -> None:
    assert in_order(["worlds=2", "--multirun", "seed=1,2"]) == [
        "--multirun",
        "worlds=2",
        "seed=1,2",
    ]
    assert in_order(["~cast.lenders", "--config-dir", "mine"]) == [
        "--config-dir", "mine", "~cast.lenders",
    ]  # fmt: skip


def test_help_names_what_there_is_and_imports_nothing_heavy(shell: Command, tmp_path: Path) -> None:
    probe = (
        "import sys, atexit; sys.argv = ['stress', '--help'];"
        "atexit.register(lambda: print('LOADED', [m for m in "
        "('numba', 'numpy', 'pandas', 'pyarrow', 'plotly', 'mesa', 'joblib', 'rich') "
        "if m in sys.modules]));"
        "from experiments.stress import main; main()"
    )
    ended = shell("-c", probe)
    assert ended.code == 0, ended.err
    assert "scenario: black_thursday, calm, capo_2026" in ended.out
    assert "block_seconds=60" in ended.out
    assert "--multirun" in ended.out
    assert "LOADED []" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_the_shell_sees_the_sentence_and_the_code(shell: Command, tmp_path: Path) -> None:
    ended = shell("-m", "experiments.stress", *SMALL, "lending.params.reserves.WETH.ltv=0.9")
    assert ended.code == 2
    assert ended.one_sentence().startswith("lending.params.reserves.WETH: ltv")
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_file_without_its_package_line(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "scenario"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("scenarios: {}\n")
    said = command(*SMALL, "--config-dir", "mine", "scenario=mine").one_sentence()
    assert "# @package _global_" in said


def test_a_config_folder_that_is_not_there(command: Command) -> None:
    assert "nowhere" in command(*SMALL, "--config-dir", "nowhere").one_sentence()
