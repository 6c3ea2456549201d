"""Zero-intelligence and Hawkes flow against a slow twin, scaling laws and closed forms."""

import numpy as np
import pytest

from sim.crowd.crowd import Crowd
from sim.crowd.hawkes import COUNTS, TYPES, Hawkes
from sim.crowd.run import simulate
from sim.crowd.zero_intelligence import ZeroIntelligence
from sim.errors import ConfigError


def twin(alpha, mu, delta, reach, seconds, rng):
    """Santa Fe model in sorted lists; time averages of spread and number of orders, and trades."""
    bids, asks, mid, now = [], [], 10_000, 0.0
    spread = orders = known = trades = 0.0
    while now < seconds:
        rates = np.array([2 * alpha * reach, 2 * mu, delta * (len(bids) + len(asks))])
        gap = rng.exponential(1.0 / rates.sum())
        if now > 0.1 * seconds and bids and asks:
            spread += gap * (min(asks) - max(bids))
            orders += gap * (len(bids) + len(asks))
            known += gap
        now += gap
        kind = rng.choice(3, p=rates / rates.sum())
        sell = rng.random() < 0.5
        mine, other = (asks, bids) if sell else (bids, asks)
        best = (max if sell else min)(other, default=mid)
        if kind == 0:
            behind = 1 + int(rng.integers(reach))
            mine.append(best + behind if sell else best - behind)
        elif kind == 1:
            if other:
                other.remove(best)
                trades += 1
        else:
            k = int(rng.integers(len(bids) + len(asks)))
            (bids if k < len(bids) else asks).pop(k if k < len(bids) else k - len(bids))
        if bids and asks:
            mid = (max(bids) + min(asks)) // 2
    return spread / known, orders / known, trades / seconds


def mean_spread(got, start):
    late = got.quote_time[:-1] >= start
    gaps = np.diff(got.quote_time)[late]
    return np.average((got.ask - got.bid)[:-1][late], weights=gaps) / got.tick


def test_zero_intelligence_agrees_with_a_slow_twin():
    alpha, mu, delta, reach = 0.2, 0.5, 0.1, 20
    flow = ZeroIntelligence(limit_rate=alpha, market_rate=mu, cancel_rate=delta, price_range=reach)
    spread, orders, rate = twin(alpha, mu, delta, reach, 3000.0, np.random.default_rng(1))
    (got,) = simulate(
        Crowd({"flow": flow}), seconds=40_000.0, start_price=10_000, n_depth=101, sample_every=5.0
    )
    assert mean_spread(got, 100.0) == pytest.approx(spread, rel=0.06)
    depth = got.bid_depth[100:].sum(axis=1) + got.ask_depth[100:].sum(axis=1)
    assert depth.mean() == pytest.approx(orders, rel=0.05)
    expected = 2 * mu * 40_000
    assert abs(got.trade_time.size - expected) < 5 * np.sqrt(expected)
    assert rate == pytest.approx(2 * mu, rel=0.06)


def test_the_spread_scales_as_the_santa_fe_school_found():
    """Mean spread (mu / alpha) (0.28 + 1.86 (delta / mu)^(3/4)), for prices much finer than it."""
    spreads = []
    for delta in (0.1, 0.4):
        flow = ZeroIntelligence(
            limit_rate=0.02, market_rate=2.0, cancel_rate=delta, price_range=1500, slots=16384
        )
        (got,) = simulate(
            Crowd({"flow": flow}), seconds=4000.0, start_price=30_000, sample_every=100.0
        )
        spreads.append(mean_spread(got, 200.0))
        predicted = 2.0 / 0.02 * (0.28 + 1.86 * (delta / 2.0) ** 0.75)
        assert spreads[-1] == pytest.approx(predicted, rel=0.2)
    assert spreads[1] > 1.3 * spreads[0]


FAST = Hawkes(
    limit_rate=0.5, market_rate=0.3, cancel_rate=0.4, decays=(50.0, 20.0, 10.0), target=50.0,
    branching=[
        [0.30, 0.20, 0.10, 0.10, 0.10, 0.00],
        [0.05, 0.40, 0.00, 0.00, 0.10, 0.05],
        [0.20, 0.10, 0.20, 0.00, 0.05, 0.10],
    ],
)  # fmt: skip


def test_hawkes_counts_have_the_moments_of_theory(market):
    """Mean (1 - n)^-1 mu; over long windows covariance (1 - n)^-1 diag(mean) (1 - n)^-T."""
    it = market({"flow": FAST}, seed=11)
    window, n_windows = 20.0, 3000
    counts = np.zeros((n_windows + 1, TYPES))
    for k in range(n_windows):
        it.run(window * (k + 1))
        counts[k + 1] = it.crowd.state.memory[0, COUNTS : COUNTS + TYPES]
    counts = np.diff(counts, axis=0)[1:]
    mean = FAST.intensity
    assert counts.mean(axis=0) / window == pytest.approx(mean, rel=0.02)
    inverse = np.linalg.inv(np.eye(TYPES) - FAST.matrix)
    theory = inverse @ np.diag(mean) @ inverse.T
    got = np.cov(counts.T) / window
    assert np.diag(got) == pytest.approx(np.diag(theory), rel=0.12)
    scale = np.sqrt(np.outer(np.diag(theory), np.diag(theory)))
    assert np.abs(got - theory).max() < 0.08 * scale.max()
    assert np.all(np.diag(theory) > 1.5 * mean)  # a Poisson flow would fail


def test_hawkes_rates_do_not_explode():
    hot = [[1.0, 0, 0, 0.1, 0, 0], [0, 0.5, 0, 0, 0, 0], [0, 0, 0.5, 0, 0, 0]]
    with pytest.raises(ConfigError, match=r"spectral radius 1\.100"):
        Hawkes(branching=hot)
    with pytest.raises(ConfigError, match="weights"):
        Hawkes(weights=(0.5, 0.2, 0.2))
    with pytest.raises(ConfigError, match="3 rows of 6"):
        Hawkes(branching=[[0.1] * 3] * 3)


def test_hawkes_orders_lie_where_they_are_told():
    flow = Hawkes(inside=0.0, tail=1.2, reach=5.0, slots=4096)
    (got,) = simulate(Crowd({"flow": flow}), seconds=3000.0, start_price=20_000)
    behind = got.order_distance
    assert behind.min() >= 0
    for far in (10, 40, 160):  # P(distance >= x) = (1 + x / reach)^-tail
        assert np.mean(behind >= far) == pytest.approx((1 + far / 5.0) ** -1.2, rel=0.15)
