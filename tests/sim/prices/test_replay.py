import math
import warnings

import numpy as np
import pytest
from scipy import stats

from sim import streams
from sim.errors import ConfigError, InputError
from sim.prices import bridge
from sim.prices.bars import Bars, segments_of
from sim.prices.process import SECONDS_PER_YEAR
from sim.prices.replay import Replay

START = 1_600_000_200.0  # a multiple of 600


def random_bars(n=12, seconds=600.0, seed=0, symbol="ETH", start=START):
    """Bars of a fine random walk: 60 points each."""
    rng = np.random.default_rng(seed)
    walk = 2000.0 * np.exp(0.001 * np.cumsum(rng.standard_normal((n, 60)).ravel()).reshape(n, 60))
    opening = np.concatenate([[2000.0], walk[:-1, -1]])
    high, low = np.maximum(walk.max(1), opening), np.minimum(walk.min(1), opening)
    ts = start + seconds * np.arange(n)
    return Bars(symbol, ts, np.full(n, seconds), opening, high, low, walk[:, -1])


def replay_of(bars=None, **terms):
    bars = {"WETH": random_bars() if bars is None else bars} if not isinstance(bars, dict) else bars
    return Replay(**{"bars": bars, "constants": {"USDC": 1.0}, "start": START} | terms)


WORLD = {"assets": ("WETH", "USDC")}


@pytest.mark.parametrize("block_seconds", [12.0, 60.0, 100.0, 150.0, 7.0, 130.0])
def test_each_world_honours_every_bar(block_seconds, run_path):
    bars = random_bars()
    n_steps = int(7200 // block_seconds)
    path = run_path(replay_of(bars), n_steps=n_steps, block_seconds=block_seconds, **WORLD)
    blocks = START + block_seconds * np.arange(n_steps)
    for i in range(len(bars.ts)):
        inside = path[(blocks >= bars.ts[i]) & (blocks < bars.ts[i] + 600), :, 0]
        if i == len(bars.ts) - 1 and len(inside) < math.ceil(600 / block_seconds):
            continue  # the run ends inside the bar
        np.testing.assert_array_equal(inside[0], bars.open[i])
        np.testing.assert_array_equal(inside[-1], bars.close[i])
        np.testing.assert_array_equal(inside.max(axis=0), bars.high[i])
        np.testing.assert_array_equal(inside.min(axis=0), bars.low[i])
    np.testing.assert_array_equal(path[..., 1], 1.0)


@pytest.mark.parametrize(("block_seconds", "n"), [(200.0, 3), (300.0, 2), (600.0, 1)])
def test_short_bars_show_their_range_beside_the_price(block_seconds, n, make_world):
    bars = random_bars()
    process = replay_of(bars)
    process.bind(make_world(("WETH", "USDC"), n_steps=12 * n, block_seconds=block_seconds))
    for i in range(12):
        lows, highs, prices = [], [], []
        for k in range(n):
            process.advance(i * n + k)
            lows.append(process.low[0, 0])
            highs.append(process.high[0, 0])
            prices.append(process.price[0, 0])
            assert lows[-1] <= prices[-1] <= highs[-1]
        assert (min(lows), max(highs)) == (bars.low[i], bars.high[i])
        assert prices[-1] == bars.close[i]
        assert n == 1 or prices[0] == bars.open[i]
        if n == 3:
            assert prices[1] in (bars.high[i], bars.low[i])


def test_bars_finer_than_the_block_are_aggregated(make_world):
    bars = random_bars(n=60, seconds=60.0)
    process = replay_of(bars)
    process.bind(make_world(("WETH", "USDC"), n_steps=12, block_seconds=300.0))
    for k in range(12):
        process.advance(k)
        five = slice(5 * k, 5 * k + 5)
        np.testing.assert_array_equal(process.price[:, 0], bars.close[five][-1])
        np.testing.assert_array_equal(process.low[:, 0], bars.low[five].min())
        np.testing.assert_array_equal(process.high[:, 0], bars.high[five].max())
    process.advance(99)
    np.testing.assert_array_equal(process.price[:, 0], bars.close[-1])


@pytest.mark.parametrize("block_seconds", [12.0, 300.0])
def test_a_world_has_one_path_in_any_batch(block_seconds, run_path):
    bars = {"WETH": random_bars(), "WBTC": random_bars(n=2, seconds=3600.0, seed=5)}
    terms = {"n_steps": int(7200 // block_seconds), "block_seconds": block_seconds}
    terms |= {"assets": ("WETH", "WBTC", "USDC")}
    whole = run_path(replay_of(bars), **terms)
    parts = [run_path(replay_of(bars), ids=ids, **terms) for ids in ([2, 0, 5, 1], [7, 3, 4, 6])]
    order = [2, 0, 5, 1, 7, 3, 4, 6]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole[:, order])
    if block_seconds == 12.0:
        inner = whole[1:40:7, :, 0]
        assert np.unique(inner).size > 0.8 * inner.size
        other = run_path(replay_of(bars), seed=9, **terms)
        assert not np.array_equal(other, whole)


def test_snapshot_and_reset(make_world):
    process = replay_of()
    process.bind(make_world(("WETH", "USDC"), n_steps=600, block_seconds=12.0))
    for step in range(49):
        process.advance(step)
    saved = process.snapshot()
    after = []
    for step in range(49, 120):
        process.advance(step)
        after.append(process.price.copy())
    process.restore(saved)
    for step in range(49, 120):  # crosses into the next bar, after the paths held another one
        process.advance(step)
        np.testing.assert_array_equal(process.price, after[step - 49])
    process.reset(np.arange(8) == 2)
    assert process.price[2, 0] == 2000.0
    process.advance(0)
    np.testing.assert_array_equal(process.price[:, 0], 2000.0)


def test_realised_volatility_is_that_of_the_range(run_path):
    # A driftless Brownian bar: Parkinson's estimator is unbiased, the fill must neither calm nor
    # inflate it. Folding and pinning cost or add a few percent at 50 blocks a bar.
    bars = random_bars(n=200)
    path = run_path(replay_of(bars), n_steps=10_000, block_seconds=12.0, ids=4, **WORLD)
    realised = np.sum(np.diff(np.log(path[..., 0]), axis=0) ** 2, axis=0).mean()
    parkinson = np.sum(np.log(bars.high / bars.low) ** 2) / (4 * math.log(2))
    assert realised == pytest.approx(parkinson, rel=0.15)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_moves_inside_bars_are_correlated(correlation, run_path):
    bars = {"WETH": random_bars(n=100), "WBTC": random_bars(n=100, seed=3)}
    process = replay_of(bars, correlation=correlation)
    path = run_path(process, n_steps=5000, block_seconds=12.0, assets=("WETH", "WBTC", "USDC"))
    returns = np.diff(np.log(path[..., :2]), axis=0).reshape(-1, 2)
    measured = np.corrcoef(returns.T)[0, 1]
    # The bars themselves are independent; folds and pinned extremes cost a part of the rest.
    assert measured == pytest.approx(0.62 * correlation / 0.8, abs=0.12)


def test_correlation_is_measured_on_the_series(make_world):
    first = random_bars(n=60)
    twin = Bars("BTC", first.ts, first.seconds, first.open, first.high, first.low, first.close)
    other = random_bars(n=60, seed=8)
    process = replay_of({"WETH": first, "WBTC": twin, "LINK": other})
    process.bind(make_world(("WETH", "WBTC", "LINK"), block_seconds=60.0))
    matrix = process.loading @ process.loading.T
    assert matrix[0, 1] == pytest.approx(1.0)
    assert abs(matrix[0, 2]) < 0.4
    short = replay_of({"WETH": random_bars(n=8), "WBTC": random_bars(n=8, seed=1)})
    short.bind(make_world(("WETH", "WBTC"), n_steps=10))
    assert (short.loading @ short.loading.T)[0, 1] == pytest.approx(0.8)


def test_plain_prices_are_joined_by_bridges(run_path):
    price = np.array([2000.0, 2020.0, 1990.0, 2010.0])
    bars = Bars.of_prices("ETH", START + 3600.0 * np.arange(4), price)
    terms = {"n_steps": 900, "block_seconds": 12.0, "ids": 2000, **WORLD}
    path = run_path(replay_of(bars, fill_volatility=0.8), **terms)[..., 0]
    for i in range(3):
        np.testing.assert_array_equal(path[300 * i], price[i])
        np.testing.assert_array_equal(path[300 * i + 299], price[i + 1])
    # The middle of a Brownian bridge of 299 steps: mean halfway, variance sigma^2 dt 149 150 / 299.
    middle = np.log(path[149]) - np.log(2000.0) - np.log(2020 / 2000) * 149 / 299
    sigma = 0.8 * math.sqrt(12.0 / SECONDS_PER_YEAR * 149 * 150 / 299)
    assert stats.kstest(middle, stats.norm(0.0, sigma).cdf).pvalue > 1e-4
    calm = run_path(replay_of(bars, fill_volatility=0.0), **(terms | {"ids": 2}))[..., 0]
    np.testing.assert_array_equal(calm[:, 0], calm[:, 1])


def test_gaps_are_bridged_up_to_the_limit(run_path):
    bars = random_bars(n=12)
    hole = bars.part(~np.isin(np.arange(12), [4, 5]))
    path = run_path(replay_of(hole), n_steps=600, block_seconds=12.0, **WORLD)[..., 0]
    np.testing.assert_array_equal(path[200], bars.close[3])
    np.testing.assert_array_equal(path[299], bars.open[6])
    assert np.unique(path[250]).size == 8
    with pytest.raises(
        InputError,
        match=r"ETH: bars are missing for 20 minutes from 2020-09-13 13:10"
        r":00 UTC, longer than max_gap, 10 minutes; choose another span",
    ):
        replay_of(hole, max_gap=600.0)
    replay_of(hole, max_gap=600.0, duration=1800.0)  # the gap lies outside


def test_fine_bars_stand_in_coarse_ones(run_path):
    coarse = random_bars(n=3, seconds=3600.0, seed=2)
    fine = random_bars(n=6, seconds=600.0, start=START + 3600.0)
    joined = fine.filled_by(coarse)
    np.testing.assert_array_equal(joined.seconds, [3600] + [600] * 6 + [3600])
    path = run_path(replay_of(joined), n_steps=180, **WORLD)[..., 0]
    np.testing.assert_array_equal(path[:60].max(axis=0), coarse.high[0])
    np.testing.assert_array_equal(path[60:70].min(axis=0), fine.low[0])
    np.testing.assert_array_equal(path[-1], coarse.close[2])


def test_a_start_inside_a_bar_shows_the_rest_of_it(run_path):
    bars = random_bars()
    terms = {"block_seconds": 12.0, **WORLD}
    late = run_path(replay_of(bars, start=START + 120.0), n_steps=100, **terms)[..., 0]
    assert np.all(late[:40] <= bars.high[0])
    np.testing.assert_array_equal(late[39], bars.close[0])
    np.testing.assert_array_equal(late[40], bars.open[1])
    assert replay_of(bars, start=START + 120.0).horizon(12.0) == 590


def test_segments_of_a_long_block():
    bars = random_bars(n=6)
    segments = segments_of(bars, START, 900.0, 4)
    np.testing.assert_array_equal(segments.first, [0, 1, 2, 3, 4])
    # Block 0 ends at 900 s: the bar that closed at 600 s is the last one seen in it.
    np.testing.assert_array_equal(segments.close, bars.close[[0, 2, 3, 5]])
    assert segments.high[1] == bars.high[1:3].max()


def test_kernels_run_as_plain_python(make_world):
    key = streams.stream_key(1, "x")
    loading, ids = np.array([[1.0, 0.0], [0.6, 0.8]]), np.arange(2)
    cases = [(np.array([10.0, 11.0, 9.0, 10.5]), n) for n in (1, 2, 3, 4, 9)] + [
        (np.array([10.0, 10.5, 9.0, 10.5]), 9),
        (np.array([10.0, np.nan, np.nan, 10.5]), 9),
        (np.array([10.0, 10.0, 9.0, 9.0]), 9),
        (np.array([10.0, 10.0, 10.0, 10.0]), 9),
    ]
    for ohlc, n in cases:
        plain, compiled = np.zeros((9, 2)), np.zeros((9, 2))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            bridge.fill_bar.py_func(plain, loading, ohlc, 1, 0.01, key, ids, 5, n)
        bridge.fill_bar(compiled, loading, ohlc, 1, 0.01, key, ids, 5, n)
        np.testing.assert_allclose(plain, compiled, rtol=1e-13)
        if n >= 4 and not np.isnan(ohlc[1]):
            np.testing.assert_array_equal(compiled.max(axis=0), ohlc[1])
            np.testing.assert_array_equal(compiled[:n].min(axis=0), ohlc[2])
    for y in (0.2, 1.5, 2.7, -3.1):
        assert bridge.fold.py_func(y, 0.0, 1.0) == bridge.fold(y, 0.0, 1.0)
        assert 0.0 <= bridge.fold(y, 0.0, 1.0) <= 1.0
    walk = np.zeros((9, 1))
    bridge.walk.py_func(walk, 0, loading, 1, key, 3, 5, 9)
    assert bridge.extremes.py_func(walk, 0, 9, 0.0, 1.0) == bridge.extremes(walk, 0, 9, 0.0, 1.0)
    ohlc = np.array([10.0, 11.0, 9.0, 10.5])
    for kernel, terms in ((bridge.thread, (ohlc, 0.01)), (bridge.fill_plain, (ohlc,))):
        plain, compiled = walk.copy(), walk.copy()
        kernel.py_func(plain, 0, 9, *terms)
        kernel(compiled, 0, 9, *terms)
        np.testing.assert_allclose(plain, compiled, rtol=1e-13)
    other = walk.copy()
    bridge.pin.py_func(walk, 0, 2, 7, 0.5, 1.5, 0.1)
    bridge.pin(other, 0, 2, 7, 0.5, 1.5, 0.1)
    np.testing.assert_allclose(walk, other, rtol=1e-13)


def changed(field, index, value):
    bars = random_bars(n=5)
    columns = {
        name: getattr(bars, name).copy()
        for name in ("ts", "seconds", "open", "high", "low", "close")
    }
    columns[field][index] = value
    return Bars("ETH", **columns)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: changed("open", 2, -1.0),
            r"ETH: open must be positive, got -1 in the bar of 2020",
        ),
        (lambda: changed("close", 2, math.nan), r"ETH: close must be positive, got nan"),
        (lambda: changed("high", 2, 1.0), r"ETH: high must not lie under low, got 1 in"),
        (lambda: changed("low", 2, math.nan), r"ETH: high and low must come together"),
        (lambda: changed("high", 2, 0.0), r"ETH: high must be positive, got 0"),
        (lambda: changed("ts", 2, START), r"ETH: timestamps must increase"),
        (lambda: changed("seconds", 2, 900.0), r"ETH: a bar must not open before the one before"),
        (lambda: changed("seconds", 2, 0.0), r"ETH: a bar must last longer than 0 seconds"),
        (lambda: random_bars(n=5).part(np.zeros(5, bool)), r"ETH: expected at least one bar"),
        (lambda: Bars.of_prices("ETH", np.zeros(1), np.ones(1)), r"ETH: a series of prices needs"),
        (lambda: replay_of(start=START - 60), r"ETH: bars begin at .* after the start"),
        (lambda: replay_of(start=START + 1e6), r"ETH: no bar lies after"),
        (lambda: replay_of(duration=1e6), r"ETH: bars end at .*shorten duration"),
    ],
)
def test_bad_bars_get_one_sentence(build, sentence):
    with pytest.raises(InputError, match=sentence):
        build()


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"constants": {"WETH": 1.0}}, "constants.WETH must not name an asset with bars"),
        ({"constants": {"USDC": -1.0}}, "constants.USDC must be a finite number"),
        ({"bars": {}}, "bars must hold the history of at least one asset"),
        ({"correlation": 2.0}, "correlation must be a finite number between -1 and 1"),
        ({"max_gap": -1.0}, "max_gap must be a finite number between 0"),
        ({"fill_volatility": -1.0}, "fill_volatility must be a finite number"),
        ({"duration": 0.0}, "duration must be a finite number"),
    ],
)
def test_bad_terms_get_one_sentence(terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replay_of(**terms) if "bars" not in terms else Replay(start=START, **terms)


def test_world_and_horizon_are_checked(make_world):
    with pytest.raises(ConfigError, match=r"no price for LINK.*it prices WETH, USDC"):
        replay_of().bind(make_world(("WETH", "LINK")))
    with pytest.raises(InputError, match=r"covers 120 blocks of 60 s from .*the run needs 121"):
        replay_of().bind(make_world(("WETH", "USDC"), n_steps=121))
