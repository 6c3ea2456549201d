"""Running extremes against plain numpy, and the waiting time against queues that can be tracked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.metrics.cascade import mean_wait_hours, new_extremes, observe, observe_backlog


@pytest.fixture
def paths():
    """Prices (step, world, asset) and clearing prices (step, world)."""
    rng = np.random.default_rng(3)
    walk = np.exp(rng.normal(0.0, 0.05, (3, 40, 5, 2)).cumsum(axis=1))
    return walk[0], walk[1], walk[2], rng.lognormal(3.0, 1.0, (40, 5))


@pytest.mark.parametrize("kernel", [observe, observe.py_func])
def test_extremes_are_those_of_the_whole_path(paths, kernel):
    market, fundamental, oracle, clearing = paths
    extremes = new_extremes(5, market[0])
    for step in range(40):
        kernel(extremes, market[step], fundamental[step], oracle[step], clearing[step])
    np.testing.assert_array_equal(extremes.lowest_price, market.min(axis=0))
    first = np.minimum(fundamental.min(axis=0), market[0])  # the opening price counts in both
    np.testing.assert_array_equal(extremes.lowest_fundamental, first)
    gaps = np.abs(oracle / market - 1.0).max(axis=(0, 2))
    np.testing.assert_array_equal(extremes.widest_gap, gaps)
    np.testing.assert_array_equal(extremes.highest_base_fee, clearing.max(axis=0))


def test_a_world_is_the_same_in_any_batch(paths):
    market, fundamental, oracle, clearing = paths
    whole, alone = new_extremes(5, market[0]), new_extremes(1, market[0, 3:4])
    for step in range(40):
        observe(whole, market[step], fundamental[step], oracle[step], clearing[step])
        observe(
            alone, *(np.ascontiguousarray(path[step, 3:4]) for path in (market, fundamental)),
            np.ascontiguousarray(oracle[step, 3:4]), clearing[step, 3:4].copy(),
        )  # fmt: skip
    for one, all_of_them in zip(alone, whole, strict=True):
        np.testing.assert_array_equal(one[0], all_of_them[3])


def backlog_of(jobs, n_steps):
    """Dollars that stand at each step for jobs of (arrival, length, dollars)."""
    steps = np.arange(n_steps)[:, None]
    arrival, length, usd = np.array(jobs, float).T
    return ((steps >= arrival) & (steps < arrival + length)) @ usd


jobs = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 20), st.floats(1.0, 1e7)), min_size=1, max_size=20
)


@pytest.mark.parametrize("kernel", [observe_backlog, observe_backlog.py_func])
def test_peak_and_dollar_hours(kernel):
    extremes = new_extremes(2, np.ones((2, 1)))
    for usd in (0.0, 5.0, 3.0, 0.0):
        kernel(extremes, np.array([usd, 2.0 * usd]), 0.5)
    assert extremes.peak_backlog.tolist() == [5.0, 10.0]
    assert extremes.backlog_hours.tolist() == [4.0, 8.0]


@given(jobs)
def test_wait_is_the_mean_over_dollars_where_all_are_liquidated_whole(queue):
    """Little's law against following each job, in steps of a minute."""
    extremes = new_extremes(1, np.ones((1, 1)))
    for usd in backlog_of(queue, 80):
        observe_backlog(extremes, np.array([usd]), 1.0 / 60.0)
    dollars = np.array([usd for _, _, usd in queue])
    waits = np.array([length for _, length, _ in queue]) / 60.0
    expected = float(waits @ dollars / dollars.sum())
    got = mean_wait_hours(extremes, np.array([dollars.sum()]), np.zeros(1))
    assert got[0] == pytest.approx(expected, rel=1e-9)


@given(jobs)
def test_what_still_stands_counts_with_the_time_it_has_stood(queue):
    extremes = new_extremes(1, np.ones((1, 1)))
    n_steps = 30
    for usd in backlog_of(queue, n_steps):
        observe_backlog(extremes, np.array([usd]), 1.0)
    come = [job for job in queue if job[0] < n_steps]
    gone = sum(usd for arrival, length, usd in come if arrival + length <= n_steps)
    standing = sum(usd for arrival, length, usd in come if arrival + length > n_steps)
    stood = sum(usd * (min(arrival + length, n_steps) - arrival) for arrival, length, usd in come)
    got = mean_wait_hours(extremes, np.array([float(gone)]), np.array([float(standing)]))
    expected = stood / (gone + standing) if come else 0.0
    assert got[0] == pytest.approx(expected, rel=1e-9)


def test_nothing_liquidatable_is_no_wait():
    extremes = new_extremes(3, np.ones((3, 1)))
    assert mean_wait_hours(extremes, np.zeros(3), np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_positions_that_heal_lengthen_the_mean():
    """Debt that leaves by a repayment or a rebound is in the dollar hours, not in the dollars.

    A dollar liquidated at once, and one that stood for four hours until the price rose: 4 hours,
    where 2 is the mean over both. The figure is hours of backlog per dollar *liquidated or left*.
    """
    extremes = new_extremes(1, np.ones((1, 1)))
    for _ in range(4):
        observe_backlog(extremes, np.array([1.0]), 1.0)
    assert mean_wait_hours(extremes, np.array([1.0]), np.zeros(1)).tolist() == [4.0]
