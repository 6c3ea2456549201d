"""A market that fills orders itself, against one whose costs are stated."""

import numpy as np
import pytest

from envs.hedging.market import AnsweringMarket, PathMarket
from envs.hedging.state import CONDITIONS, PAID, PREMIUM
from envs.hedging.terms import Contract, Costs, HedgingTerms, Life, Mark
from envs.hedging.vector import OptionHedgingVectorEnv
from sim.prices.diffusion import GeometricBrownian

IMPACT = 0.05  # of the price, per unit


class Quadratic(AnsweringMarket):
    """Given paths; orders are filled at once at a price that grows with their size."""

    has_volatility = False

    def __init__(self, ends=10**9):
        process = GeometricBrownian(initial={"BTC": 100.0}, volatility=0.6, drift=0.1)
        self.inner, self.ends = PathMarket(process=process), ends

    def bind(self, seed, world_ids, n_steps, years):
        self.inner.bind(seed, world_ids, n_steps, years)
        self.path, n = self.inner.path, len(world_ids)
        self.halted, self.over, self.clock = np.zeros(n, bool), False, 0
        self.left = np.zeros(n)

    def begin(self, chosen, episodes):
        if self.over:
            self.over, self.clock = False, 0
        self.inner.begin(chosen, episodes)
        self.price = self.path[:, 0, 0].copy()

    def play(self, orders, moments):
        self.clock += 1
        self.over = self.clock == self.ends
        self.filled, self.paid = orders.copy(), self.cost_of(orders)
        rows = np.arange(len(orders))
        self.price = self.path[rows, np.minimum(moments + 1, self.path.shape[1] - 1), 0].copy()

    def cost_of(self, orders):
        return IMPACT * orders**2 * self.price

    def leave(self, orders):
        self.left = orders.copy()


def environment(market, n=6, **terms):
    terms = {"mark": Mark(volatility=0.6), "contract": Contract(n_steps=5), **terms}
    mode = terms.pop("autoreset_mode", "NextStep")
    return OptionHedgingVectorEnv(
        n, terms=HedgingTerms(**terms), market=market, autoreset_mode=mode
    )


@pytest.mark.parametrize("settled", ["linear", "inverse"])
def test_quadratic_impact_costs_the_same_by_the_market_and_by_the_terms(settled):
    contract = Contract(n_steps=5, settled=settled)
    answered = environment(Quadratic(), contract=contract, costs=Costs(proportional=0.01))
    stated = environment(
        Quadratic().inner, contract=contract, costs=Costs(proportional=0.01, impact=IMPACT)
    )
    first, _ = answered.reset(seed=5)
    second, _ = stated.reset(seed=5)
    np.testing.assert_array_equal(first, second)
    rng = np.random.default_rng(0)
    for _ in range(5):
        action = rng.uniform(-1.0, 1.0, (6, 2))
        first, reward, terminated, *_ = answered.step(action)
        second, expected, over, *_ = stated.step(action)
        np.testing.assert_allclose(reward, expected, rtol=1e-12)
        np.testing.assert_array_equal(terminated, over)
    assert terminated.all()
    np.testing.assert_allclose(answered.state.cost, stated.state.cost, rtol=1e-12)


def test_what_an_episode_closes_is_left_to_the_market():
    env = environment(Quadratic(), contract=Contract(n_steps=2))
    env.reset(seed=1)
    env.step(np.zeros((6, 2)))
    assert (env.market.left == 0.0).all()
    held = env.state.holding.copy()
    action = np.tile([0.0, 1.0], (6, 1))  # a band so wide that little is traded
    env.step(action)
    held = np.where(env.market.filled != 0.0, held + env.market.filled, held)
    assert held.all()
    np.testing.assert_allclose(env.market.left, -held)


def test_a_liquidated_holding_is_left_to_the_market():
    env = environment(
        Quadratic(), contract=Contract(n_steps=8), autoreset_mode="SameStep",
        life=Life(collateral=0.11, maintenance_margin=0.05, initial_margin=0.05),
    )  # fmt: skip
    env.reset(seed=3)
    seen = 0
    for _ in range(8):
        before = env.state.holding.copy()
        *_, info = env.step(np.zeros((6, 2)))
        struck = info.get("liquidated", np.zeros(6, bool))
        held = before + env.market.filled
        np.testing.assert_allclose(env.market.left[struck], -held[struck])
        seen += int((struck & (held != 0.0)).sum())
    assert seen > 0


def test_the_end_of_the_market_truncates_every_episode_and_starts_another_run():
    env = environment(Quadratic(ends=3))
    env.reset(seed=0)
    for t in range(3):
        *_, terminated, truncated, _ = env.step(np.zeros((6, 2)))
        assert not terminated.any()
        assert truncated.all() == (t == 2)
    assert env.state.holding.all()  # nothing was closed
    env.step(np.zeros((6, 2)))
    assert env.market.clock == 0
    assert (env.state.t == 0).all()


def test_a_halt_of_the_market_stops_orders_for_a_step():
    env = environment(Quadratic())
    env.reset(seed=0)
    env.market.halted[:3] = True
    env.step(np.zeros((6, 2)))
    held = env.state.holding.copy()
    env.market.halted[:] = False
    env.step(np.full((6, 2), -1.0))
    np.testing.assert_array_equal(env.state.holding[:3], held[:3])
    assert (env.state.holding[3:] != held[3:]).all()
    env.step(np.full((6, 2), -1.0))
    assert (env.state.holding[:3] != held[:3]).all()


class Perpetual(PathMarket):
    """GBM with a premium of what is held and a funding that is paid, both made up."""

    def bind(self, seed, world_ids, n_steps, years):
        super().bind(seed, world_ids, n_steps, years)
        self.conditions = np.zeros((len(world_ids), n_steps + 1, len(CONDITIONS)))
        rng = np.random.default_rng(seed)
        for place in (PREMIUM, PAID):
            self.conditions[:, :, place] = rng.normal(0.0, 0.01, self.conditions.shape[:2])


@pytest.mark.parametrize("settled", ["linear", "inverse"])
def test_a_perpetual_earns_at_its_own_price_and_pays_its_funding(settled):
    process = GeometricBrownian(initial={"BTC": 100.0}, volatility=0.6, drift=0.1)
    env = environment(
        Perpetual(process=process), n=4, contract=Contract(n_steps=3, settled=settled),
        costs=Costs(proportional=0.0), observation={"premium": True, "delta": True},
    )  # fmt: skip
    observation, _ = env.reset(seed=2)
    told = env.market.conditions
    for t in range(2):
        np.testing.assert_allclose(observation[:, 1], told[:, t, PREMIUM], rtol=1e-6)
        observation, *_ = env.step(np.zeros((4, 2)))
    # The sum by hand: each period's gain at the perpetual's own prices, less funding.
    env = environment(
        Perpetual(process=process), n=4, contract=Contract(n_steps=3, settled=settled),
        costs=Costs(proportional=0.0),
    )  # fmt: skip
    env.reset(seed=2)
    unit, wealth = env.state.unit.copy(), np.zeros(4)
    for t in range(3):
        owed, delta = env.state.value.copy(), np.clip(env.state.delta.copy(), 0.0, 1.0)
        env.step(np.tile([0.0, -1.0], (4, 1)))
        own = env.market.path[:, t : t + 2, 0] * np.exp(told[:, t : t + 2, PREMIUM])
        paid = told[:, t + 1, PAID]
        if settled == "linear":
            wealth += delta * (own[:, 1] - own[:, 0]) - paid * delta * own[:, 1]
        else:
            dollars = delta * own[:, 0]
            wealth += dollars * (1.0 / own[:, 0] - 1.0 / own[:, 1]) - paid * dollars / own[:, 1]
        wealth -= env.state.value - owed
    settled_at = env.state.price
    strike = env.market.path[:, 0, 0]
    value = np.maximum(settled_at - strike, 0.0)
    value = value / settled_at if settled == "inverse" else value
    wealth -= value - env.state.value
    np.testing.assert_allclose(env.state.cost, -wealth / unit, rtol=1e-9)
