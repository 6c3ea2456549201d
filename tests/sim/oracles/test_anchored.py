"""Compound's price feed: what is too far from the average is refused, and the last price stays."""

import numpy as np
import pytest

from sim.errors import ConfigError
from sim.oracles.anchored import AnchoredOracle, post

WETH, WBTC, USDC = 0, 1, 2
ORACLE = 1


def bound(make_world, **terms):
    world, oracle = make_world(), AnchoredOracle(**terms)
    oracle.attach(world, "oracle", 5, ORACLE)
    return world, oracle


def step(world, oracle, to):
    world.step = to
    oracle.update()


def test_follows_a_slow_account_over_a_random_path(make_world):
    world, oracle = bound(
        make_world, window_seconds=48.0, interval_seconds=24.0, tolerance=0.2,
        premium={"WETH": {0: 0.0, 0.05: 0.4, 0.1: 0.0}},
    )  # fmt: skip
    rng = np.random.default_rng(1)
    blocks = round(48.0 / world.block_seconds)
    every = round(24.0 / world.block_seconds)
    seen = [2_000.0]
    expected, refused = 2_000.0, 0
    for s in range(40):
        price = 2_000.0 if s == 0 else seen[-1] * float(np.exp(0.02 * rng.standard_normal()))
        seen = [price] * blocks if s == 0 else [*seen, price]
        world.market_price[:, WETH] = price
        step(world, oracle, s)
        hours = s * world.block_seconds / 3600.0
        reported = price * (1.0 + float(np.interp(hours, [0.0, 0.05, 0.1], [0.0, 0.4, 0.0])))
        anchor = sum(seen[-blocks:]) / blocks
        if s % every == 0:
            if abs(anchor / reported - 1.0) <= 0.2:
                expected = reported
            else:
                refused += 1
        np.testing.assert_allclose(world.oracle_price[:, WETH], expected, rtol=1e-12)
    assert refused > 2


@pytest.mark.parametrize(
    ("premium", "taken"), [(0.249, True), (0.251, False), (-0.166, True), (-0.168, False)]
)
def test_a_report_may_exceed_the_anchor_by_a_quarter(make_world, premium, taken):
    world, oracle = bound(make_world, premium={"WETH": {0: premium}})
    step(world, oracle, 0)
    price = 2_000.0 * (1.0 + premium) if taken else 2_000.0
    np.testing.assert_allclose(world.oracle_price[:, WETH], price)


def test_fixed_prices_and_halted_feeds_stay(make_world):
    world, oracle = bound(make_world, fixed={"USDC": 1.0})
    world.market_price[:, [WETH, USDC]] = 2_100.0, 0.9
    world.inputs["oracle_halted"][0, WETH] = 1.0
    step(world, oracle, 5)
    np.testing.assert_array_equal(world.oracle_price[:, WETH], [2_000.0, 2_100.0, 2_100.0])
    np.testing.assert_array_equal(world.oracle_price[:, USDC], 1.0)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"tolerance": 2.0}, "tolerance"),
        ({"window_seconds": 9_000.0}, "window_seconds"),
        ({"premium": {"DAI": {1: 0.1, 0: 0.2}}}, "increasing hours"),
        ({"premium": {"DAI": {"noon": 0.1}}}, "keyed by hours"),
    ],
)
def test_impossible_terms_are_refused(terms, said):
    with pytest.raises(ConfigError, match=said):
        AnchoredOracle(**terms)


def test_the_kernel_runs_as_python():
    history = np.full((1, 2, 4), 10.0)
    price = np.array([[10.0, 10.0]])
    post.py_func(
        history, np.array([[11.0, 20.0]]), np.ones(2), np.zeros(2, np.bool_), np.zeros((1, 2)), 3,
        9, 0.2, price,
    )  # fmt: skip
    np.testing.assert_array_equal(price, [[11.0, 10.0]])
