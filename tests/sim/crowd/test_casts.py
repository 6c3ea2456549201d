"""The casts of conf/crowd: they trade, lose nothing, and do what they are there for."""

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from experiments.facts.populations import record_of
from sim.book import views
from sim.book.layout import VOLUME
from sim.crowd.layout import DELIVERED, LATE_NOTICES, NO_SLOT, SECOND
from sim.crowd.run import simulate
from sim.metrics.fact_bands import reproduces
from sim.metrics.stylised_facts import measure

CONF = Path(__file__).resolve().parents[3] / "conf" / "crowd"
CASTS = sorted(path.stem for path in CONF.glob("*.yaml"))


def cast(name, **changes):
    config = OmegaConf.merge(OmegaConf.load(CONF / f"{name}.yaml"), changes)
    return instantiate(config, _convert_="all")


@pytest.mark.parametrize("name", CASTS)
def test_a_cast_trades_and_loses_nothing(name, market, consistent):
    it = market(cast(name), price=100_000)
    before = it.wealth()
    for seconds in (300.0, 900.0, 1800.0):
        it.run(seconds)
        consistent(it)
    assert it.wealth() == before
    assert it.book.head[VOLUME] > 100
    assert it.head[LATE_NOTICES] == 0
    assert it.head[NO_SLOT] < 0.001 * it.head[DELIVERED]


def test_rmsc04_is_the_cast_of_its_name_and_tracks_its_fundamental(market):
    crowd = cast("rmsc04")
    assert {name: group.count for name, group in crowd.traders.items()} == {
        "makers": 2, "value": 102, "momentum": 12, "noise": 1000,
    }  # fmt: skip
    it = market(crowd, price=100_000, seed=3)
    it.run(23_400.0)
    draws = it.crowd.state.members[0]["draws"]
    assert draws[2:104].mean() == pytest.approx(23_400 * 5.7e-3, rel=0.02)  # lambda_a per second
    assert draws[104:116].mean() == pytest.approx(23_400 / 37.0, rel=0.03)
    assert np.all(draws[116:] == 1)
    seen = np.zeros(5, np.int64)
    views.touch(it.book, seen)
    assert abs(0.5 * (seen[0] + seen[2]) - it.crowd.state.values[0, 0]) < 100
    assert 100_000 < it.head[DELIVERED] < 300_000


NAMED = {
    "kurtosis_1s", "tail_1s", "tail_10s", "gaussianity", "bounce", "return_memory", "depth_hump",
    "placement_tail", "size_tail", "round_sizes", "gap_variation", "gap_clustering", "sign_memory",
    "sign_decay", "order_impact", "imbalance", "spread_ticks", "spread_variation",
}  # fmt: skip


def test_hawkes_makers_shows_stylised_facts():
    """One day of seed 0; the report of the study gives more seeds and intervals."""
    (day,) = simulate(cast("hawkes_makers"), seconds=24_000.0, warm_up=600.0)
    facts = measure(record_of(day), n_resamples=2)
    shown = {name for name, fact in facts.items() if reproduces(fact)}
    assert len(NAMED & shown) >= 15, NAMED - shown
    assert len(shown) >= 20, shown


def quotes_of_makers(market, move_bps, **changes):
    """Median spread in basis points, and lots within 20, while the value moves every minute."""
    it = market(cast("makers", **changes), price=100_000, seed=1)
    rng, spreads, depths = np.random.default_rng(0), [], []
    price = 100_000.0
    seen = np.zeros(5, np.int64)
    prices, lots, orders = (np.zeros(100, np.int64) for _ in range(3))
    for minute in range(1, 240):
        price *= np.exp(1e-4 * move_bps * rng.normal())
        it.crowd.set_fundamental(np.array([price]), minute * 60 * SECOND)
        it.run(60.0 * minute)
        views.touch(it.book, seen)
        n = views.levels_of(it.book, np.int64(0), prices, lots, orders)
        near = prices[:n] > 0.998 * price
        depths.append(lots[:n][near].sum())
        spreads.append(1e4 * (seen[2] - seen[0]) / price if seen[0] and seen[2] else 1e4)
    return np.median(spreads[60:]), np.median(depths[60:])


def test_makers_widen_and_thin_out_with_volatility_unless_told_to_stay(market):
    calm, deep = quotes_of_makers(market, 10.0)
    rough, thin = quotes_of_makers(market, 80.0)
    assert 1.0 < calm < 15.0
    assert rough > 1.5 * calm
    assert thin < 0.7 * deep
    stay = {"traders": {"makers": {"withdraw": False}}}
    spread, depth = quotes_of_makers(market, 80.0, **stay)
    assert spread < rough
    assert depth > 1.3 * thin
