"""The premium: its law, and its calibration and Binance's funding recomputed from data."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.errors import ConfigError
from sim.perps.premium import Premium, fill_premium
from sim.perps.quantities import funding_rate

HOUR = 3600.0


def test_the_premium_has_its_stationary_law_at_every_moment():
    premium = Premium(mean=0.0002, dispersion=0.0005, half_life_hours=12.0)
    paths = premium.paths(1, np.arange(20_000), 0, 48, HOUR)
    for t in (0, 1, 48):
        law = stats.norm(0.0002, 0.0005)
        assert stats.kstest(paths[:, t], law.cdf).pvalue > 1e-4
    for lag in (1, 12, 24):
        measured = np.corrcoef(paths[:, 0], paths[:, lag])[0, 1]
        assert measured == pytest.approx(0.5 ** (lag / 12), abs=0.03)


def test_steps_of_any_length_have_one_law():
    premium = Premium(dispersion=1.0, half_life_hours=5.0)
    paths = premium.paths(3, np.arange(20_000), 0, 2, 5.0 * HOUR)
    assert np.corrcoef(paths[:, 0], paths[:, 2])[0, 1] == pytest.approx(0.25, abs=0.03)


def test_a_path_and_a_world_depend_on_their_address_alone():
    premium = Premium(mean=0.1, dispersion=1.0, half_life_hours=5.0)
    ids, episodes = np.array([3, 1, 2]), np.array([0, 5, 0])
    paths = premium.paths(1, ids, episodes, 9, HOUR)
    np.testing.assert_array_equal(premium.paths(1, [1], [5], 9, HOUR)[0], paths[1])
    np.testing.assert_array_equal(premium.paths(1, [2], 0, 20, HOUR)[0, :10], paths[2])
    together, alone = premium.bind(1, np.arange(5), HOUR), premium.bind(1, [3], HOUR)
    first = []
    for step in range(6):
        together.advance(step)
        alone.advance(step)
        assert alone.log_premium[0] == together.log_premium[3]
        first.append(together.log_premium.copy())
    assert np.unique(first).size == 30
    plain = np.zeros((3, 10))
    shocks = np.random.default_rng(0).standard_normal((3, 10))
    fill_premium.py_func(plain, shocks, 0.1, 0.9, 2.0)
    compiled = np.zeros((3, 10))
    fill_premium(compiled, shocks, 0.1, 0.9, 2.0)
    np.testing.assert_allclose(plain, compiled, rtol=1e-13)


def test_worlds_have_the_stationary_law():
    worlds = Premium(mean=0.1, dispersion=0.2, half_life_hours=3.0).bind(2, np.arange(20_000), HOUR)
    start = None
    for step in range(4):
        worlds.advance(step)
        start = worlds.log_premium.copy() if step == 0 else start
    assert stats.kstest(worlds.log_premium, stats.norm(0.1, 0.2).cdf).pvalue > 1e-4
    assert np.corrcoef(start, worlds.log_premium)[0, 1] == pytest.approx(0.5, abs=0.03)


@pytest.fixture(scope="module")
def observed(shared):
    """Hourly log(mark / spot) of BTCUSDT from 2020 on, and the funding rates."""
    data = shared / "data"
    perp = pd.read_parquet(data / "perp_1h_binance.parquet")
    spot = pd.read_parquet(data / "ohlcv_1h_spot_binance.parquet")
    perp = perp[perp.symbol == "BTCUSDT_PERP"].dropna(subset=["mark_close"])
    spot = spot[spot.symbol == "BTCUSDT"][["ts", "close"]].rename(columns={"close": "spot"})
    both = perp.merge(spot, on="ts")
    both = both[both.ts >= "2020-01-01"].set_index("ts").sort_index()
    funding = pd.read_parquet(data / "funding_binance.parquet")
    funding = funding[funding.symbol == "BTCUSDT_PERP"].set_index("ts").funding_rate
    return np.log(both.mark_close / both.spot), funding[funding.index >= "2020-01-01"]


def test_the_configuration_is_the_calibration(observed, perp):
    premium, _ = observed
    configured = perp("binance_btc", group="premium")
    memory = {lag: premium.autocorr(lag) for lag in (24, 72)}
    per_hour = math.log(memory[24] / memory[72]) / 48.0
    slow = premium.std() * math.sqrt(memory[24] * math.exp(24.0 * per_hour))
    assert configured.mean == pytest.approx(premium.mean(), abs=2e-6)
    assert configured.half_life_hours == pytest.approx(math.log(2.0) / per_hour, rel=0.03)
    assert configured.dispersion == pytest.approx(slow, rel=0.03)


def test_the_funding_of_the_premium_is_like_binance_s(observed, perp):
    """From the measured premium nearly what was paid; from the model of its size.

    The model's mean is half of what was paid: its law is symmetric, that of bull markets is not.
    """
    premium, paid = observed
    terms = perp("binance_btc").terms()
    assert paid.abs().max() == terms.cap
    eight = premium.resample("8h", origin="epoch", label="right", closed="left").mean()
    both = pd.concat([eight, paid], axis=1, join="inner").dropna()
    computed = np.array([funding_rate(p, terms) for p in both.iloc[:, 0]])
    assert len(both) > 4000
    assert np.corrcoef(computed, both.iloc[:, 1])[0, 1] > 0.75
    assert computed.mean() == pytest.approx(both.iloc[:, 1].mean(), rel=0.1)
    model = perp("binance_btc", group="premium")
    paths = model.paths(1, np.arange(2000), 0, 24, HOUR)[:, 1:].reshape(-1, 8).mean(axis=1)
    rates = np.array([funding_rate(p, terms) for p in paths])
    assert np.median(rates) == pytest.approx(paid.median(), abs=1e-12)
    assert rates.std() == pytest.approx(paid.std(), rel=0.3)
    assert 0.3 * paid.mean() < rates.mean() < paid.mean()


@pytest.mark.parametrize("terms", [{"dispersion": -1.0}, {"half_life_hours": 0.0}, {"mean": 3.0}])
def test_bad_terms_get_one_sentence(terms):
    with pytest.raises(ConfigError, match=f"{next(iter(terms))} must lie in"):
        Premium(**terms)
