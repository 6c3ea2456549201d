"""Every field of an observation against what it says of itself, from the state and the path."""

import numpy as np
import pytest

from envs.hedging.observe import FIELDS
from envs.hedging.terms import Clients, Contract, Costs, Life

YEARS = 1.0 / 250.0
STEPS = 6


def expected(env, t):
    """Each field by its definition, arrays (world,)."""
    state, path = env.state, env.market.path
    price, volatility = path[:, t, 0], path[:, t, 1]
    first, scale = path[:, 0, 0], path[:, 0, 1] * np.sqrt(STEPS * YEARS)
    variance = path[:, 0, 1] ** 2 * YEARS
    returns = np.diff(np.log(path[:, : t + 1, 0]), axis=1)
    for column in returns.T:
        variance = 0.94 * variance + 0.06 * column**2
    last = returns[:, -1] if t else np.zeros(len(price))
    return {
        "moneyness": np.log(price / (1.1 * first)) / scale,
        "time_left": np.full(len(price), 1.0 - t / STEPS),
        "holding": state.holding,
        "delta": state.delta,
        "cost": state.cost,
        "gamma": state.gamma / 100.0,
        "vega": state.vega / 100.0 / state.unit,
        "implied_volatility": volatility,
        "realised_volatility": np.sqrt(variance / YEARS),
        "last_return": last / (volatility * np.sqrt(YEARS)),
        "margin_ratio": state.margin_ratio,
        "spread": np.full(len(price), 0.012),
        "funding": np.full(len(price), 0.3),
        "outage": state.outage.astype(float),
        "swap_holding": state.swap_held,
        "value": state.value / state.unit,
        "premium": np.zeros(len(price)),  # a market that tells nothing more
        "depth": np.zeros(len(price)),
        "imbalance": np.zeros(len(price)),
    }


@pytest.mark.parametrize("t", [0, 1, 4])
def test_every_field_is_what_it_says(make, actions, t):
    env = make(
        20, stochastic=True, observation=dict.fromkeys(FIELDS, True),
        contract=Contract(n_steps=STEPS, moneyness=1.1),
        clients=Clients(per_step=1.0, expiry_steps=4),
        costs=Costs(proportional=0.01, half_spread=0.002, funding_per_year=0.3),
        life=Life(collateral=5.0, outage_per_step=0.2),
    )  # fmt: skip
    observation, _ = env.reset(seed=9)
    source = actions(env)
    for _ in range(t):
        observation, *_ = env.step(next(source))
    told = expected(env, t)
    assert set(told) == set(FIELDS)
    for i, name in enumerate(env.fields):
        np.testing.assert_allclose(
            observation[:, i], told[name], rtol=2e-6, atol=1e-6, err_msg=name
        )
    if t:
        varied = [name for name in told if np.ptp(told[name]) > 0.0]
        assert {"moneyness", "holding", "delta", "cost", "gamma", "vega", "value"} <= set(varied)
