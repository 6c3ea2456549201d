"""The market that answers: impact, isolation, cascades, halts, margin, and who pays."""

import gc
import weakref
from copy import copy

import mesa
import numpy as np
import pytest

from agents.model import MarketModel
from envs.hedging.living import LivingMarket
from envs.hedging.state import DEPTH, SPREAD
from envs.registration import parts, vector_env
from sim.errors import ConfigError

DELTA, STILL = (0.0, -1.0), (0.0, 1.0)  # a band of no width, and one that never trades at first


def crash(start, size=0.25):
    """Settings of a market that falls at a stated hour everywhere."""
    never = {"start_hours": 1e3, "start_jitter_hours": 0.0}
    return {"scenarios": {"crash": {**never, "start_hours": start, "size": size}, "rally": never}}


def living(n=4, market=None, terms=None, mode="SameStep", first=0):
    market = {**crash(1e3), **(market or {})}
    return vector_env(
        n, config="living", market=market, terms=terms, autoreset_mode=mode, first_world=first
    )


def act(env, *action):
    return env.step(np.tile(action, (env.num_envs, 1)))


def hold(env, target):
    """Ask for a holding, whatever the delta: worlds are given (world,)."""
    bound = env.terms.action
    centre = (target - env.state.delta) / bound.centre
    assert (np.abs(centre) <= 1.0).all()
    return env.step(np.column_stack([centre, np.full(env.num_envs, -1.0)]))


def test_a_larger_order_costs_more_a_unit_and_moves_the_price_further():
    env = living(6)
    env.reset(seed=1)
    market, sizes = env.market, np.array([0.05, 0.2, 0.8])
    told = np.array([market.cost_of(np.full(6, -size)) for size in sizes])
    depth, moved = [], []
    for size in sizes:
        env.reset(seed=1)
        before = market.price.copy()
        hold(env, np.full(6, -size))
        np.testing.assert_allclose(market.filled, -size, atol=1e-5)
        depth.append(market.paid.copy())
        env.reset(seed=1)
        market.leave(np.full(6, -size))  # at once: the book is seen before anybody refills it
        moved.append(market.price / before - 1.0)
    paid, moved = np.array(depth), np.array(moved)
    np.testing.assert_allclose(paid, told, rtol=1e-3)  # the book was read as it then traded
    per_unit = paid.mean(axis=1) / sizes
    assert per_unit[0] < per_unit[1] < per_unit[2]
    assert (np.diff(moved, axis=0) <= 0.0).all()
    assert moved[2].mean() < 4.0 * moved[1].mean() < 0.0


def test_an_order_touches_no_other_world():
    one, other = living(3), living(3)
    one.reset(seed=2)
    other.reset(seed=2)
    hold(one, np.array([-0.7, -0.2, -0.2]))
    hold(other, np.array([-0.1, -0.2, -0.2]))
    act(one, *DELTA), act(other, *DELTA)
    assert one.market.variance[0] != other.market.variance[0]
    np.testing.assert_array_equal(one.market.variance[1:], other.market.variance[1:])
    a, b = one.market.world, other.market.world
    np.testing.assert_array_equal(a.ledger.balances[1:], b.ledger.balances[1:])
    np.testing.assert_array_equal(a.market_price[1:], b.market_price[1:])


class Alone(LivingMarket):
    """The same worlds without the hedger."""

    def _seat(self, world, cast):
        return MarketModel(world, cast)

    def _start(self):
        pass


def test_a_hedger_who_does_not_trade_changes_nothing():
    env = living(3, crash(1.0))
    env.reset(seed=4)
    market = env.market
    alone = copy(market)
    alone.__class__ = Alone
    alone.bind(4, env.world_ids, 24, env.terms.contract.years_per_step)
    for _ in range(3):
        market.play(np.zeros(3), np.zeros(3, np.int64))
    prices = []
    for _ in range(36):
        alone.model.step()
        prices.append(alone.world.market_price.copy())
    np.testing.assert_array_equal(prices[-1], market.world.market_price)
    assert np.ptp(np.array(prices)[:, :, 0], axis=0).min() > 0.0
    theirs = alone.world.accounts
    mine = [market.world.accounts.index(name) for name in theirs]
    balances = market.world.ledger.balances[:, mine]
    np.testing.assert_array_equal(alone.world.ledger.balances, balances)


@pytest.fixture(scope="module")
def fallen():
    """A day with a crash in its third hour, hour by hour, hedged at delta."""
    env = living(12, {**crash(2.0), "check_every": 12}, terms={"life": {"collateral": 1.0}})
    env.reset(seed=0)
    market = env.market
    hours = []
    for _ in range(6):
        out = env.state.outage.copy()
        act(env, *DELTA)
        told = market.present.copy()
        hours.append({
            "conditions": told, "halted": market.halted.copy(), "filled": market.filled.copy(),
            "liquidations": len(market.world.events.rows()), "out": out, "price": market.price,
        })  # fmt: skip
    market.world.check()
    return hours


def test_makers_withdraw_while_a_cascade_runs(fallen):
    before, during = fallen[1]["conditions"], fallen[2]["conditions"]
    assert np.median(during[:, SPREAD]) > 5.0 * np.median(before[:, SPREAD])
    assert during[:, DEPTH].mean() < 0.4 * before[:, DEPTH].mean()
    after = fallen[5]["conditions"]
    assert np.median(after[:, SPREAD]) < 2.0 * np.median(before[:, SPREAD])
    assert fallen[3]["liquidations"] > fallen[1]["liquidations"] + 12 * 10
    assert (fallen[3]["price"] < 0.9 * fallen[1]["price"]).all()


def test_a_halt_rejects_orders(fallen):
    assert fallen[2]["halted"].mean() > 0.3
    halted = fallen[2]["halted"]
    np.testing.assert_array_equal(fallen[3]["out"], halted)
    assert (fallen[3]["filled"][halted] == 0.0).all()
    assert fallen[3]["filled"][~halted].any() or halted.all()
    assert not fallen[5]["halted"].all()


def test_what_the_ledger_says_is_what_the_environment_says():
    """Cash and tokens of hedger and estate against the accounts of a whole episode."""
    env = living(5, crash(1.0), terms={"life": {"collateral": 1.0}})
    env.reset(seed=3)
    market, n_steps = env.market, env.terms.contract.n_steps
    unit, strike = env.state.unit.copy(), env.state.first.copy()
    start = [np.array(desk.wealth()) for desk in (market.desk, market.estate)]
    rng, fees, owed = np.random.default_rng(0), np.zeros(5), env.state.value.copy()
    rate, keep, sold = env.terms.costs.proportional, market.renew, market.leave
    market.renew = lambda: None  # so that the ledger of the run stays to be read
    seen = {}

    def leave(orders):
        seen["before"] = market.price.copy()
        sold(orders)

    market.leave = leave
    for _ in range(n_steps):
        price = market.price.copy()
        *_, info = env.step(rng.uniform(-1.0, 1.0, (5, 2)))
        fees += rate * np.abs(market.filled) * price
    assert info["_cost"].all()
    price = seen["before"]
    wealth = np.zeros(5)
    for desk, first in zip((market.desk, market.estate), start, strict=True):
        tokens, cash = np.array(desk.wealth()) - first
        wealth += (tokens * price + cash) / market.size
    held = -(np.array(market.estate.wealth()[0]) - start[1][0] + market.left) / market.size
    stranded = market.stranded * np.abs(market.left) * price / market.size
    # What is not sold yet is charged at `stranded`, and the rest at the price it was sold at.
    fees += rate * np.abs(held) * price
    paid = np.maximum(strike - price, 0.0)
    cost = (fees + stranded - wealth + paid - owed) / unit
    np.testing.assert_allclose(info["cost"], cost, rtol=1e-6, atol=1e-6)
    market.renew = keep
    market.world.check()


def test_a_liquidated_hedger_is_sold_out_and_moves_the_price():
    env = living(24, crash(2.0), terms={"life": {"collateral": 0.085}, "action": {"low": -1.0}})
    env.reset(seed=5)
    market, struck, called = env.market, 0, 0
    left = market.leave
    moves = []

    def leave(orders):
        before = market.price.copy()
        left(orders)
        sent = (orders != 0.0) & (market.left == 0.0)
        moves.extend((np.sign(orders) * (market.price - before))[sent])

    market.leave = leave
    for _ in range(8):
        *_, terminated, _, info = hold(env, np.minimum(env.state.delta, -0.1))
        called += int((env.state.margin_calls > 0).sum())
        if terminated.any():
            struck += int(info["liquidated"][terminated].sum())
            assert (env.state.t[terminated] == 0).all()  # begun again, at the present block
            np.testing.assert_array_equal(env.state.price, market.price)
    assert struck > 0
    assert called > 0
    assert len(moves) > 0
    assert np.mean(moves) > 0.0
    market.world.check()


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_worlds_that_end_apart_depend_on_no_batch(mode):
    """Over the end of a run, with hedgers liquidated on the way."""
    terms = {"life": {"collateral": 0.085}}
    settings = {"market": {**crash(1.0), "blocks_per_step": 2}, "terms": terms, "mode": mode}
    whole, part = living(6, **settings), living(2, first=3, **settings)
    a, _ = whole.reset(seed=1)
    b, _ = part.reset(seed=1)
    early = 0
    for t in range(30):
        np.testing.assert_array_equal(a[3:5], b, err_msg=f"step {t}")
        action = np.random.default_rng(t).uniform(-1.0, 1.0, (6, 2))
        a, reward, terminated, *_ = whole.step(action)
        b, other, *_ = part.step(action[3:5])
        np.testing.assert_array_equal(reward[3:5], other)
        early += int(terminated.sum()) if t < 20 else 0
    assert early > 0
    assert whole.market.run == 1


def test_runs_differ_and_a_seed_brings_them_back():
    env = living(2, {"blocks_per_step": 1})
    env.reset(seed=1)
    runs = []
    for _ in range(50):
        act(env, *DELTA)
        runs.append(env.market.price.copy())
    assert env.market.run == 2
    assert (runs[0] != runs[24]).all()
    env.reset(seed=1)
    act(env, *DELTA)
    np.testing.assert_array_equal(env.market.price, runs[0])


def test_a_copy_has_worlds_of_its_own():
    env = living(1, {"blocks_per_step": 1})
    env.reset(seed=0)
    other = copy(env.market)
    other.rest = env.market.rest
    other.bind(0, env.world_ids, 24, env.terms.contract.years_per_step)
    assert other.world is not env.market.world
    for _ in range(2):
        env.market.play(np.zeros(1), np.zeros(1, np.int64))
    other.play(np.zeros(1), np.zeros(1, np.int64))
    assert (other.world.step, env.market.world.step) == (1, 2)


def test_runs_and_environments_leave_no_memory_behind():
    env = living(1, {"blocks_per_step": 1})
    env.reset(seed=0)
    known = len(mesa.Agent._ids)
    models = weakref.WeakSet()
    for _ in range(60):
        models.add(env.market.model)
        act(env, *DELTA)
    del env
    gc.collect()
    assert len(mesa.Agent._ids) == known
    assert len(models) == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 0.0}, r"market.size must lie in"),
        ({"blocks_per_step": 0}, "market.blocks_per_step must be a whole number of at least 1"),
        ({"book": None}, "market.book must be a market of order books, got NoneType"),
        ({"parts": {"price": None}}, "market.parts needs .*, and price is missing"),
    ],
)
def test_bad_terms(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parts("living", {"market": change})
