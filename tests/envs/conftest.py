"""Environments that tests make."""

import numpy as np
import pytest

from envs.hedging.market import PathMarket
from envs.hedging.terms import HedgingTerms
from envs.hedging.vector import OptionHedgingVectorEnv
from sim.prices.diffusion import GeometricBrownian
from sim.prices.heston import Heston


@pytest.fixture
def make():
    """Factory of vector environments on GBM, or on Heston where volatility moves."""

    def build(n=8, stochastic=False, **terms):
        more = {key: terms.pop(key) for key in ("autoreset_mode", "first_world") if key in terms}
        initial = {"BTC": 100.0}
        process = (
            Heston(initial=initial, volatility=0.6, long_run_volatility=0.6)
            if stochastic
            else GeometricBrownian(initial=initial, volatility=0.6, drift=0.1)
        )
        return OptionHedgingVectorEnv(
            n, terms=HedgingTerms(**terms), market=PathMarket(process=process), **more
        )

    return build


@pytest.fixture
def actions():
    """Factory of random actions."""

    def draw(env, seed=0):
        rng = np.random.default_rng(seed)
        shape = env.action_space.shape
        while True:
            yield rng.uniform(-1.0, 1.0, shape)

    return draw
