"""Aave's CRV debt: the spiral, against arithmetic that knows nothing of the simulation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from experiments.build import part, without_unused
from experiments.history.aave_crv_2022 import OneLoan, measured
from experiments.history.crv_figures import charts
from experiments.history.event import Event, simulate
from sim.errors import ConfigError

DEBT, COLLATERAL, BONUS, THRESHOLD = 92e6, 63.6e6, 0.045, 0.88
STILL = ("price.fill_volatility=0.0", "market.feedback=false", "record_every=1")


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_module("conf", version_base=None):
        cfg = compose("history", ["event=aave_crv_2022", "data=unread", *overrides])
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    config.pop("ablate")
    return without_unused({str(key): value for key, value in config.items()})


def run(*overrides: str, worlds: int = 1) -> dict[str, pd.DataFrame]:
    found = simulate(composed(*overrides), 0, 0, worlds)
    return {key: it.to_pandas() for key, it in found.items()}


def run_at(price: float, hours: float) -> dict[str, pd.DataFrame]:
    """One world at a price that stands."""
    config = composed(*STILL, f"hours={hours}")
    points = config["price"]["points"]
    points["CRV"] = dict.fromkeys(points["CRV"], price)
    return {key: it.to_pandas() for key, it in simulate(config, 0, 0, 1).items()}


@pytest.fixture(scope="module")
def storm() -> dict[str, pd.DataFrame]:
    return run("hours=3.0", "record_every=1", worlds=3)


@pytest.mark.parametrize(("price", "way"), [(0.62, 1.0), (0.70, -1.0)])
def test_a_call_heals_above_threshold_times_bonus_and_harms_below(price: float, way: float) -> None:
    """At 0.62 the debt is 0.90 of the collateral, at 0.70 it is 1.01; the sign turns at 0.957."""
    path = run_at(price, 0.1)["series"]
    health = path.health.to_numpy()
    assert health[0] == pytest.approx(THRESHOLD * COLLATERAL / (DEBT * price), rel=1e-9)
    assert (health[0] > THRESHOLD * (1.0 + BONUS)) == (way > 0.0)
    assert way * (health[-1] - health[0]) > 1e-3
    assert path.debt_crv.iloc[-1] < 0.99 * DEBT


def test_at_a_price_that_stands_bad_debt_is_what_the_collateral_does_not_buy_back() -> None:
    price = 0.70
    found = run_at(price, 2.0)["worlds"].iloc[0]
    assert found.stripped == 1.0
    expected = DEBT - COLLATERAL / ((1.0 + BONUS) * price)
    assert found.bad_debt_crv == pytest.approx(expected, rel=0.02)  # two hours of interest
    assert found.mean_price == pytest.approx(price, rel=1e-9)


def test_under_the_threshold_nothing_is_liquidated() -> None:
    found = run_at(0.60, 0.2)["worlds"].iloc[0]
    assert (found.n_calls, found.bad_debt_crv) == (0.0, 0.0)
    assert np.isnan(found.mean_price)


def test_a_slow_account_of_the_calls_ends_where_the_position_ends(
    storm: dict[str, pd.DataFrame],
) -> None:
    for world, calls in storm["calls"].groupby("world"):
        path = storm["series"][storm["series"].world == world]
        debt, collateral = DEBT, COLLATERAL
        for repaid, seized in zip(calls.repaid_crv, calls.seized_usdc, strict=True):
            assert repaid <= 0.5 * debt * (1 + 1e-3)  # the close factor, and a little interest
            debt -= repaid
            collateral -= seized
        interest = 4.0 / (365 * 24) * 3.0  # three hours at no more than 400% a year
        assert path.debt_crv.iloc[-1] == pytest.approx(debt, abs=interest * DEBT)
        assert path.collateral_usdc.iloc[-1] == pytest.approx(collateral, abs=1e-3 * COLLATERAL)


def test_every_call_is_paid_at_a_price_of_the_oracle(storm: dict[str, pd.DataFrame]) -> None:
    series = storm["series"]
    for world, calls in storm["calls"].groupby("world"):
        seen = np.sort(series[series.world == world].oracle_CRV.unique())
        paid = (calls.seized_usdc / ((1.0 + BONUS) * calls.repaid_crv)).to_numpy()
        near = np.abs(seen[None, :] / paid[:, None] - 1.0).min(axis=1)
        assert near.max() < 1e-6  # series are float32


def test_purchases_push_the_price_up(storm: dict[str, pd.DataFrame]) -> None:
    hit = storm["worlds"][storm["worlds"].n_calls > 0]
    assert len(hit) > 0
    for world in hit.world:
        path = storm["series"][storm["series"].world == world]
        assert (path.price_CRV / path.fundamental_CRV).max() > 1.05


def test_worlds_do_not_depend_on_the_slice(storm: dict[str, pd.DataFrame]) -> None:
    alone = simulate(composed("hours=3.0", "record_every=1"), 0, 2, 3)["worlds"].to_pandas()
    both = storm["worlds"][storm["worlds"].world == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, both)


def test_figures_of_two_calls() -> None:
    calls = pd.DataFrame({
        "time": pd.to_datetime(["2022-11-22T17:00", "2022-11-22T17:30"]),
        "repaid_crv": [100.0, 300.0], "seized_usdc": [1.045 * 60.0, 1.045 * 220.0],
    })  # fmt: skip
    found = measured(calls, BONUS)
    assert (found["n_calls"], found["minutes"], found["repaid_crv"]) == (2.0, 30.0, 400.0)
    assert found["mean_price"] == pytest.approx(0.7)
    assert found["mean_call_usd"] == pytest.approx(140.0)


def test_documented_figures_agree_with_each_other_and_are_simulated(
    storm: dict[str, pd.DataFrame],
) -> None:
    event = part(composed(), "history")
    assert isinstance(event, Event)
    known = {key: it.value for key, it in event.documented.items()}
    assert set(known) <= set(storm["worlds"].columns)
    repaid = DEBT - known["bad_debt_crv"]
    assert known["repaid_crv"] == pytest.approx(repaid, rel=1e-3)
    assert known["mean_price"] == pytest.approx(COLLATERAL / (1.0 + BONUS) / repaid, rel=1e-3)
    assert known["mean_call_usd"] == pytest.approx(repaid * known["mean_price"] / 385, rel=1e-2)
    assert len(charts(storm, event.documented)) == 5


def test_volume_and_volatility_are_those_stated(shared: Path) -> None:
    """The table's wild days, and Parkinson's estimate from the published range."""
    table = pd.read_parquet(shared / "data" / "ohlcv_1h_alts_binance.parquet")
    bars = table[table.symbol == "CRVUSDT"].set_index("ts")["2022-01-01":]
    days = bars.resample("1D").agg({"high": "max", "low": "min", "close": "last", "volume": "sum"})
    days = days.dropna()
    scale = 2.0 * np.sqrt(np.log(2.0))
    wild = days[np.log(days.high / days.low) / scale > 0.15]
    market = composed()["market"]
    assert len(wild) == 11
    volume = 2.5 * float((wild.volume * wild.close).median())
    assert market["daily_volume"]["CRV"] == pytest.approx(volume, rel=0.01)
    stated = market["daily_volatility"]["CRV"]
    assert stated == pytest.approx(np.log(0.61 / 0.40) / scale, rel=0.01)
    assert composed()["price"]["fill_volatility"] == pytest.approx(stated * np.sqrt(365), rel=0.01)


def test_a_loan_of_an_unknown_asset_is_refused() -> None:
    one = OneLoan(collateral={"USDC": 1.0}, debt={"XYZ": 1.0})
    with pytest.raises(ConfigError, match=r"book\.debt names XYZ"):
        one.draw(("USDC", "CRV"), np.ones(2), np.ones(2), np.ones(2))
