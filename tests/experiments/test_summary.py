"""The numbers of summary.json, checked by hand and against other ways to count."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from experiments import summary as it


def hand_made(n: int = 4) -> pd.DataFrame:
    """Four worlds whose numbers can be checked in the head; the last one failed."""
    zero = np.zeros(n)
    return pd.DataFrame(
        {
            "world": np.arange(10, 10 + n),
            "status": ["ok"] * (n - 1) + ["error"],
            "error": [None] * (n - 1) + ["boom"],
            "bad_debt_usd": [0.0, 30.0, 60.0, math.nan],
            "liquidated_debt_usd": [0.0, 100.0, 200.0, math.nan],
            "liquidated_collateral_usd": [0.0, 105.0, 210.0, math.nan],
            "n_liquidations": [0, 1, 2, math.nan],
            "n_positions_liquidated": [0, 1, 2, math.nan],
            "borrower_loss_usd": [0.0, 5.0, 10.0, math.nan],
            "liquidator_profit_usd": [0.0, 4.0, 8.0, math.nan],
            "liquidator_gas_usd": [0.0, 1.0, 2.0, math.nan],
            "protocol_income_usd": [1.0, 2.0, 3.0, math.nan],
            "supplier_interest_usd": [7.0, 7.0, 7.0, math.nan],
            "supplier_loss_usd": [0.0, 30.0, 50.0, math.nan],
            "arbitrageur_profit_usd": zero,
            "peak_liquidatable_debt_usd": [0.0, 50.0, 90.0, math.nan],
            "hours_liquidatable": [0.0, 1.0, 5.0, math.nan],
            "final_liquidatable_debt_usd": zero,
            "max_base_fee_gwei": [10.0, 20.0, 90.0, math.nan],
            "max_oracle_gap": [0.0, 0.1, 0.2, math.nan],
            "n_included": [8, 8, 4, math.nan],
            "n_expired": [0, 0, 5, math.nan],
            "n_reverted": [0, 1, 1, math.nan],
            "initial_collateral_usd": [2000.0] * n,
            "initial_debt_usd": [1000.0] * n,
            "borrowing_power": [0.5] * n,
            "final_debt_usd": [1000.0, 900.0, 800.0, math.nan],
            "fall_WETH": [0.1, 0.4, 0.7, math.nan],
            "fundamental_fall_WETH": [0.1, 0.3, 0.5, math.nan],
            "amplification_WETH": [0.0, 0.1, 0.2, math.nan],
            "push_WETH": [0.0, 0.1, 0.2, math.nan],
        }
    )


@pytest.fixture
def by_hand():
    return it.summarise(hand_made(), pd.DataFrame(), pd.DataFrame())


def test_counts_and_failed_worlds(by_hand):
    assert by_hand["worlds"] == {"n": 4, "n_ok": 3, "n_failed": 1, "failed_world_ids": [13]}


def test_bad_debt_by_hand(by_hand):
    lost = by_hand["bad_debt"]
    assert lost["mean_usd"]["value"] == 30.0
    assert lost["median_usd"]["value"] == 30.0
    assert lost["max_usd"] == 60.0
    assert lost["probability_any"]["value"] == pytest.approx(2 / 3)
    assert lost["share_of_initial_debt"]["value"] == pytest.approx(0.03)
    assert lost["var_95_usd"] == {
        "value": None, "low_95": None, "high_95": None, "reason": "too few worlds (3)",
    }  # fmt: skip


def test_parties_by_hand(by_hand):
    mean = {k: v["mean_usd"]["value"] for k, v in by_hand["parties"].items()}
    assert mean["borrowers"] == -5.0
    assert mean["suppliers"] == pytest.approx((7.0 - 23.0 - 43.0) / 3)
    assert mean["liquidators"] == 4.0
    # in the last world the protocol covered 60 - 50 of the bad debt
    assert mean["protocol"] == pytest.approx((1.0 + 2.0 + 3.0 - 10.0) / 3)


def test_gas_oracle_amplification_and_worst_by_hand(by_hand):
    assert by_hand["gas"]["share_expired"] == pytest.approx(5 / 25)
    assert by_hand["gas"]["share_reverted"] == pytest.approx(2 / 20)
    assert by_hand["gas"]["max_base_fee"]["p50_gwei"] == 20.0
    assert by_hand["oracle"]["max_gap"]["mean"]["value"] == pytest.approx(0.1)
    extra = by_hand["amplification"]["WETH"]
    assert extra["mean"]["value"] == pytest.approx(0.1)
    assert extra["mean_fall"] == pytest.approx(0.4)
    assert extra["mean_fundamental_fall"] == pytest.approx(0.3)
    assert by_hand["worst_world"]["world"] == 12
    assert by_hand["worst_world"]["fall"] == {"WETH": 0.7}
    assert by_hand["under_water"]["hours_liquidatable"]["mean_hours"]["value"] == 2.0
    assert by_hand["liquidations"]["mean_share_of_initial_debt"] == pytest.approx(0.1)


def test_worst_world_without_bad_debt_is_the_one_most_under_water():
    table = hand_made()
    table["bad_debt_usd"] = 0.0
    assert it.worst_world(table) == 12
    assert it.worst_world(table.assign(status="error")) is None


def test_tails_agree_with_sorting(fake_run):
    run = fake_run(200, n_failed=3)
    found = it.summarise(run.worlds, run.series, run.liquidations)
    lost = np.sort(run.worlds.loc[run.worlds["status"] == "ok", "bad_debt_usd"].to_numpy())
    assert lost.size == 197
    assert found["bad_debt"]["var_95_usd"]["value"] == lost[187]  # 0.95 * 197 = 187.15
    # the worst 9.85 worlds: nine of them whole and 0.85 of the tenth
    expected = (lost[188:].sum() + 0.85 * lost[187]) / 9.85
    assert found["bad_debt"]["es_95_usd"]["value"] == pytest.approx(expected, rel=1e-12)
    for estimate in found["bad_debt"].values():
        if isinstance(estimate, dict) and estimate["low_95"] is not None:
            assert estimate["low_95"] <= estimate["value"] <= estimate["high_95"]
    assert sum(found["liquidations"]["share_by_liquidator"].values()) == pytest.approx(1.0)
    assert found["horizon_hours"] == 24.0


def test_same_tables_give_the_same_summary_in_any_order(fake_run):
    run = fake_run(60)
    once = it.dumps(it.summarise(run.worlds, run.series, run.liquidations))
    again = it.dumps(it.summarise(run.worlds.iloc[::-1], run.series, run.liquidations))
    assert json.loads(once)["bad_debt"] == json.loads(again)["bad_debt"]
    assert once == it.dumps(it.summarise(run.worlds, run.series, run.liquidations))


def keys_and_numbers(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from keys_and_numbers(inner, f"{path}.{key}")
    else:
        yield path, value


@pytest.mark.parametrize(
    "shape",
    [
        {"n_worlds": 1},
        {"n_worlds": 5, "n_failed": 5},
        {"n_worlds": 30, "n_failed": 2, "bad_debt": False},
        {"n_worlds": 30, "liquidations": False, "series": False},
    ],
)
def test_summary_is_safe_for_json(fake_run, shape):
    run = fake_run(**shape)
    found = it.summarise(run.worlds, run.series, run.liquidations)
    assert json.loads(it.dumps(found)) == found
    assert all(
        v is None or isinstance(v, str | int | float | list) for _, v in keys_and_numbers(found)
    )


def test_console_table_shows_the_figures(fake_run):
    run = fake_run(150, n_failed=1)
    found = it.summarise(run.worlds, run.series, run.liquidations)
    console = Console(width=110)
    with console.capture() as captured:
        console.print(it.console_table(found, "[run]"))
    text = captured.get()
    assert "[run]: 149 of 150 worlds" in text
    for line in (
        "Bad debt, ES 99",
        "Liquidations at risk 99",
        "Amplification, WETH",
        "Worst world",
    ):
        assert line in text
    assert "Amplification, USDC" not in text


def test_console_table_of_a_run_that_failed(fake_run):
    run = fake_run(3, n_failed=3)
    found = it.summarise(run.worlds, run.series, run.liquidations)
    console = Console(width=110)
    with console.capture() as captured:
        console.print(it.console_table(found))
    assert "0 of 3 worlds" in captured.get()
    assert "no world finished" in captured.get()
