"""Resampled records: the clock, the block bootstrap and the windows."""

import math

import numpy as np
import pytest

from experiments.recorded import bootstrap, windows
from sim.errors import ConfigError, InputError
from sim.prices.bars import Bars
from sim.prices.bootstrap import BlockBootstrap
from sim.prices.process import SECONDS_PER_YEAR
from sim.prices.recorded import Recorded
from sim.prices.windows import HistoricalWindows

HOUR = 3600.0
INITIAL = {"WETH": 2000.0, "WBTC": 40_000.0, "USDC": 1.0}


def without(bars, *missing):
    keep = np.ones(len(bars.ts), np.bool_)
    keep[list(missing)] = False
    return bars.part(keep)


def test_short_gaps_stand_still_and_long_ones_end_a_run(make_bars):
    price = np.arange(1.0, 31.0)
    one = without(make_bars("A", price), 3, 4, *range(10, 20))
    other = make_bars("B", 2.0 * price)
    record = Recorded.of_bars({"A": one, "B": other}, max_gap=3 * HOUR)
    assert record.bar_seconds == HOUR
    np.testing.assert_array_equal(record.run, [0] * 10 + [1] * 10)
    np.testing.assert_allclose(
        np.exp(record.log_price[:, 0]), [1, 2, 3, 3, 3, 6, 7, 8, 9, 10, *range(21, 31)]
    )
    np.testing.assert_allclose(np.exp(record.log_price[3:5, 1]), [8, 10])
    np.testing.assert_array_equal(record.ts[:2], 1.6e9 + HOUR * np.array([1, 2]))
    assert record.moves().shape == (18, 2)
    np.testing.assert_array_equal(record.starts(9), [0, 10])
    np.testing.assert_array_equal(record.starts(8), [0, 1, 10, 11])
    with pytest.raises(InputError, match="at most 9 moves of 3600 s without a break"):
        record.starts(10)
    whole = Recorded.of_bars({"A": one, "B": other}, max_gap=10 * HOUR)
    assert not whole.run.any()


def test_records_that_do_not_fit_together_are_refused(make_bars):
    day = make_bars("B", np.arange(1.0, 9.0), seconds=24 * HOUR)
    with pytest.raises(InputError, match="must have bars of one length"):
        Recorded.of_bars({"A": make_bars("A", [1.0, 2.0]), "B": day})
    late = make_bars("B", [1.0, 2.0], start=1.7e9)
    with pytest.raises(InputError, match="must have a common span"):
        Recorded.of_bars({"A": make_bars("A", [1.0, 2.0]), "B": late})
    with pytest.raises(ConfigError, match="at least one asset"):
        Recorded.of_bars({})


def places(paths, moves):
    """Where in the record each return was."""
    found = np.diff(np.log(paths), axis=1)
    return np.argmin(np.abs(found[..., None] - moves), axis=-1), found


def test_a_bootstrap_takes_blocks_of_the_record(make_record):
    """Each return is the record's; the next follows it with probability 1 - 1 / length."""
    process = BlockBootstrap(bars=make_record(), initial=INITIAL, mean_block=10 * HOUR)
    paths = process.paths(1, np.arange(200), 0, 100, HOUR)[..., 0]
    index, found = places(paths, process.moves[:, 0])
    np.testing.assert_allclose(found, process.moves[index, 0], atol=1e-12)
    n = len(process.moves)
    follows = (index[:, 1:] == (index[:, :-1] + 1) % n).mean()
    assert abs(follows - 0.9) < 4 * math.sqrt(0.09 / index[:, 1:].size) + 1 / n
    share = np.histogram(index[:, 0], bins=4, range=(0, n))[0] / 200
    np.testing.assert_allclose(share, 0.25, atol=4 * math.sqrt(0.1875 / 200))


def test_a_bootstrap_keeps_mean_volatility_and_memory(make_record, agree):
    """The covariance at lag k is (1 - p)^k times that of the record laid in a circle."""
    process = BlockBootstrap(bars=make_record(), initial=INITIAL, mean_block=10 * HOUR)
    record = process.moves[:, 0]
    paths = process.paths(2, np.arange(20_000), 0, 60, HOUR)[..., 0]
    moves = np.diff(np.log(paths), axis=1)
    agree(moves.mean(axis=1), record.mean())
    agree(((moves - record.mean()) ** 2).mean(axis=1), record.var())
    for k in (1, 2, 5):
        circle = np.mean((record - record.mean()) * (np.roll(record, -k) - record.mean()))
        lagged = (moves[:, k:] - record.mean()) * (moves[:, :-k] - record.mean())
        agree(lagged.mean(axis=1), 0.9**k * circle)


def test_all_assets_take_the_same_blocks(make_record, run_path):
    process = BlockBootstrap(bars=make_record(), initial=INITIAL, mean_block=10 * HOUR)
    assets = ("WBTC", "USDC", "WETH")
    path = run_path(process, n_steps=60, assets=assets, ids=5, block_seconds=HOUR)
    moves = np.diff(np.log(path), axis=0)
    index = np.argmin(np.abs(moves[..., 2, None] - process.moves[:, 0]), axis=-1)
    np.testing.assert_allclose(moves[..., 0], process.moves[index, 1], atol=1e-12)
    assert (path[..., 1] == 1.0).all()
    eth = process.paths(1, np.arange(9), 0, 30, HOUR)[..., 0]
    btc = process.paths(1, np.arange(9), 0, 30, HOUR, asset="WBTC")[..., 0]
    index = places(eth, process.moves[:, 0])[0]
    np.testing.assert_allclose(np.diff(np.log(btc), axis=1), process.moves[index, 1], atol=1e-12)


def test_a_drift_replaces_that_of_the_record(make_record, agree):
    process = BlockBootstrap(bars=make_record(), initial=INITIAL, mean_block=HOUR, drift=0.5)
    day = 24 * HOUR
    paths = process.paths(1, np.arange(20_000), 0, 5, day)
    # Blocks of one bar: returns are independent, and the expectation multiplies up.
    agree(paths[:, -1, 0] / 2000.0, math.exp(0.5 * 5 * day / SECONDS_PER_YEAR))
    assert process.moves.std() == pytest.approx(process.record.moves().std(), rel=0.01)


def test_windows_are_stretches_of_the_record(make_record):
    bars = make_record()
    process = HistoricalWindows(bars=bars, initial=INITIAL)
    ids = np.arange(400)
    paths = process.paths(1, ids, 3, 10, 2 * HOUR, asset="WBTC")[..., 0]
    began = process.starts(1, ids, 3, 10, 2 * HOUR)
    closes = dict(zip((bars["WBTC"].ts + HOUR).tolist(), bars["WBTC"].close, strict=True))
    for k in range(0, 400, 37):
        series = np.array([closes[began[k] + 2 * HOUR * t] for t in range(11)])
        np.testing.assert_allclose(paths[k], 40_000.0 * series / series[0], rtol=1e-12)
    span = (bars["WBTC"].ts[0] + HOUR, bars["WBTC"].end - 20 * HOUR)
    assert span[0] <= began.min() < began.max() <= span[1]
    assert len(np.unique(began)) > 300


def test_no_window_leads_across_a_gap(make_bars):
    price = np.exp(np.random.default_rng(1).standard_normal(200) * 0.01)
    price[120:] *= 5.0
    bars = without(make_bars("A", price), *range(100, 120))
    process = HistoricalWindows(bars={"A": bars}, initial={"A": 1.0})
    paths = process.paths(1, np.arange(500), 0, 40, HOUR)
    assert np.abs(np.log(paths)).max() < 0.2
    assert process.horizon(HOUR / 2) == 2 * 99 + 1


def test_a_world_of_windows(make_record, run_path):
    """On the record's clock worlds follow it; finer blocks pass through its closes."""
    process = HistoricalWindows(bars=make_record(), initial=INITIAL)
    assets = ("USDC", "WETH", "WBTC")
    path = run_path(process, n_steps=25, assets=assets, block_seconds=HOUR)
    first = process.first
    assert len(set(first.tolist())) == 8
    for w in range(8):
        record = process.record.log_price[first[w] : first[w] + 25]
        np.testing.assert_allclose(path[:, w, 1:] / path[0, w, 1:], np.exp(record - record[0]))
    fine = run_path(process, n_steps=24 * 4 + 1, assets=assets, block_seconds=HOUR / 4)
    np.testing.assert_array_equal(process.first, first)
    np.testing.assert_allclose(fine[::4], path, rtol=1e-12)
    assert np.unique(fine[:, 0, 1]).size == 97


def test_dates_separate_training_from_test(shared):
    table = {
        "data": shared / "data", "file": "ohlcv_1h_spot_binance", "symbols": {"WBTC": "BTCUSDT"},
        "initial": {"WBTC": 100.0},
    }  # fmt: skip
    day = 24 * HOUR
    train = windows(**table, start="2019-01-01", end="2021-01-01")
    test = windows(**table, start="2021-01-01", end="2022-01-01")
    edge = 1609459200.0  # 2021-01-01
    assert train.record.ts[-1] == edge
    assert test.record.ts[0] == edge + HOUR
    begun = train.starts(1, np.arange(2000), 0, 30, day)
    assert begun.max() <= edge - 30 * day
    assert begun.min() >= 1546300800.0  # 2019-01-01
    missing = windows(**table, start="2022-09-01", end="2023-03-01")  # November 2022 is not there
    begun = missing.starts(1, np.arange(2000), 0, 30, day)
    assert not ((begun > 1667260800.0 - 30 * day) & (begun < 1669852800.0)).any()
    sampled = bootstrap(**table, start="2019-01-01", end="2021-01-01", mean_block_hours=48.0)
    assert len(sampled.moves) == len(train.record.ts) - 1 - train.record.run[-1]
    paths = sampled.paths(1, np.arange(3000), 0, 30, day)
    moves = np.diff(np.log(paths[..., 0]), axis=1)
    days = np.diff(train.record.log_price[::24, 0])
    assert moves.std() == pytest.approx(days.std(), rel=0.1)  # 48-hour blocks keep a day's


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda b: BlockBootstrap(bars=b, initial=INITIAL, mean_block=60.0), "mean_block must be"),
        (
            lambda b: BlockBootstrap(bars=b, initial={"WETH": 1.0}, mean_block=1e5),
            "no price for WB",
        ),
        (lambda b: HistoricalWindows(bars=b, initial={"WBTC": 1.0}), "no price for WETH"),
        (lambda _: HistoricalWindows(bars={}, initial=INITIAL), "at least one asset"),
        (lambda b: HistoricalWindows(bars=b, initial=INITIAL, max_gap=-1.0), "max_gap must be"),
    ],
)
def test_bad_terms_get_one_sentence(build, sentence, make_record):
    with pytest.raises(ConfigError, match=sentence):
        build(make_record())


def test_a_run_longer_than_the_record_is_refused(make_record, make_world):
    process = HistoricalWindows(bars=make_record(), initial=INITIAL)
    with pytest.raises(InputError, match="covers 3000 blocks of 3600 s without a break"):
        process.bind(make_world(n_steps=4000, block_seconds=HOUR))
    assert isinstance(make_record()["WETH"], Bars)
