"""Tail estimators: closed forms, a slow second implementation, honest small samples."""

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import ConfigError, InputError
from sim.metrics import tail

LEVELS = [0.5, 0.9, 0.95, 0.99]
losses_of = st.lists(st.floats(-1e6, 1e9), min_size=1, max_size=250)


def slow_value_at_risk(losses: list[float], level: Fraction) -> float:
    """Smallest x whose empirical distribution function reaches the level, by counting."""
    for x in sorted(losses):
        if Fraction(sum(y <= x for y in losses), len(losses)) >= level:
            return x
    raise AssertionError


def slow_shortfall(losses: list[float], level: Fraction) -> float:
    """Average of the worst share 1 - level, taken world by world with fractions."""
    left = (1 - level) * len(losses)
    need, total = left, Fraction(0)
    for x in sorted(losses, reverse=True):
        weight = min(Fraction(1), left)
        total += weight * Fraction(x)
        left -= weight
        if left == 0:
            break
    return float(total / need)


@settings(deadline=None, max_examples=60)
@given(losses=losses_of, level=st.sampled_from(LEVELS))
def test_agrees_with_counting_and_fractions(losses, level):
    exact = Fraction(str(level))
    value, shortfall = tail.value_at_risk(losses, level), tail.expected_shortfall(losses, level)
    if len(losses) * (1 - exact) < 1:
        assert math.isnan(value)
        assert math.isnan(shortfall)
        return
    assert value == slow_value_at_risk(losses, exact)
    scale = max(1.0, max(abs(x) for x in losses))
    assert abs(shortfall - slow_shortfall(losses, exact)) <= 1e-9 * scale
    assert shortfall >= value


def test_one_to_hundred_by_hand():
    losses = np.arange(1.0, 101.0)[::-1]
    assert tail.value_at_risk(losses, 0.95) == 95.0
    assert tail.expected_shortfall(losses, 0.95) == pytest.approx(98.0, rel=1e-12)
    assert tail.value_at_risk(losses, 0.99) == 99.0
    assert tail.expected_shortfall(losses, 0.99) == pytest.approx(100.0, rel=1e-12)
    assert tail.estimate(losses, tail.median, n_resamples=0).value == 50.5


def test_normal_closed_form():
    x = np.random.default_rng(3).standard_normal(400_000)
    z = NormalDist().inv_cdf(0.99)
    # standard error of a quantile: sqrt(a (1 - a) / n) / density, about 0.006; four of them
    assert tail.value_at_risk(x, 0.99) == pytest.approx(z, abs=0.025)
    closed = NormalDist().pdf(z) / 0.01
    assert tail.expected_shortfall(x, 0.99) == pytest.approx(closed, abs=0.035)


def test_pareto_shortfall_is_a_multiple_of_value_at_risk():
    exponent = 4.0
    u = (np.arange(200_000) + 0.5) / 200_000
    x = (1.0 - u) ** (-1.0 / exponent)
    ratio = tail.expected_shortfall(x, 0.95) / tail.value_at_risk(x, 0.95)
    # the midpoint grid cuts the tail at half a world: error below 1e-3
    assert ratio == pytest.approx(exponent / (exponent - 1.0), rel=1e-3)


@pytest.mark.parametrize(("level", "need"), [(0.95, 20), (0.99, 100), (0.5, 2), (0.999, 1000)])
def test_smallest_sample(level, need):
    assert tail.smallest_sample(level) == need
    assert math.isnan(tail.value_at_risk(np.ones(need - 1), level))
    assert tail.value_at_risk(np.ones(need), level) == 1.0


def test_too_few_worlds_are_flagged_with_the_reason():
    it = tail.estimate(np.arange(20.0), tail.quantile(0.99))
    assert math.isnan(it.value)
    assert it.reason == "too few worlds (20)"
    assert tail.estimate([], tail.mean).reason == "no world finished"
    alone = tail.estimate([3.0], tail.mean)
    assert (alone.value, alone.reason) == (3.0, "one world has no interval")


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="1 of 2 that are not: leave out the worlds that failed"):
        tail.value_at_risk([1.0, math.nan], 0.5)
    with pytest.raises(ConfigError, match=r"level must lie in \(0, 1\), got 99"):
        tail.value_at_risk([1.0], 99)
    with pytest.raises(ConfigError, match="'percentile' or 'bca'"):
        tail.estimate([1.0, 2.0], tail.mean, method="magic")
    with pytest.raises(InputError, match="got 1 and 2"):
        tail.paired_difference([1.0], [1.0, 2.0])
    with pytest.raises(ConfigError, match="confidence"):
        tail.proportion(1, 2, confidence=95)
    with pytest.raises(InputError, match="count must lie in 0"):
        tail.proportion(3, 2)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_of_a_mean_agrees_with_the_normal_one(method):
    x = np.random.default_rng(5).standard_normal(4_000) + 7.0
    it = tail.estimate(x, tail.mean, method=method, n_resamples=4_000)
    half = 1.96 * x.std() / math.sqrt(x.size)
    # the bootstrap's own noise with 4,000 copies is about 3% of the half width; six of them
    assert it.low == pytest.approx(x.mean() - half, abs=0.18 * half)
    assert it.high == pytest.approx(x.mean() + half, abs=0.18 * half)


def test_bca_agrees_with_scipy():
    from scipy import stats

    x = np.random.default_rng(8).lognormal(sigma=1.0, size=150)
    it = tail.estimate(x, tail.mean, method="bca", n_resamples=20_000)
    theirs = stats.bootstrap(
        (x,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert it.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert it.high == pytest.approx(theirs.high, abs=0.04 * width)


def test_interval_is_reproducible_and_does_not_depend_on_order_or_company():
    x = np.random.default_rng(2).exponential(size=500)
    both = tail.estimates(x, {"a": tail.mean, "b": tail.tail_mean(0.95)}, seed=4)
    assert tail.estimate(x[::-1], tail.tail_mean(0.95), seed=4) == both["b"]
    assert tail.estimate(x, tail.tail_mean(0.95), seed=5) != both["b"]


def test_a_constant_has_an_interval_of_no_width():
    for method in ("percentile", "bca"):
        it = tail.estimate(np.zeros(300), tail.tail_mean(0.99), method=method)
        assert (it.value, it.low, it.high) == (0.0, 0.0, 0.0)


def test_small_chunks_are_still_a_bootstrap(monkeypatch):
    x = np.random.default_rng(2).exponential(size=64)
    whole = tail.estimate(x, tail.mean)
    monkeypatch.setattr(tail, "_CHUNK", 64 * 7)
    assert tail.estimate(x, tail.mean).low == pytest.approx(whole.low, rel=0.05)


def test_paired_difference_cancels_what_both_designs_share():
    rng = np.random.default_rng(9)
    shock = rng.lognormal(sigma=2.0, size=1_000)
    it = tail.paired_difference(shock, shock + 0.1)
    assert it.value == pytest.approx(0.1, abs=1e-9)
    assert it.high - it.low < 1e-9
    apart = tail.estimate(shock, tail.mean)
    assert apart.high - apart.low > 1.0


def test_paired_difference_agrees_with_resampling_the_pairs_by_hand():
    rng = np.random.default_rng(4)
    a, b = rng.exponential(size=200), rng.exponential(size=200) * 1.2
    it = tail.paired_difference(a, b, tail.tail_mean(0.9), n_resamples=3_000)
    copies = []
    for _ in range(3_000):
        pick = rng.integers(0, 200, 200)
        copies.append(tail.expected_shortfall(b[pick], 0.9) - tail.expected_shortfall(a[pick], 0.9))
    low, high = np.quantile(copies, (0.025, 0.975))
    assert it.value == tail.expected_shortfall(b, 0.9) - tail.expected_shortfall(a, 0.9)
    assert it.low == pytest.approx(low, abs=0.12 * (high - low))
    assert it.high == pytest.approx(high, abs=0.12 * (high - low))


def test_paired_difference_of_small_samples():
    assert tail.paired_difference([], []).reason == "no world finished in both designs"
    assert tail.paired_difference([1.0], [2.0], tail.quantile(0.95)).reason == "too few worlds (1)"
    assert tail.paired_difference([1.0], [3.0]).value == 2.0


def test_wilson_by_hand():
    none = tail.proportion(0, 1_000)
    z2 = 1.959963984540054**2
    assert none.low == 0.0
    assert none.high == pytest.approx(z2 / (1_000 + z2), rel=1e-12)  # about 0.38%
    half = tail.proportion(50, 100)
    assert half.low == pytest.approx(1.0 - half.high, rel=1e-12)
    assert tail.proportion(10, 10).high == 1.0
    assert tail.proportion(0, 0).reason == "no world finished"


def test_exceedance_counts_worlds():
    x, share = tail.exceedance_curve([0.0, 5.0, 0.0, 1.0])
    assert x.tolist() == [0.0, 1.0, 5.0]
    assert share.tolist() == [1.0, 0.5, 0.25]
    empty, none = tail.exceedance_curve([])
    assert empty.size == none.size == 0
