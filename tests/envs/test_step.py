"""Rewards, margin, liquidation, outages, stale views and clients: what each must do by itself."""

import math

import numpy as np

from envs.hedging.terms import Action, Clients, Contract, Costs, Life, Listed, Mark, Reward

FREE = Action(kind="target", low=-1.0, high=2.0)


def rewards_of(make, actions, kind, **more):
    env = make(
        64, contract=Contract(n_steps=10), mark=Mark(volatility=0.6),
        reward=Reward(kind=kind, **more),
        listed=Listed(enabled=True, expiry_steps=4), action=FREE,
    )  # fmt: skip
    env.reset(seed=3)
    source, total = actions(env), np.zeros(64)
    for _ in range(10):
        _, reward, _, _, info = env.step(next(source))
        total += reward
    return total, info["cost"]


def test_rewards_add_up_to_what_they_are_of(make, actions):
    """Each reward's sum over an episode is a function of its cost alone."""
    for kind, of in {
        "pnl": lambda c: -c,
        "cash_flow": lambda c: -c - 1.0,  # the premium is no income of the episode
        "telescoping": lambda c: -(c + 1.5 / 0.8 * ((c - 0.7) ** 2 - 0.49)),
        "cvar": lambda c: -np.maximum(c - 0.9, 0.0) / 0.05,
        "entropic": lambda c: -(np.exp(1.5 * c) - 1.0) / 1.5,
    }.items():
        total, cost = rewards_of(make, actions, kind, mean=0.7, sd=0.4, level=0.9)
        np.testing.assert_allclose(total, of(cost), rtol=1e-8, atol=1e-9, err_msg=kind)


def test_a_tuned_mean_and_deviation_are_those_of_the_next_step(make, actions):
    env = make(4, mark=Mark(volatility=0.6), reward=Reward(kind="telescoping", k=1.5))
    env.reset(seed=0)
    env.tune_reward(mean=0.2, sd=0.1)
    _, reward, *_ = env.step(next(actions(env)))
    c = env.state.cost
    np.testing.assert_allclose(reward, -(c + 7.5 * ((c - 0.2) ** 2 - 0.04)), rtol=1e-12)


def test_margin_refuses_what_equity_does_not_cover(make):
    """With equity 30 and an initial margin of 50% a holding of 0.5 passes, one of 0.7 does not."""
    life = Life(
        collateral=0.3, initial_margin=0.5, maintenance_margin=0.0, margin_slope=0.0,
        option_margin=0.0, option_initial=0.0, option_initial_floor=0.0,
    )  # fmt: skip
    env = make(
        2, contract=Contract(n_steps=3), mark=Mark(volatility=0.6), life=life,
        action=Action(kind="target", low=0.0, high=1.0), costs=Costs(proportional=0.0),
    )  # fmt: skip
    env.reset(seed=0)
    env.step([[0.0], [0.4]])
    np.testing.assert_allclose(env.state.holding, [0.5, 0.0])
    assert env.state.margin_calls.tolist() == [0, 1]


def test_liquidation_ends_an_episode_with_its_fee(make):
    """An account without room is closed in the first step that loses, and pays the stated fee."""
    life = Life(collateral=0.12, maintenance_margin=0.01, option_margin=0.075, margin_slope=0.0)
    env = make(
        256, contract=Contract(n_steps=30, days_per_year=365.0), mark=Mark(volatility=0.6),
        life=life, action=Action(kind="target", low=0.0, high=1.0), costs=Costs(proportional=0.0),
        autoreset_mode="Disabled", reward=Reward(kind="pnl"),
    )  # fmt: skip
    env.reset(seed=5)
    before = env.state.cost.copy()
    _, reward, terminated, truncated, info = env.step(np.full((256, 1), -1.0))
    gone = env.state.liquidated
    assert 0 < gone.sum() < 256
    assert not truncated.any()
    np.testing.assert_array_equal(terminated, gone)
    price, unit = env.state.price, env.state.unit
    margin = 0.075 * price
    fee = np.where(gone, 0.0019 * price / unit, 0.0)
    equity = 12.0 - (env.state.cost - fee) * unit
    np.testing.assert_array_equal(equity < margin, gone)
    np.testing.assert_allclose(env.state.penalty, fee, rtol=1e-12)
    np.testing.assert_allclose(-reward, env.state.cost - before, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(info["penalty"], fee, rtol=1e-12)
    assert np.all(env.state.margin_ratio[~gone] <= 1.0)


def test_a_stale_view_shows_the_last_prices_and_hides_the_return(make):
    env = make(
        400, mark=Mark(volatility=0.6), life=Life(stale_per_step=0.5),
        observation={"moneyness": True, "delta": True, "last_return": True},
    )  # fmt: skip
    first, _ = env.reset(seed=2)
    second, *_ = env.step(np.zeros((400, 2)))
    stale = env.state.seen_price != env.state.price
    assert 140 < stale.sum() < 260
    np.testing.assert_array_equal(second[stale, :2], first[stale, :2])
    assert np.all(second[stale, 2] == 0.0)
    assert np.all(second[~stale] != first[~stale])
    third, *_ = env.step(np.zeros((400, 2)))
    now = env.state.seen_price == env.state.price
    both = np.log(env.state.price / env.state.first)[stale & now] / (0.6 * math.sqrt(1 / 250))
    np.testing.assert_allclose(third[stale & now, 2], both, rtol=1e-5)


def test_the_margin_ratio_is_told_from_the_start(make):
    """A short option needs 7.5% of the price, of a collateral of half of it."""
    life = Life(collateral=0.5, maintenance_margin=0.0, option_margin=0.075)
    env = make(3, mark=Mark(volatility=0.6), life=life, observation={"margin_ratio": True})
    observation, _ = env.reset(seed=0)
    np.testing.assert_allclose(observation, 0.15, rtol=1e-6)


def test_outages_come_and_go_as_often_as_stated(make):
    env = make(
        4000, contract=Contract(n_steps=40), mark=Mark(volatility=0.6),
        life=Life(outage_per_step=0.1, outage_steps=4.0), observation={"outage": True},
    )  # fmt: skip
    env.reset(seed=0)
    shares = []
    for t in range(39):
        observation, *_ = env.step(np.zeros((4000, 2)))
        if t > 25:
            shares.append(observation.mean())
    # A two-state chain is down 0.1 / (0.1 + 0.25) of the time.
    assert abs(np.mean(shares) - 0.1 / 0.35) < 0.01


def test_clients_come_as_often_as_stated(make):
    env = make(
        2000, contract=Contract(quantity=0.0, n_steps=5), mark=Mark(volatility=0.6),
        clients=Clients(per_step=2.0, expiry_steps=60, bought_share=0.7),
    )  # fmt: skip
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.zeros((2000, 2)))
    count = env.state.n_slots
    assert abs(count.mean() - 10.0) < 4.0 * math.sqrt(10.0 / 2000)
    assert abs(count.var() - 10.0) < 1.5
    owed = env.state.owed[env.state.expiry > 0]
    assert abs((owed > 0).mean() - 0.7) < 0.02


def test_the_kernels_run_as_plain_python(make):
    from envs.hedging import step as module

    terms = {"mark": Mark(volatility=0.6), "contract": Contract(n_steps=3)}
    fast, slow = make(2, **terms), make(2, **terms)
    fast.reset(seed=4)
    slow.reset(seed=4)
    action = np.array([[0.3, -0.5], [-0.2, 0.1]])
    fast.step(action)
    module.step.py_func(
        slow.state, slow._marks, slow.market.path, slow.market.conditions, action, slow.record,
        slow.key, slow.world_ids, np.ones(2, bool), slow._reward, slow._done,
    )  # fmt: skip
    np.testing.assert_allclose(slow.state.cost, fast.state.cost, rtol=1e-13)
