"""The table of facts on markets that show a fact, and on one that shows none."""

from dataclasses import replace

import numpy as np
import pytest
from processes import (
    draws,
    fractional_noise,
    random_market,
    square_root_parents,
)

from sim.errors import InputError
from sim.metrics import fact_bands as bands
from sim.metrics.fact_curves import curves, exceedance, mean_curves
from sim.metrics.fact_readers import hump, kurtosis_slope
from sim.metrics.market_record import MarketRecord
from sim.metrics.stylised_facts import (
    CATALOGUE,
    Fact,
    combine,
    measure,
)

NAMES = [spec.name for spec in CATALOGUE]


@pytest.fixture(scope="module")
def nothing():
    return measure(random_market(), 40)


def fact(name, value, low=np.nan, high=np.nan):
    return Fact(name=name, value=value, error=0.1, low=low, high=high, n=10)


@pytest.mark.parametrize(
    ("name", "null"),
    [
        ("kurtosis_1s", 0.0), ("clustering", 0.0), ("return_memory", 0.0), ("imbalance", 0.0),
        ("gap_variation", 1.0), ("gap_clustering", 0.0), ("sign_memory", 0.0),
        ("volume_volatility", 0.0), ("leverage", 0.0), ("spread_variation", 0.0),
    ],
)  # fmt: skip
def test_a_market_of_pure_chance_sits_at_the_null(nothing, name, null):
    """Poisson clock, unrelated signs, Gaussian walk: three standard errors from what bands deny."""
    it = nothing[name]
    assert abs(it.value - null) <= max(3.5 * it.error, 1e-3), it


def test_a_market_of_pure_chance_reproduces_no_fact_of_memory(nothing):
    for name in (
        "kurtosis_1s", "clustering", "depth_hump", "gap_variation", "sign_memory", "imbalance",
        "volume_volatility", "spread_variation",
    ):  # fmt: skip
        assert bands.reproduces(nothing[name]) is False, nothing[name]
    for name in ("sign_decay", "order_impact"):
        it = nothing[name]
        assert np.isnan(it.value)
        assert it.is_denied, "thousands of orders, and nothing to fit"
        assert bands.reproduces(it) is False
    short = measure(random_market(seconds=600.0), 10)["sign_decay"]
    assert not short.is_denied
    assert bands.reproduces(short) is None


def test_spread_in_both_units(nothing):
    assert nothing["spread_ticks"].value == pytest.approx(2.0)
    assert nothing["spread_bps"].value == pytest.approx(0.2, rel=0.05)


def test_absence_has_a_reason():
    empty = measure(MarketRecord(name="empty", tick=1.0))
    assert list(empty) == NAMES
    for it in empty.values():
        assert np.isnan(it.value)
        assert it.remark, it.name


def test_long_memory_of_signs_is_found():
    base = random_market(seconds=20_000.0)
    n = len(base.trade_time)
    sign = np.sign(fractional_noise(n, 0.75, 3)).astype(np.int64)
    facts = measure(random_market(seconds=20_000.0, trade_sign=sign), 40)
    assert facts["sign_decay"].value == pytest.approx(0.5, abs=0.15)
    assert facts["sign_memory"].low > 2.0


def test_square_root_of_parents_is_found():
    it = measure(square_root_parents(), 60)["metaorder_impact"]
    assert it.value == pytest.approx(0.5, abs=0.05)
    assert it.low < 0.5 < it.high
    assert it.remark == ""


def test_runs_say_that_they_are_a_proxy():
    base = random_market(seconds=6000.0)
    ones = np.ones(len(base.trade_time))
    mid = 1000.0 * np.exp(1e-5 * np.cumsum(base.trade_sign * base.trade_size))
    quotes = {"bid": mid, "ask": mid, "bid_size": ones, "ask_size": ones}
    it = measure(random_market(seconds=6000.0, quote_time=base.trade_time, **quotes), 40)
    assert "proxy" in it["metaorder_impact"].remark
    assert it["metaorder_impact"].value == pytest.approx(1.0, abs=0.02), "linear impact is linear"


def test_volatility_that_clusters_is_found():
    """Returns whose log volatility is fractional noise: clustered, heavy-tailed, uncorrelated."""
    seconds = 20_000
    vol = np.exp(1.0 * fractional_noise(seconds, 0.85, 4))
    mid = 1000.0 * np.exp(np.cumsum(1e-5 * vol * draws(5).standard_normal(seconds)))
    time = np.arange(seconds, dtype=np.float64)
    ones = np.ones(seconds)
    facts = measure(
        MarketRecord(
            name="vol", tick=0.01, quote_time=time, bid=mid - 0.01, ask=mid + 0.01,
            bid_size=ones, ask_size=ones,
        ),
        40,
    )  # fmt: skip
    assert facts["kurtosis_1s"].value > 10.0
    assert facts["kurtosis_60s"].value < facts["kurtosis_1s"].value
    assert facts["gaussianity"].high < 0.0
    assert facts["clustering"].low > 0.5
    assert abs(facts["return_memory"].value) < 0.02
    assert 0.05 < facts["absolute_decay"].value < 0.7


def test_kurtosis_of_independent_returns_falls_as_one_over_the_horizon():
    x = draws(7).laplace(size=400_000)
    assert kurtosis_slope(x) == pytest.approx(-1.0, abs=0.1)
    assert np.isnan(kurtosis_slope(draws(8).standard_normal(5000)))


@pytest.mark.parametrize(
    ("depth", "ratio"),
    [
        (np.arange(31.0, 0.0, -1.0), 1.0),
        (np.concatenate([[90.0], np.full(10, 1.0), np.full(5, 3.0), np.full(15, 1.0)]), 3.0),
        (np.concatenate([np.full(11, 2.0), np.full(20, np.nan)]), 1.0),
        (np.ones(8), np.nan),
    ],
)
def test_the_hump_compares_with_the_depth_next_to_the_touch(depth, ratio):
    np.testing.assert_allclose(hump(depth), ratio)


def test_round_sizes_are_counted_in_any_unit():
    size = np.concatenate([np.full(300, 1.0), np.full(200, 100.0), np.full(200, 123.0)])
    draws(6).shuffle(size)
    for unit in (1.0, 1e-3):
        it = measure(
            MarketRecord(
                name="it", tick=1.0, order_time=np.arange(700.0), order_size=unit * size,
            )
        )["round_sizes"]  # fmt: skip
        assert it.value == pytest.approx(0.5)
        assert it.remark == "limit orders"


def test_seeds_are_combined_with_student_t():
    every = [{"tail_1s": fact("tail_1s", value)} for value in (2.0, 3.0, 4.0)]
    it = combine(every)["tail_1s"]
    assert (it.value, it.n_seeds, it.n) == (3.0, 3, 30)
    assert it.high - it.value == pytest.approx(4.303 / np.sqrt(3.0))
    assert combine(every[:1])["tail_1s"] == every[0]["tail_1s"]


def test_a_fact_that_most_seeds_lack_is_absent():
    lack = Fact(name="a", value=np.nan, error=np.nan, low=np.nan, high=np.nan, n=0, remark="short")
    it = combine([{"a": fact("a", 1.0)}, {"a": lack}, {"a": lack}])["a"]
    assert np.isnan(it.value)
    assert it.remark == "short"
    assert not it.is_denied
    deny = replace(lack, is_denied=True)
    assert combine([{"a": fact("a", 1.0)}, {"a": deny}, {"a": deny}])["a"].is_denied


def test_bands_cover_the_catalogue_and_hold_the_recorded_markets():
    """Every value of a recorded market lies in its band, unless the market denies the fact."""
    assert list(bands.BANDS) == NAMES
    outside = []
    for market, table in bands.MEASURED.items():
        for name, (value, _, n) in table.items():
            it = bands.band(name)
            assert n > 0
            if it is not None and not it.holds(value):
                least, most, denied = bands.DENIED[name]
                assert denied
                assert not least < value < most, (market, name)
                outside.append((market.split()[1], name))
    assert outside == [("spot", "bounce"), ("perp", "bounce")]


def test_bands_hold_what_papers_say_and_exclude_what_facts_deny():
    for name, (low, high, words) in bands.PUBLISHED.items():
        it = bands.band(name)
        assert it.holds(low + 1e-6)
        assert it.holds(high - 1e-6)
        assert it.published == words
    for name, (least, most, _) in bands.DENIED.items():
        assert not bands.band(name).holds(least)
        assert not bands.band(name).holds(most)
    assert not bands.band("clustering").holds(float("nan"))
    assert bands.band("leverage") is None
    with pytest.raises(InputError, match="unknown fact tails: choose one of kurtosis_1s"):
        bands.band("tails")


def test_verdicts_and_their_certainty():
    it = bands.band("tail_1s")
    inside = 0.5 * (it.low + it.high)
    assert bands.reproduces(fact("tail_1s", inside)) is True
    assert bands.reproduces(fact("tail_1s", it.high + 1.0)) is False
    assert bands.is_certain(fact("tail_1s", inside, inside - 0.1, inside + 0.1))
    assert not bands.is_certain(fact("tail_1s", inside, it.low - 0.1, inside + 0.1))
    assert bands.is_certain(fact("tail_1s", it.high + 1, it.high + 0.5, it.high + 1.5))
    assert not bands.is_certain(fact("tail_1s", it.high + 1, it.high - 0.5, it.high + 2.5))
    assert not bands.is_certain(fact("tail_1s", inside))


def test_curves_agree_with_the_facts(nothing):
    record = random_market()
    found = curves(record)
    x, y = found["kurtosis"]
    assert y[list(x).index(1.0)] == pytest.approx(nothing["kurtosis_1s"].value)
    x, y = found["spreads"]
    assert y[2] == pytest.approx(1.0)
    x, y = found["gaps"]
    known = np.isfinite(y) & (x < 3.0)
    np.testing.assert_allclose(y[known], np.exp(-x[known]), atol=0.03)
    x, y = found["depth"]
    assert np.all(np.diff(y) < 0.0)


def test_curves_of_nothing_are_gaps():
    for name, (x, y) in curves(MarketRecord(name="empty", tick=1.0)).items():
        assert x.shape == y.shape, name
        assert not np.isfinite(y).any(), name


def test_mean_curves_leave_gaps_where_few_seeds_know():
    x = np.arange(3.0)
    one, two = np.array([1.0, 2.0, np.nan]), np.array([3.0, np.nan, np.nan])
    _, y = mean_curves([{"a": (x, one)}, {"a": (x, two)}, {"a": (x, two)}])["a"]
    np.testing.assert_allclose(y, [7.0 / 3.0, np.nan, np.nan])


def test_exceedance_needs_three_values():
    np.testing.assert_allclose(
        exceedance(np.arange(1.0, 11.0), np.array([0.0, 5.0, 8.0])), [1.0, 0.5, np.nan]
    )


def still(n=2000, **more):
    """A market in which nothing ever moves."""
    time, ones = np.arange(float(n)), np.ones(n)
    columns = {
        "trade_time": time, "trade_price": ones, "trade_size": ones,
        "trade_sign": np.ones(n, np.int64), "quote_time": time, "bid": ones, "ask": ones + 0.01,
        "bid_size": ones, "ask_size": ones, "depth_time": time,
        "bid_depth": np.ones((n, 20)), "ask_depth": np.ones((n, 20)), "order_time": time,
        "order_size": ones, "order_distance": ones,
    }  # fmt: skip
    return MarketRecord(name="still", tick=0.01, **(columns | more))


@pytest.mark.parametrize(
    "record",
    [
        still(),
        still(3),
        still(trade_size=np.zeros(2000), order_size=np.zeros(2000)),
        still(trade_time=np.zeros(2000)),
        still(quote_time=np.zeros(2000), depth_time=np.zeros(2000)),
        still(bid_size=np.zeros(2000), ask_size=np.zeros(2000), bid_depth=np.zeros((2000, 20))),
        still(bid_depth=np.full((2000, 20), np.nan), ask_depth=np.full((2000, 20), np.nan)),
    ],
    ids=["still", "short", "no size", "one moment", "quotes at once", "empty book", "unseen"],
)
def test_degenerate_markets_are_measured_without_a_warning(record):
    facts = measure(record, 10)
    assert list(facts) == NAMES
    for name in ("kurtosis_1s", "clustering", "absolute_decay", "imbalance", "order_impact"):
        assert np.isnan(facts[name].value), name
        assert facts[name].remark
    for x, y in curves(record).values():
        assert x.shape == y.shape
