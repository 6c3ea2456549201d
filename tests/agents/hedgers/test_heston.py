"""Heston's hedge against the model's own prices, and on paths of the model."""

from dataclasses import replace

import numpy as np
import pytest

from agents.hedgers.delta import Delta
from agents.hedgers.heston import Heston, deviation, tabulated
from envs.hedging.terms import Swap
from envs.registration import parts
from experiments.hedging.contest import premium_of
from experiments.hedging.objective import Objective
from experiments.hedging.play import Setting, bound, play, sight_of
from sim.errors import ConfigError
from sim.options.characteristic import SvcjModel
from sim.options.cos import cos_greeks

XI, RHO, KAPPA, THETA, YEARS = 2.0, -0.7, 1.0, 0.04, 1.0 / 365.0
RISK_NEUTRAL = 1.6918339251103953  # QuantLib, `heston_buehler` of ../shared/vectors/hedging.json


@pytest.fixture(scope="module")
def setting():
    """The published environment."""
    return Setting(**parts("buehler_2019", {}))


@pytest.fixture(scope="module")
def hedger(setting):
    """The hedge, bound to it."""
    return bound(Heston(vol_of_vol=XI, leverage=RHO), setting)


def price(variance, ratio, years):
    """Call over the price; `ratio` is strike over price."""
    model = SvcjModel(v0=variance, kappa=KAPPA, theta=THETA, xi=XI, rho=RHO)
    return [float(x) for x in cos_greeks(model, 1.0, ratio, years)[:2]]


def test_holdings_are_derivatives_of_the_models_price(setting, hedger):
    """Bilinear tables: within 0.02 of a delta, and 6% of the slope at the money."""
    env = setting.worlds(400, 7)
    observation, _ = env.reset(seed=3)
    for _ in range(12):
        observation, *_ = env.step(hedger.actions(sight_of(env, observation)))
    sight = sight_of(env, observation)
    delta, slope = hedger.sensitivities(sight)
    years, step = 18 * YEARS, 1e-3
    checked = 0
    for i in range(40):
        v, ratio = float(sight.volatility[i]) ** 2, float(sight.strike[i, 0] / sight.price[i])
        assert delta[i] == pytest.approx(price(v, ratio, years)[1], abs=0.02)
        z = -np.log(ratio) / deviation(KAPPA, THETA, np.array(v), years)
        if v > 0.005 and abs(z) < 1.0:
            up, down = (price(v + sign * step, ratio, years)[0] for sign in (1.0, -1.0))
            exact = (up - down) / (2.0 * step) * sight.price[i]
            assert slope[i] == pytest.approx(exact, rel=0.06)
            checked += 1
    assert checked > 5


def test_its_price_of_an_unavoidable_risk_is_near_the_risk_neutral_one(setting, hedger):
    """Daily trades leave a deviation of 0.39 of the 1.36 of Black and Scholes' delta."""
    cost = premium_of(setting, 0) * (1.0 + play(setting, hedger, 1, 0, 10_000).cost)
    plain = premium_of(setting, 0) * play(setting, bound(Delta(), setting), 1, 0, 10_000).cost
    assert cost.mean() == pytest.approx(RISK_NEUTRAL, abs=4.0 * cost.std() / 100.0)
    assert cost.std() < 0.35 * plain.std()
    half = Objective("expected shortfall", alpha=0.5)(cost)
    assert 1.90 < half < 1.97  # the paper's network, which is near the model's hedge, has 1.94


def test_without_a_swap_the_underlying_hedges_what_it_explains(setting):
    setting = Setting(replace(setting.terms, swap=Swap(), observation=None), setting.market)
    least = bound(Heston(vol_of_vol=XI, leverage=RHO), setting)
    assert least.title == "Heston delta"
    found = [play(setting, one, 1, 0, 5_000).cost.std() for one in
             (least, bound(Delta(), setting))]  # fmt: skip
    assert found[0] < 0.9 * found[1]


def test_tables_rise_with_moneyness_and_are_kept():
    model = SvcjModel(v0=THETA, kappa=KAPPA, theta=THETA, xi=XI, rho=RHO)
    deltas, slopes = tabulated(model, 30, YEARS)
    assert (np.diff(deltas, axis=2) > -1e-3).all()
    assert (slopes > -0.05).all()
    assert tabulated(model, 30, YEARS)[0] is deltas


def test_it_says_where_it_cannot_be_used():
    cao = Setting(**parts("cao_2021", {}))
    with pytest.raises(ConfigError, match="marks follow a variance that reverts"):
        bound(Heston(vol_of_vol=XI, leverage=RHO), cao)
    with pytest.raises(ConfigError, match="leverage"):
        Heston(vol_of_vol=XI, leverage=-2.0)
