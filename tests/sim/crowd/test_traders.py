"""Each kind of trader does what its paper says."""

import numpy as np
import pytest

from sim.book import views
from sim.book.layout import N_ORDERS
from sim.crowd.avellaneda_stoikov import AvellanedaStoikov, optimal_spread, reservation_shift
from sim.crowd.chance import mixture
from sim.crowd.crowd import Crowd, Fundamental
from sim.crowd.executor import Executor
from sim.crowd.glft import GueantLehalleFernandezTapia, asymptotic_offsets
from sim.crowd.informed import Informed
from sim.crowd.layout import BOUGHT, FUNDAMENTAL, SECOND, SOLD
from sim.crowd.momentum import Momentum
from sim.crowd.noise import Noise
from sim.crowd.run import simulate
from sim.crowd.value import Value, believe
from sim.crowd.zero_intelligence import ZeroIntelligence
from sim.errors import ConfigError


def touch(it):
    seen = np.zeros(5, np.int64)
    views.touch(it.book, seen)
    return seen[0], seen[2]


# Makers


def test_reservation_price_and_spread_of_avellaneda_and_stoikov():
    """Their simulations: sigma 2, gamma 0.1, k 1.5, T 1; the spread at the end is 1.29"""
    gamma, k, sigma = 0.1, 1.5, 2.0
    assert optimal_spread(gamma, k, sigma, 1.0) == pytest.approx(
        gamma * sigma**2 + 20.0 * np.log1p(gamma / k)
    )
    assert optimal_spread(gamma, k, sigma, 0.0) == pytest.approx(1.2908, abs=1e-4)
    assert reservation_shift(3.0, gamma, sigma, 0.5) == pytest.approx(-0.6)
    assert reservation_shift(-3.0, gamma, sigma, 0.0) == 0.0


def test_asymptotic_quotes_of_gueant_lehalle_and_fernandez_tapia():
    """Their example: sigma 0.3, A 0.9, k 0.3, gamma 0.01, against the formula written out."""
    sigma, arrival, k, gamma = 0.3, 0.9, 0.3, 0.01
    root = np.sqrt(sigma**2 * gamma / (2 * k * arrival) * (1 + gamma / k) ** (1 + k / gamma))
    for q in range(-20, 21, 5):
        bid, ask = asymptotic_offsets(float(q), gamma, k, arrival, sigma)
        base = np.log(1 + gamma / k) / gamma
        assert bid == pytest.approx(base + (2 * q + 1) / 2 * root)
        assert ask == pytest.approx(base - (2 * q - 1) / 2 * root)
    assert asymptotic_offsets(0.0, gamma, k, arrival, sigma)[0] == pytest.approx(3.3129, abs=1e-4)


@pytest.mark.parametrize(
    "maker",
    [
        AvellanedaStoikov(noise_bps=0.0, horizon=1e6, risk_aversion=1e-4, decay=0.05, gap=1.0),
        GueantLehalleFernandezTapia(noise_bps=0.0, risk_aversion=0.05, decay=0.05, gap=1.0),
    ],
)
def test_a_maker_quotes_its_formula(market, maker):
    it = market({"maker": maker}, price=1_000_000)
    it.run(20.0)
    if isinstance(maker, AvellanedaStoikov):
        half = 0.5 * optimal_spread(1e-4, 0.05, 1.0, 1e6)
        offsets = half, half
    else:
        offsets = asymptotic_offsets(0.0, 0.05, 0.05, 0.1, 1.0)
    bid, ask = touch(it)
    assert bid == pytest.approx(1_000_000 - 100 * offsets[0], rel=1e-6, abs=60)
    assert ask == pytest.approx(1_000_000 + 100 * offsets[1], rel=1e-6, abs=60)


def test_inventory_leans_quotes_and_its_limit_stops_a_side(market):
    maker = GueantLehalleFernandezTapia(
        noise_bps=0.0, risk_aversion=0.05, decay=0.05, size=10, inventory_limit=3.0, gap=1.0
    )
    it = market({"maker": maker}, price=100_000)
    it.run(30.0)
    bid, ask = touch(it)
    it.crowd.state.members[0, 0]["inventory"] = 20
    it.run(60.0)
    assert touch(it)[0] < bid
    assert touch(it)[1] < ask
    it.crowd.state.members[0, 0]["inventory"] = 30
    it.crowd.state.memory[0, 4] = 0.0  # quotes are off
    it.run(90.0)
    assert it.book.head[N_ORDERS] == 1
    assert touch(it)[0] == 0


def crash(market, **terms):
    maker = GueantLehalleFernandezTapia(count=6, gap=2.0, noise_bps=0.5, **terms)
    it = market({"makers": maker}, price=100_000)
    it.run(300.0)
    bid, ask = touch(it)
    calm = ask - bid
    state, widest = it.crowd.state, 0
    for k in range(1, 61):
        state.values[0, FUNDAMENTAL] = state.values[0, 2] = 100_000 - 40 * k
        it.run(300.0 + 2 * k)
        bid, ask = touch(it)
        both = bid > 0 and ask > 0
        widest = max(widest, ask - bid) if both else 10**9
    return calm, widest


def test_makers_widen_and_leave_in_a_crash_unless_told_to_stay(market):
    calm, widened = crash(market, calm=1e6, half_life=30.0)
    assert widened > 2 * calm
    assert crash(market, calm=3.0, half_life=30.0)[1] == 10**9
    calm, stayed = crash(market, withdraw=False)
    assert stayed < 3 * calm + 60
    made = Crowd({"m": GueantLehalleFernandezTapia(count=6, gap=2.0, calm=3.0, half_life=30.0)})
    it = market(made, price=100_000)
    it.crowd.state.head[0, 24] = 1
    it.run(60.0)
    assert it.book.head[N_ORDERS] == 12


# Value, noise, momentum


def test_beliefs_are_those_of_a_kalman_filter():
    """One step of the scalar filter, in gain form, and the limits of no and of all trust."""
    mean, variance, seconds, seen, noise, shock, kappa, level = (
        101.0, 4.0, 30.0, 98.0, 9.0, 0.2, 0.01, 100.0,
    )  # fmt: skip
    keep = np.exp(-kappa * seconds)
    prior = level + (mean - level) * keep
    p = variance * keep**2 + shock * (1 - keep**2) / (2 * kappa)
    gain = p / (p + noise)
    got = believe(mean, variance, seconds, seen, noise, shock, kappa, level)
    assert got == pytest.approx((prior + gain * (seen - prior), (1 - gain) * p))
    assert believe(mean, variance, seconds, seen, 0.0, shock, kappa, level)[0] == seen
    assert believe(mean, variance, 30.0, seen, 9.0, 0.2, 0.0, level) == pytest.approx(
        believe(mean, variance, 30.0, seen, 9.0, 0.2, 1e-9, level), rel=1e-6
    )


def test_value_traders_pull_the_price_to_the_fundamental(market):
    crowd = Crowd(
        {
            "flow": ZeroIntelligence(limit_rate=0.05, market_rate=0.05, cancel_rate=0.02),
            "value": Value(count=50, gap=20.0, size_law="constant"),
        }
    )
    it = market(crowd)
    it.run(100.0)
    crowd.set_fundamental(np.array([10_200.0]))
    it.run(2000.0)
    mid = 0.5 * sum(touch(it))
    assert abs(mid - 10_200) < 40


def test_sizes_of_the_abides_mixture():
    u = (np.arange(100_000) + 0.5) / 100_000
    sizes = np.array([mixture(x, 0.5) for x in u[::10]])
    assert np.mean(sizes == 100.0) == pytest.approx(0.7, abs=1e-3)
    assert np.mean(sizes == 400.0) == pytest.approx(0.0329, abs=1e-3)
    assert sizes[0] == pytest.approx(np.exp(2.9))


def test_a_noise_trader_of_rmsc04_trades_once(market):
    it = market({"flow": ZeroIntelligence(slots=2000), "noise": Noise(count=50, session=100.0)})
    it.run(200.0)
    noise = it.crowd.state.members[0][1:]
    assert np.all(noise["draws"] == 1)
    assert np.all(noise["inventory"] != 0)


def test_momentum_traders_follow_a_trend(market):
    crowd = Crowd(
        {
            "flow": ZeroIntelligence(limit_rate=0.2, market_rate=0.05, cancel_rate=0.05),
            "value": Value(count=100, gap=5.0, size_law="constant", size=3),
            "momentum": Momentum(count=5, gap=2.0, size_law="constant"),
        }
    )
    it = market(crowd)
    for k in range(60):
        crowd.set_fundamental(np.array([10_000.0 + 10.0 * k]))
        it.run(10.0 * (k + 1))
    momentum = it.crowd.state.members[0][-5:]
    assert np.all(momentum["inventory"] > 50)


# Informed traders and executors


def test_informed_traders_profit(market):
    it = market(
        {
            "flow": ZeroIntelligence(limit_rate=0.5, market_rate=0.1, cancel_rate=0.05),
            "informed": Informed(count=1, gap=1.0, edge_bps=2.0, size=20),
        },
        Fundamental(volatility=5e-4),
        seed=4,
    )
    before = it.book.accounts[1].copy()
    it.run(2000.0)
    after = it.book.accounts[1]
    gain = int(after["cash"] - before["cash"]) + int(after["lots"] - before["lots"]) * int(
        it.crowd.state.values[0, FUNDAMENTAL]
    )
    assert abs(int(after["lots"] - before["lots"])) + gain > 0
    assert gain > 0


FLOW = ZeroIntelligence(limit_rate=1.0, market_rate=1.0, cancel_rate=0.05)


def test_a_twap_ends_when_it_should_with_all_done():
    executor = Executor(size=100, slices=20, gap=5.0, side="buy", start=50.0)
    (got,) = simulate(Crowd({"flow": FLOW, "twap": executor}), seconds=300.0, start_price=10_000)
    mine = got.trade_member == 1
    assert got.trade_size[mine].sum() == 100.0
    assert np.all(got.trade_sign[mine] == 1)
    times = np.unique(got.trade_time[mine])
    assert np.allclose(np.diff(times), 5.0)
    assert times.size == 20
    assert got.parent_size.tolist() == [100.0]
    assert got.parent_price[0] == pytest.approx(
        np.average(got.trade_price[mine], weights=got.trade_size[mine])
    )
    assert got.parent_before[0] < got.parent_price[0]
    assert got.parent_start[0] <= times[0] <= times[-1] <= got.parent_end[0]


def test_a_pov_executor_is_its_share_of_the_volume():
    executor = Executor(size=1e6, pov=0.2, gap=20.0, side="sell")
    (got,) = simulate(Crowd({"flow": FLOW, "pov": executor}), seconds=4000.0, start_price=10_000)
    mine = got.trade_member == 1
    share = got.trade_size[mine].sum() / got.trade_size.sum()
    assert share == pytest.approx(0.2, abs=0.01)


def test_parents_follow_one_another(market):
    executor = Executor(
        count=10, size=10, size_law="pareto", size_shape=1.5, gap=1.0, regular=False, pause=20.0
    )
    (got,) = simulate(Crowd({"flow": FLOW, "many": executor}), seconds=4000.0, start_price=10_000)
    assert got.parent_size.size > 200
    assert abs(got.parent_side.mean()) < 0.25
    assert got.parent_size.min() >= 10
    tail = np.mean(got.parent_size > 40)
    assert tail == pytest.approx(4.0**-1.5, abs=0.05)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Noise(size_law="square"), "size_law"),
        (lambda: Momentum(short=50, long=20), "short"),
        (lambda: Executor(side="both"), "side"),
        (lambda: Value(aggressive=2.0), "aggressive"),
        (lambda: GueantLehalleFernandezTapia(levels=9), "levels"),
        (lambda: ZeroIntelligence(cancel_rate=0.0), "cancel_rate"),
        (lambda: Crowd({}), "members"),
        (lambda: Crowd({"x": 3}), "traders.x"),
        (lambda: Fundamental(speed=-1.0), "fundamental.speed"),
    ],
)
def test_what_cannot_be_is_refused(make, word):
    with pytest.raises(ConfigError, match=word):
        make()


def test_volume_is_counted_by_aggressor():
    crowd = Crowd({"flow": FLOW})
    (got,) = simulate(crowd, seconds=300.0, start_price=10_000)
    head = crowd.state.head[0]
    assert head[BOUGHT] == got.trade_size[got.trade_sign > 0].sum() > 100
    assert head[SOLD] == got.trade_size[got.trade_sign < 0].sum()
    assert got.trade_time[-1] <= 300.0 == round(head[3] / SECOND)
