"""The series behind the facts, on records small enough to work out by hand."""

import numpy as np
import pytest
from processes import square_root_parents

from sim.metrics import series
from sim.metrics.market_record import MarketRecord


def market():
    """A buyer takes two prints, two sellers one each, a buyer one; quotes at whole seconds."""
    return MarketRecord(
        name="hand", tick=0.5,
        trade_time=np.array([0.5, 0.50001, 1.5, 1.7, 2.5]),
        trade_price=np.array([101.0, 102.0, 100.0, 100.0, 101.0]),
        trade_size=np.array([1.0, 3.0, 2.0, 5.0, 1.0]),
        trade_sign=np.array([1, 1, -1, -1, 1]),
        quote_time=np.array([0.0, 1.0, 2.0, 3.0]),
        bid=np.array([99.0, 101.0, 99.0, 103.0]), ask=np.array([101.0, 103.0, 101.0, 105.0]),
        bid_size=np.array([3.0, 1.0, 1.0, 1.0]), ask_size=np.array([1.0, 1.0, 3.0, 1.0]),
    )  # fmt: skip


def test_prints_of_one_aggressor_are_one_order():
    taken = series.orders(market())
    np.testing.assert_allclose(taken.time, [0.5, 1.5, 1.7, 2.5])
    np.testing.assert_allclose(taken.end, [0.50001, 1.5, 1.7, 2.5])
    np.testing.assert_allclose(taken.size, [4.0, 2.0, 5.0, 1.0])
    np.testing.assert_array_equal(taken.sign, [1, -1, -1, 1])
    np.testing.assert_allclose(taken.price, [101.75, 100.0, 100.0, 101.0])


def test_runs_join_orders_of_one_sign():
    runs = series.runs(series.orders(market()))
    np.testing.assert_allclose(runs.size, [4.0, 7.0, 1.0])
    np.testing.assert_allclose(runs.end, [0.50001, 1.7, 2.5])
    np.testing.assert_array_equal(runs.sign, [1, -1, 1])


def test_returns_are_those_of_the_standing_mid():
    np.testing.assert_allclose(
        series.returns(market(), 1.0), np.diff(np.log([100.0, 102.0, 100.0, 104.0]))
    )
    assert len(series.returns(market(), 2.0)) == 1


def test_volumes_fall_into_the_intervals_of_returns():
    np.testing.assert_allclose(series.volumes(market(), 1.0, 3), [4.0, 7.0, 1.0])


def test_a_quote_at_the_very_moment_is_after():
    it = market()
    assert series.log_mid_before(it, np.array([1.0]))[0] == pytest.approx(np.log(100.0))
    assert series.log_mid_at(it, np.array([1.0]))[0] == pytest.approx(np.log(102.0))
    assert np.isnan(series.log_mid_before(it, np.array([0.0]))[0])


def test_impact_runs_from_before_an_order_to_before_the_next():
    rows = series.order_impact(market(), series.orders(market()))
    np.testing.assert_allclose(rows[:, 0], [4.0, 2.0, 5.0])
    np.testing.assert_allclose(rows[:, 1], [np.log(1.02), 0.0, np.log(1.02)], atol=1e-12)


def test_parents_are_metaorders_and_runs_only_a_proxy():
    rows, is_proxy = series.metaorder_impact(square_root_parents(n=200, noise=0.0))
    assert not is_proxy
    np.testing.assert_allclose(rows[:, 1], 1e-3 * np.sqrt(rows[:, 0]), rtol=1e-9)
    assert series.metaorder_impact(market())[1]


def test_imbalance_stands_half_way_before_the_move():
    rows = series.imbalance_and_next_move(market())
    np.testing.assert_allclose(rows, [[0.0, -1.0], [-0.5, 1.0]])


def test_mean_depth_leaves_out_what_is_not_seen():
    far = np.array([[4.0, 2.0, np.nan], [2.0, 4.0, np.nan], [3.0, 3.0, np.nan]])
    seen = np.array([[3.0, 3.0, np.nan], [3.0, 3.0, np.nan], [3.0, 3.0, 9.0]])
    found = series.mean_depth(far, seen)
    np.testing.assert_allclose(found[:2], [3.0, 3.0])
    assert np.isnan(found[2]), "one row of six sees it: too few"


def test_nothing_comes_of_nothing():
    empty = MarketRecord(name="empty", tick=1.0)
    assert len(series.orders(empty).time) == len(series.runs(series.orders(empty)).time) == 0
    assert len(series.returns(empty, 1.0)) == 0
