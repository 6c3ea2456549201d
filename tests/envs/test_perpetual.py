"""A perpetual beside its index: premium and funding, simulated and recorded."""

import numpy as np
import pandas as pd
import pytest

from envs.hedging.market import PathMarket
from envs.hedging.perpetual import (
    PER_YEAR,
    PerpetualMarket,
    PerpetualRecord,
    PerpetualReplay,
    WarmMarket,
)
from envs.hedging.state import FUNDING, PAID, PREMIUM
from experiments.recorded import perpetual, windows
from sim.errors import ConfigError, InputError
from sim.perps.accounts import PerpAccounts, accrue_funding
from sim.perps.premium import Premium
from sim.perps.terms import PerpParams
from sim.prices.diffusion import GeometricBrownian
from sim.prices.heston import Heston

HOUR = 3600.0
YEARS = 4.0 / (365.0 * 24.0)  # of a step of four hours
WORLDS = np.arange(5, 11)
GBM = GeometricBrownian(initial={"BTC": 100.0}, volatility=0.6)


def begun(market, seed=3, worlds=WORLDS, episodes=None, n_steps=12):
    market.bind(seed, worlds, n_steps, YEARS)
    of = np.zeros(len(worlds), np.int64) if episodes is None else episodes
    market.begin(np.ones(len(worlds), bool), of)
    return market


@pytest.mark.parametrize(("hours", "samples"), [(0.0, 1), (0.0, 4), (8.0, 1), (8.0, 4)])
def test_funding_is_what_margin_accounts_pay(hours, samples):
    """A holding of worth 1 pays, over the same premia, what `sim.perps.accounts` takes from it."""
    premium = Premium(mean=0.0004, dispersion=0.0008, half_life_hours=10.0)
    perp = PerpParams(inverse=False, funding_hours=hours, margin_slope=0.0)
    index = PathMarket(process=GBM)
    market = begun(PerpetualMarket(index=index, premium=premium, perp=perp, samples=samples))
    premia = premium.paths(3, WORLDS, np.zeros(6, np.int64), 12 * samples, 4.0 * HOUR / samples)
    np.testing.assert_allclose(market.conditions[:, :, PREMIUM], premia[:, ::samples], rtol=1e-15)
    accounts = PerpAccounts(perp, 6, cash=10.0)
    accounts.state.position[:] = 1.0
    for j in range(12 * samples):
        gaps = np.expm1(premia)
        if hours == 0.0:  # half of the time at the rate of either end
            for gap in (gaps[:, j], gaps[:, j + 1]):
                seconds = 2.0 * HOUR / samples
                accrue_funding(accounts.state, gap.copy(), seconds, accounts.terms)
        else:
            gap = gaps[:, j + 1].copy()
            accrue_funding(accounts.state, gap, 4.0 * HOUR / samples, accounts.terms)
        if (j + 1) % samples == 0:
            t = (j + 1) // samples
            paid = market.conditions[:, : t + 1, PAID].sum(axis=1)
            np.testing.assert_allclose(paid, -accounts.state.funding[:, 0], rtol=1e-9, atol=1e-15)
    assert np.abs(paid).max() > 1e-4


def test_worlds_and_episodes_do_not_depend_on_the_batch():
    """World 8 alone, and in its second episode, is world 8 of the batch."""
    premium = Premium(dispersion=0.001)

    def made(worlds, episodes):
        index = WarmMarket(process=GBM, warm_up=5)
        market = PerpetualMarket(index=index, premium=premium, perp=PerpParams())
        return begun(market, worlds=worlds, episodes=episodes)

    all_of_them = made(WORLDS, np.array([0, 0, 0, 1, 0, 0]))
    alone = made(np.array([8]), np.array([1]))
    np.testing.assert_array_equal(alone.path[0], all_of_them.path[3])
    np.testing.assert_array_equal(alone.conditions[0], all_of_them.conditions[3])
    before = all_of_them.path.copy()
    chosen = np.array([True, False, False, False, False, False])
    all_of_them.begin(chosen, np.ones(6, np.int64))
    np.testing.assert_array_equal(all_of_them.path[1:], before[1:])
    assert not np.array_equal(all_of_them.path[0], before[0])


def test_a_warm_market_begins_anywhere_and_at_the_first_price():
    process = Heston(initial={"BTC": 100.0}, volatility=0.6, long_run_volatility=0.6,
                     vol_of_vol=2.0, mean_reversion=20.0)  # fmt: skip
    worlds = np.arange(400)
    market = begun(WarmMarket(process=process, warm_up=30), worlds=worlds)
    plain = begun(PathMarket(process=process), worlds=worlds, n_steps=42)
    np.testing.assert_allclose(market.path[:, 0, 0], 100.0)
    returns = np.diff(np.log(market.path[:, :, 0]), axis=1)
    np.testing.assert_allclose(returns, np.diff(np.log(plain.path[:, 30:, 0]), axis=1), atol=1e-12)
    assert market.path[:, 0, 1].std() > 0.1


def test_two_environments_share_no_paths():
    index = PathMarket(process=GBM)
    first, second = (
        begun(PerpetualMarket(index=index, premium=Premium(), perp=PerpParams()), seed=seed)
        for seed in (1, 2)
    )
    assert not np.array_equal(first.path, second.path)


@pytest.fixture(scope="module")
def recorded(shared):
    data = shared / "data"
    if not (data / "perp_1h_binance.parquet").exists():
        pytest.skip("the table perp_1h_binance is not there")
    record = perpetual(
        data=data, file="perp_1h_binance", symbol="BTCUSDT_PERP", funding="funding_binance",
        index="ohlcv_1h_spot_binance", index_symbol="BTCUSDT",
    )  # fmt: skip
    return data, record


def test_a_replay_has_the_premium_and_the_payments_of_its_own_hours(recorded):
    """Every window, looked up in the tables by its time alone."""
    data, record = recorded
    process = windows(
        data=data, file="ohlcv_1h_spot_binance", symbols={"BTC": "BTCUSDT"},
        initial={"BTC": 1.0}, start="2023-01-01", end="2024-07-01",
    )  # fmt: skip
    market = begun(PerpetualReplay(process=process, record=record), worlds=np.arange(40))
    perp = pd.read_parquet(data / "perp_1h_binance.parquet")
    perp = perp[perp.symbol == "BTCUSDT_PERP"].set_index("ts").mark_close
    spot = pd.read_parquet(data / "ohlcv_1h_spot_binance.parquet")
    spot = spot[spot.symbol == "BTCUSDT"].set_index("ts").close
    paid = pd.read_parquet(data / "funding_binance.parquet")
    paid = paid[paid.symbol == "BTCUSDT_PERP"].set_index("ts").funding_rate
    paid.index = paid.index.floor("min")
    seen = 0
    for w in range(40):
        times = pd.to_datetime(market.began[w] + 4.0 * HOUR * np.arange(13), unit="s", utc=True)
        assert times[0] >= pd.Timestamp("2023-01-15", tz="UTC")
        closes = times - pd.Timedelta(hours=1)  # a bar is named by its beginning
        if not closes.isin(spot.index).all():
            continue
        seen += 1
        prices = spot[closes].to_numpy()
        np.testing.assert_allclose(market.path[w, :, 0], prices / prices[0], rtol=1e-9)
        gap = np.log(perp[closes].to_numpy() / prices)
        np.testing.assert_allclose(market.conditions[w, :, PREMIUM], gap, atol=1e-12)
        for t in range(1, 13):
            due = paid[(paid.index > times[t - 1]) & (paid.index <= times[t])].sum()
            assert market.conditions[w, t, PAID] == pytest.approx(due, abs=1e-12)
        last = paid[paid.index <= times[0]].iloc[-1]
        assert market.conditions[w, 0, FUNDING] == pytest.approx(last * PER_YEAR)
    assert seen > 30


def test_bad_perpetuals_get_one_sentence(recorded):
    data, record = recorded
    with pytest.raises(ConfigError, match=r"market.index must be a market of given prices"):
        PerpetualMarket(index=GBM, premium=Premium(), perp=PerpParams())
    perp = PerpParams(funding_hours=6.0)
    odd = PerpetualMarket(index=PathMarket(process=GBM), premium=Premium(), perp=perp)
    with pytest.raises(ConfigError, match=r"funding_hours \(6\) must be a multiple"):
        begun(odd)
    with pytest.raises(ConfigError, match=r"market.warm_up must be a whole number"):
        WarmMarket(process=GBM, warm_up=0)
    with pytest.raises(InputError, match="has no premium at 2022-11-15"):
        record.at(np.array([pd.Timestamp("2022-11-15", tz="UTC").timestamp()]))
    short = PerpetualRecord(
        ts=record.ts[:9], premium=record.premium[:9], paid=record.paid[:9], rate=record.rate[:9]
    )
    with pytest.raises(InputError, match="choose dates within it"):
        short.at(record.ts[9:10])
    with pytest.raises(InputError, match="has no rows of XBT"):
        perpetual(
            data=data, file="perp_1h_binance", symbol="XBT", funding="funding_binance",
            index="ohlcv_1h_spot_binance", index_symbol="BTCUSDT",
        )  # fmt: skip
