"""The facade: binding, the fundamental, snapshots, and what a recording holds."""

import numpy as np
import pytest

from sim.book.book import new_book
from sim.book.layout import N_PRINTS
from sim.crowd import loop
from sim.crowd.crowd import Crowd, Fundamental, nobody
from sim.crowd.desk import fundamental
from sim.crowd.hawkes import Hawkes, act_hawkes
from sim.crowd.layout import SECOND
from sim.crowd.loop import advance, notice
from sim.crowd.noise import Noise
from sim.crowd.run import simulate
from sim.crowd.zero_intelligence import ZeroIntelligence
from sim.errors import ConfigError, InputError


def one(state, w=0):
    return type(state)(
        *[a[w] for a in state[:11]], state.world_ids[w : w + 1], state.terms, state.key
    )


def test_reset_snapshot_and_restore(market):
    traders = {"flow": Hawkes(slots=512, target=100.0)}
    first, second = market(traders, ids=(3, 4))
    crowd = first.crowd
    start = crowd.snapshot()
    first.run(50.0)
    second.run(50.0)
    middle = crowd.snapshot()
    assert not np.array_equal(start.view(np.int64), middle.view(np.int64))
    crowd.reset(np.array([True, False]))
    assert np.array_equal(crowd.state.head[0], market(traders, ids=(3, 4))[0].head)
    assert second.head[3] == 50 * SECOND
    crowd.restore(middle)
    assert np.array_equal(crowd.snapshot().view(np.int64), middle.view(np.int64))


def test_the_fundamental_has_the_moments_of_its_process(market):
    """Ornstein-Uhlenbeck from its mean: variance sigma^2 (1 - e^(-2 speed t)) / (2 speed)."""
    ids = tuple(range(3000))
    crowd = Crowd({"noise": Noise()}, Fundamental(speed=0.02, volatility=1e-3))
    crowd.bind(len(ids), np.array(ids), 0, "crowd", 10_000.0)
    for seconds in (5.0, 60.0):
        got = np.array(
            [fundamental(one(crowd.state, w), int(seconds * SECOND)) for w in range(len(ids))]
        )
        sd = 10.0 * np.sqrt((1 - np.exp(-0.04 * seconds)) / 0.04)
        assert got.mean() == pytest.approx(10_000, abs=4 * sd / np.sqrt(3000))
        assert got.std() == pytest.approx(sd, rel=0.06)


def test_a_variance_of_its_own_fattens_the_tails(market):
    crowd = Crowd(
        {"noise": Noise()},
        Fundamental(volatility=1e-3, variance_speed=0.01, variance_sigma=1.0),
    )
    crowd.bind(1, np.array([0]), 0, "crowd", 1_000_000.0)
    state = one(crowd.state)
    path = np.array([fundamental(state, k * SECOND) for k in range(20_000)])
    steps = np.diff(path)
    kurtosis = np.mean(steps**4) / np.mean(steps**2) ** 2
    assert kurtosis > 4.0
    assert np.mean(steps**2) == pytest.approx(1e6, rel=0.35)  # mean variance is not moved
    size = np.abs(steps)
    assert np.corrcoef(size[:-10], size[10:])[0, 1] > 0.1


def test_an_outside_value_is_approached_on_a_line(market):
    it = market({"noise": Noise()})
    it.run(10.0)
    it.crowd.set_fundamental(np.array([10_100.0]), 20 * SECOND)
    state = one(it.crowd.state)
    assert fundamental(state, 15 * SECOND) == pytest.approx(10_050.0)
    assert fundamental(state, 20 * SECOND) == pytest.approx(10_100.0)
    assert fundamental(state, 90 * SECOND) == pytest.approx(10_100.0)
    it.run(90.0)
    it.crowd.set_fundamental(np.array([9_000.0]))
    assert fundamental(state, 90 * SECOND) == 9_000.0


def test_latency_is_sampled_per_member(market):
    """And takes memory in proportion to members: 10,000 of them, no table of pairs."""
    crowd = Crowd({"noise": Noise(count=10_000, latency=0.01, latency_sigma=0.5)})
    it = market(crowd)
    latency = it.crowd.state.members[0]["latency"] / SECOND
    assert np.median(latency) == pytest.approx(0.01, rel=0.03)
    assert np.log(latency).std() == pytest.approx(0.5, rel=0.03)
    assert crowd.arena.buffer.nbytes < 20e6


def test_size_scale_scales_every_size():
    flow = ZeroIntelligence(limit_rate=0.5, market_rate=0.5, cancel_rate=0.05, size=3)
    small, large = (
        simulate(Crowd({"flow": flow}, size_scale=k), seconds=200.0, start_price=10_000)[0]
        for k in (1.0, 10.0)
    )
    assert np.array_equal(small.order_time, large.order_time)
    assert np.array_equal(10 * small.order_size, large.order_size)


def test_a_crowd_of_nobody_lets_time_pass():
    state = nobody(2, 16)
    book = new_book(capacity=16, n_levels=4096, n_accounts=1, n_prints=16)
    assert advance(book, state, 1, 5 * SECOND)
    notice(book, state, 1, 0, 5 * SECOND)
    assert state.head[1, 3] == 5 * SECOND


def test_recordings_are_whole_and_alike_in_any_batch():
    flow = Crowd({"flow": Hawkes(slots=2048, target=300.0)})
    both = simulate(flow, seed=2, world_ids=(5, 9), seconds=400.0, start_price=20_000, lot=0.5)
    (alone,) = simulate(flow, seed=2, world_ids=(9,), seconds=400.0, start_price=20_000, lot=0.5)
    got = both[1]
    for name in ("trade_time", "trade_price", "bid", "ask_size", "bid_depth", "order_distance"):
        assert np.array_equal(getattr(got, name), getattr(alone, name)), name
        assert not np.array_equal(getattr(both[0], name), getattr(got, name)), name
    assert got.tick == 0.01
    assert np.all(np.diff(got.trade_time) >= 0)
    assert set(np.unique(got.trade_sign)) == {-1, 1}
    assert got.bid_depth.shape == (400, 101)
    two_sided = (got.bid > 0) & (got.ask > 0)
    assert np.all(got.bid[two_sided] < got.ask[two_sided])
    at = np.searchsorted(got.quote_time, got.depth_time, side="right") - 1
    known = at >= 0
    assert np.array_equal(got.bid_depth[known, 0], got.bid_size[at[known]])
    late = simulate(flow, seed=2, world_ids=(9,), seconds=400.0, start_price=20_000, warm_up=100.0)
    assert late[0].trade_time.size == np.sum(got.trade_time >= 100.0)


def test_a_log_that_is_too_short_says_so(monkeypatch):
    monkeypatch.setattr("sim.crowd.run.LINES", 64)
    with pytest.raises(InputError, match="sample more often"):
        simulate(Crowd({"flow": Hawkes()}), seconds=400.0, sample_every=400.0, start_price=20_000)


def test_start_prices_must_be_prices():
    with pytest.raises(ConfigError, match="start prices"):
        Crowd({"noise": Noise()}).bind(1, np.array([0]), 0, "crowd", 0.2)


def test_kernels_run_as_plain_python(market, monkeypatch):
    """A second of flow, interpreted, is the same second."""
    for name in ("one_world", "deliver", "hand_in", "take_back", "hear", "report", "tell_owners"):
        monkeypatch.setattr(loop, name, getattr(loop, name).py_func)
    monkeypatch.setattr(loop, "act", act_hawkes.py_func)
    it = market({"flow": Hawkes(slots=64, target=20.0)})
    assert advance.py_func(it.book, it.crowd.state, 0, SECOND)
    compiled = market({"flow": Hawkes(slots=64, target=20.0)})
    compiled.run(1.0)
    assert it.trace() == compiled.trace()
    assert it.book.head[N_PRINTS] == compiled.book.head[N_PRINTS]
