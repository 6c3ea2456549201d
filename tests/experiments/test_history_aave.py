"""Aave on 19 May 2021: its inputs are what the tables say, its figures what they are called."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from experiments.history.aave_2021 import (
    SYMBOLS,
    listed_market,
    prices_at,
    recorded_liquidations,
    stated_gas,
    summed,
)
from experiments.history.aave_users import STABLE, SampledUsers, balances, sampled_health
from experiments.history.event import simulate
from sim.errors import ConfigError, InputError
from sim.lending.params import PooledParams, ReserveParams

ASSETS = ["WETH", "WBTC", "LINK", "YFI", "AAVE", "UNI", "MKR", "CRV", "USDC", "USDT", "DAI"]


@pytest.fixture(scope="module")
def data(shared: Path) -> str:
    return str(shared / "data")


def composed(data: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_module("conf", version_base=None):
        cfg = compose("history", overrides=["event=aave_2021", f"data={data}", *overrides])
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    config.pop("ablate")
    return {str(key): value for key, value in config.items()}


@pytest.fixture(scope="module")
def config(data: str) -> dict[str, Any]:
    return composed(data)


def test_figures_of_a_day_of_four_liquidations() -> None:
    rows = pd.DataFrame({
        "user": ["a", "a", "b", "c"], "hour": [9, 10, 14, 15],
        "collateral": ["WETH", "WETH", "WBTC", "YFI"],
        "collateral_usd": [10.0, 20.0, 30.0, 40.0], "debt_usd": [9.0, 18.0, 27.0, np.nan],
    })  # fmt: skip
    found = summed(rows)
    assert (found["collateral_usd"], found["WETH_usd"], found["other_usd"]) == (100.0, 30.0, 40.0)
    assert found["crash_share"] == 0.5
    assert (found["n_liquidations"], found["n_users"]) == (4.0, 3.0)
    assert (found["median_debt_usd"], found["largest_debt_usd"]) == (18.0, 27.0)
    assert found["top_tenth_share"] == 27.0 / 54.0


def test_the_recorded_day_has_a_price_on_every_row_that_is_kept(data: str) -> None:
    rows = recorded_liquidations(data, "2021-05-19", "2021-05-20", (*SYMBOLS, *STABLE))
    assert not rows.collateral_usd.isna().any()
    assert rows.debt_usd.isna().sum() == 1  # the one in SNX; that in WETH is priced
    # Covalent counted 170 million for all of Aave; the table itself says 43.6 million of WBTC.
    assert rows.collateral_usd.sum() == pytest.approx(1.70e8, rel=0.03)
    bitcoin = rows[rows.collateral == "WBTC"].collateral_usd.sum()
    assert bitcoin == pytest.approx(4.361419e7, rel=0.005)
    assert rows.attrs["left_out_usd"] == pytest.approx(3.1e6, rel=0.02)


def test_gas_between_two_stated_prices_is_geometric() -> None:
    points = {"2021-05-19T00:00": 100.0, "2021-05-19T02:00": 400.0}
    gas = stated_gas(points, 0.8, 1.25, scale=0.5)
    assert len(gas.ts) == 12
    # The law goes through both quantiles; halfway in time the average is 200 gwei, here halved.
    assert np.exp(gas.median[6] + gas.Z30 * gas.sigma[6]) == pytest.approx(80.0)
    assert np.exp(gas.median[6] + gas.Z90 * gas.sigma[6]) == pytest.approx(125.0)
    with pytest.raises(ConfigError, match="at least two times"):
        stated_gas({"2021-05-19T00:00": 100.0}, 0.8, 1.25)


def test_the_market_has_the_terms_of_the_table(data: str) -> None:
    params = PooledParams(reserves={"WETH": ReserveParams(), "USDC": ReserveParams(slope_1=0.04)})
    market = listed_market(
        data=data, assets=["WETH", "WBTC", "USDT"], ltv={"WETH": 0.8}, bonus={"WBTC": 0.1},
        params=params,
    )  # fmt: skip
    reserves = market.params.reserves
    assert (reserves["WETH"].liquidation_threshold, reserves["WETH"].ltv) == (0.85, 0.8)
    assert reserves["WBTC"].liquidation_bonus == 0.1
    assert reserves["USDT"].liquidation_threshold == reserves["USDT"].liquidation_bonus == 0.0
    assert reserves["USDT"].slope_1 == 0.04
    with pytest.raises(InputError, match="no asset SHIB"):
        listed_market(data=data, assets=["SHIB"], ltv={}, bonus={}, params=params)


def before(data: str, first: str) -> pd.DataFrame:
    return recorded_liquidations(data, first, "2021-05-19", (*SYMBOLS, *STABLE[:3]))


def test_stated_bonuses_are_those_of_the_liquidations_before(
    data: str, config: dict[str, Any]
) -> None:
    rows = before(data, "2021-05-01")
    rows = rows[rows.debt.isin(STABLE)]
    ratio = (rows.collateral_usd / rows.debt_usd).groupby(rows.collateral).median()
    for asset, bonus in config["lending"]["bonus"].items():
        assert ratio[asset] == pytest.approx(1.0 + bonus, abs=0.01), asset
    for asset, bonus in (("WETH", 0.05), ("LINK", 0.10), ("AAVE", 0.10), ("UNI", 0.10)):
        assert ratio[asset] == pytest.approx(1.0 + bonus, abs=0.01), asset


def test_the_composition_is_that_of_the_liquidations_before(
    data: str, config: dict[str, Any]
) -> None:
    table = pd.read_parquet(f"{data}/aave_v2_liquidations.parquet")
    table = table[(table.ts < "2021-05-19") & (table.pool_name == "aave_v2_main")]
    table = table[table.collateral.isin(ASSETS)]
    debt = table.debt_usd.groupby(table.collateral).sum() / table.debt_usd.sum()
    for asset, share in config["book"]["collateral_mix"].items():
        assert share == pytest.approx(debt[asset], abs=2e-3), asset
    owed = table.debt.replace(dict.fromkeys(STABLE[3:], "USDC"))
    shares = table.debt_usd.groupby(owed).sum() / table.debt_usd.sum()
    for asset, share in config["book"]["debt_mix"].items():
        assert share == pytest.approx(shares[asset], abs=0.01), asset


def test_health_is_that_of_the_sample(data: str, config: dict[str, Any]) -> None:
    assets = [*ASSETS, "SNX"]
    table = pd.read_parquet(f"{data}/aave_v2_reserve_params.parquet")
    table = table[table.pool_name == "aave_v2_main"].set_index("symbol")
    thresholds = table.loc[assets].liq_threshold_bps.to_numpy() / 1e4
    median, sigma, users = sampled_health(data, assets, thresholds, "2021-04-05", "2021-05-18")
    assert users == 7
    assert config["book"]["health_median"] == pytest.approx(median, abs=0.01)
    assert config["book"]["health_sigma"] == pytest.approx(sigma, abs=0.01)


def test_flows_below_zero_are_no_balance_and_other_stablecoins_are_owed() -> None:
    rows = pd.DataFrame({
        "WETH_deposited": [2.0, -1.0], "GUSD_borrowed": [5.0, np.nan], "GUSD_deposited": [7.0, 0.0],
        "USDC_borrowed": [1.0, 3.0],
    })  # fmt: skip
    supplied, owed = balances(rows, ["WETH", "USDC"], {"GUSD": "USDC"})
    assert supplied.tolist() == [[2.0, 0.0], [0.0, 0.0]]
    assert owed.tolist() == [[0.0, 6.0], [0.0, 3.0]]


def test_the_sample_as_a_book(data: str) -> None:
    moment = np.array([pd.Timestamp("2021-05-19", tz="UTC").timestamp()])
    prices = np.array([
        prices_at(data, a, moment, "2021-05-18", "2021-05-20")[0] for a in ASSETS
    ])  # fmt: skip
    thresholds = np.array([0.85, 0.75, 0.75, 0.6, 0.7, 0.7, 0.7, 0.55, 0.85, 0.0, 0.8])
    source = SampledUsers(data=data, total_debt_usd=1e9, n_positions=400, seed=3)
    book = source.draw(ASSETS, prices, thresholds, thresholds)
    assert book.debt_usd(prices).sum() == pytest.approx(1e9)
    assert (book.health_factor(prices, thresholds) > 1.0).all()
    kinds = np.unique(np.round(book.health_factor(prices, thresholds), 6))
    assert len(kinds) == 5  # so few borrowers the sample has
    assert np.array_equal(book.debt, source.draw(ASSETS, prices, thresholds, thresholds).debt)


def test_a_world_does_not_depend_on_the_slice_it_is_run_in(data: str) -> None:
    small = composed(
        data, "book.n_positions=200", "hours=14", "block_seconds=300", "history.worlds_per_book=2",
        "book.max_position_share=0.2",
    )  # fmt: skip
    whole = simulate(small, 5, 0, 4)
    parts = [simulate(small, 5, 0, 3), simulate(small, 5, 3, 4)]
    for name in ("worlds", "liquidations"):
        joined = pd.concat([part[name].to_pandas() for part in parts], ignore_index=True)
        pd.testing.assert_frame_equal(whole[name].to_pandas(), joined)
    worlds = whole["worlds"].to_pandas()
    assert (worlds.collateral_usd > 0.0).all()
    # Two worlds share a book, the other two have another one of the same size.
    first, second, third, _ = worlds.initial_debt_usd
    assert first == second
    assert first != third
    assert first == pytest.approx(third, rel=1e-3)
