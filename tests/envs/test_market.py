"""Where an environment's prices come from."""

import numpy as np
import pytest

from envs.hedging.market import PathMarket, ReplayMarket
from envs.hedging.terms import Contract, HedgingTerms
from envs.hedging.vector import OptionHedgingVectorEnv
from envs.registration import vector_env
from sim.errors import ConfigError
from sim.prices.bars import Bars
from sim.prices.windows import HistoricalWindows


@pytest.fixture
def record():
    """Six hundred hours of a price whose moves grow: realised volatility tells the time."""
    moves = np.random.default_rng(0).standard_normal(600) * np.linspace(0.001, 0.01, 600)
    close = 100.0 * np.exp(np.cumsum(moves))
    opens = np.append(100.0, close[:-1])
    high, low = np.maximum(opens, close), np.minimum(opens, close)
    hours = np.full(600, 3600.0)
    return Bars("BTC", 3600.0 * np.arange(600), hours, opens, high, low, close)


def replay(record, n=16, **more):
    process = HistoricalWindows(bars={"BTC": record}, initial={"BTC": 50.0})
    terms = HedgingTerms(
        contract=Contract(n_steps=6, days_per_step=1 / 12, days_per_year=365.0),
        observation={"implied_volatility": True},
    )
    return OptionHedgingVectorEnv(n, terms=terms, market=ReplayMarket(process=process, **more))


def test_a_replay_is_a_stretch_of_the_record_and_knows_no_future(record):
    env = replay(record, warm_up=20, memory=0.9)
    observation, _ = env.reset(seed=3)
    two_hourly = np.log(record.close[2:] / record.close[:-2])
    path = env.market.path
    assert np.allclose(path[:, 0, 0], 50.0)
    for w in range(16):
        moves = np.diff(np.log(path[w, :, 0]))
        found = [
            k for k in range(40, 600 - 12)
            if all(abs(two_hourly[k + 2 * t] - moves[t]) < 1e-9 for t in range(6))
        ]  # fmt: skip
        assert len(found) == 1
        before = [two_hourly[found[0] - 40 + 2 * t] ** 2 for t in range(20)]
        mean = np.mean(before)
        for t in range(7):
            if t > 0:
                mean = 0.9 * mean + 0.1 * moves[t - 1] ** 2
            assert path[w, t, 1] == pytest.approx(np.sqrt(mean * 365.0 * 12.0), rel=1e-6)
    np.testing.assert_allclose(observation[:, 0], path[:, 0, 1], rtol=1e-6)


def test_bad_markets(record):
    with pytest.raises(
        ConfigError, match=r"market.process must be a price process .* dict is none"
    ):
        PathMarket(process={})
    with pytest.raises(ConfigError, match=r"market.warm_up must be a whole number of at least 2"):
        replay(record, warm_up=1)
    with pytest.raises(ConfigError, match="environment deribit_btc_replay: "):
        vector_env(2, config="deribit_btc_replay")
