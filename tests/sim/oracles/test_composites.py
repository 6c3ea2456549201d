"""Oracles made of oracles: what each kind says, and that copies and batches change nothing."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import sim.oracles.composite as composite_module
import sim.oracles.ema as ema_module
import sim.oracles.oracle as oracle_module
import sim.oracles.pushed as pushed_module
import sim.oracles.twap as twap_module
from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.oracles.capped import CappedOracle
from sim.oracles.delayed import DelayedOracle
from sim.oracles.ema import EmaOracle
from sim.oracles.feeds import FeedsOracle
from sim.oracles.median import MedianOracle
from sim.oracles.misconfigured import MisconfiguredOracle
from sim.oracles.pushed import PushedOracle
from sim.oracles.rate import RateOracle
from sim.oracles.spot import SpotOracle
from sim.oracles.twap import TwapOracle

WETH, WBTC, USDC, DAI = range(4)
ORACLE, INDEX = 1, 5
DAY, YEAR = 86_400.0, 365.0 * 86_400.0


class Following:
    """A pool that is always at the market's price."""

    def __init__(self, world):
        self.world, self.state = world, SimpleNamespace(assets=np.array([WETH, USDC]))

    def mid_price(self, asset, quote):
        return self.world.market_price[:, asset] / self.world.market_price[:, quote]


def bound(make_world, oracle, **terms):
    world = make_world(**terms)
    world.venues = {"pool": Following(world)}
    oracle.attach(world, "oracle", INDEX, ORACLE)
    return world, oracle


def step(world, oracle, to, include=True):
    """Move to a step, update, and include the reports if wanted; return them."""
    world.step = to
    oracle.update()
    rows = oracle.reports()
    if include and len(rows):
        world.run(oracle, rows)
    return rows


# --- an oracle per asset --------------------------------------------------------------------------


def test_each_asset_may_have_a_kind_of_its_own(make_world):
    feeds = {
        "WETH": TwapOracle(
            base=SpotOracle(), pool="pool", asset="WETH", quote="USDC", window_seconds=120.0
        ),
        "WBTC": DelayedOracle(),
        "DAI": RateOracle(base=SpotOracle(), asset="DAI", underlying="USDC", rate=1.01),
    }
    world, oracle = bound(make_world, FeedsOracle(base=SpotOracle(), feeds=feeds))
    assert oracle.price is world.oracle_price
    world.market_price[:] = [1_000.0, 30_000.0, 0.9, 0.5]
    step(world, oracle, 1)
    mean = 2_000.0**0.9 * (1_000.0 / 0.9) ** 0.1 * 0.9
    np.testing.assert_allclose(world.oracle_price[1], [mean, 40_000.0, 0.9, 1.01 * 0.9])


def test_a_part_reports_what_is_read_from_it_and_nothing_else(make_world):
    feeds = {"WETH": PushedOracle(latency_seconds=0.0)}
    base = PushedOracle(latency_seconds=0.0)
    world, oracle = bound(make_world, FeedsOracle(base=base, feeds=feeds))
    world.market_price[:] *= 0.8
    rows = step(world, oracle, 1, include=False)
    assert sorted(zip(rows["world"], rows["asset"], strict=True)) == list(
        itertools.product(range(3), range(4))
    )
    assert (np.diff(rows["world"]) >= 0).all()  # grouped by world
    assert set(rows["venue"]) == {INDEX}
    assert set(rows["account"]) == {ORACLE}
    seats = {asset: set(rows["target"][rows["asset"] == asset]) for asset in range(4)}
    assert seats[WETH].isdisjoint(seats[WBTC])
    assert seats[WBTC] == seats[USDC] == seats[DAI]
    world.run(oracle, rows)
    assert (rows["code"] == Reject.OK).all()
    np.testing.assert_array_equal(world.oracle_price, world.market_price)
    np.testing.assert_array_equal(oracle.claims(), world.ledger.balances[:, ORACLE])


def test_a_report_for_no_part_is_refused(make_world, make_rows):
    world, oracle = bound(make_world, FeedsOracle(base=PushedOracle()))
    good = {"verb": Verb.REPORT, "account": ORACLE, "asset": WETH, "amount": 1.0, "limit": 3.0}
    codes = [Reject.OK, Reject.UNKNOWN_VERB, Reject.UNKNOWN_VERB, Reject.NOT_OWNER]
    rows = make_rows([{**good, "target": seat} for seat in (0, -1, 1)])
    rows = np.concatenate([rows, make_rows([{**good, "target": 0, "account": 2}])])
    assert list(world.run(oracle, rows)["code"]) == codes
    assert world.oracle_price[0, WETH] == 1.0


def test_halts_and_lags_reach_the_parts(make_world):
    whole = FeedsOracle(base=SpotOracle(), feeds={"WBTC": MedianOracle(
        parts={"a": SpotOracle(), "b": SpotOracle(), "c": SpotOracle()})})  # fmt: skip
    world, oracle = bound(make_world, whole)
    world.inputs["oracle_halted"][0, WBTC] = 1.0
    world.inputs["oracle_lag"][1] = 24.0
    for s in range(1, 6):
        world.market_price[:] += 1.0
        step(world, oracle, s)
    assert world.oracle_price[0, WBTC] == 40_000.0
    assert world.oracle_price[0, WETH] == 2_005.0
    assert world.oracle_price[1, WBTC] == 40_003.0
    assert world.oracle_price[2, WBTC] == 40_005.0


# --- median ---------------------------------------------------------------------------------------


def wrong(factor):
    return MisconfiguredOracle(base=SpotOracle(), asset="WETH", factor=factor, start_hours=0.0)


@pytest.mark.parametrize("factor", [1e-9, 0.5, 2.0, 1e9])
def test_one_wrong_feed_of_three_is_outvoted(make_world, factor):
    parts = {"right": SpotOracle(), "late": DelayedOracle(), "broken": wrong(factor)}
    world, oracle = bound(make_world, MedianOracle(parts=parts))
    for s in range(1, 700):
        world.market_price[:, WETH] = 2_000.0 + s
        step(world, oracle, s)
        bounds = oracle.parts["parts.right"].price, oracle.parts["parts.late"].price
        assert (np.minimum(*bounds) <= oracle.price).all()
        assert (oracle.price <= np.maximum(*bounds)).all()


def test_an_even_number_of_feeds_takes_the_mean_of_the_middle_two(make_world):
    parts = {str(k): wrong(factor) for k, factor in enumerate((7.0, 0.1, 1.0, 1.2))}
    world, oracle = bound(make_world, MedianOracle(parts=parts))
    step(world, oracle, 1)
    np.testing.assert_allclose(oracle.price[:, WETH], 2_200.0)
    np.testing.assert_array_equal(oracle.price[:, WBTC], 40_000.0)


# --- caps, rates, mistakes ------------------------------------------------------------------------


def capped(**terms):
    """WBTC as if it were staked WETH, at 20 of it: its snapshots by name."""
    cap = {"WBTC": {"underlying": "WETH", "snapshots": terms}}
    return CappedOracle(base=SpotOracle(), ratios=cap, stables={"DAI": 1.03})


def contract_price(base, ratio, snapshot, growth_bps, age):
    """`PriceCapAdapterBase.latestAnswer`: prices of 8 decimals, ratios of 18, whole seconds."""
    snapshot, ratio, base = (round(x * 1e18) for x in (snapshot, ratio, base * 1e-10))
    per_second = snapshot * growth_bps // 10_000 // int(YEAR)
    return base * min(ratio, snapshot + per_second * age) // 10**18 / 1e8


@pytest.mark.parametrize("market", [30_000.0, 37_999.0, 38_100.0, 44_000.0, 60_000.0])
def test_capo_prices_what_the_contract_does(make_world, market):
    oracle = capped(now={"ratio": 19.0, "age_days": 30.0, "max_yearly_growth": 0.0872})
    world, oracle = bound(make_world, oracle)
    world.market_price[:, WBTC] = market
    for s in (1, 1_000, 50_000):
        step(world, oracle, s)
        expected = contract_price(2_000.0, market / 2_000.0, 19.0, 872, 30 * 86_400 + 12 * s)
        assert oracle.price[0, WBTC] == pytest.approx(expected, rel=1e-9)
    by_hand = 19.0 * (1.0 + 0.0872 * (30.0 * DAY + 600_000.0) / YEAR) * 2_000.0
    assert oracle.price[0, WBTC] == pytest.approx(min(market, by_hand), rel=1e-12)


def test_a_ratio_that_falls_is_not_held_up(make_world):
    oracle = capped(now={"ratio": 20.0, "age_days": 7.0, "max_yearly_growth": 0.1})
    world, oracle = bound(make_world, oracle)
    for s in range(1, 20):
        world.market_price[:, WBTC] *= 0.95
        step(world, oracle, s)
        np.testing.assert_array_equal(oracle.price, world.market_price)


def test_a_later_snapshot_takes_over_at_its_hour(make_world):
    oracle = capped(
        first={"ratio": 25.0, "age_days": 100.0, "max_yearly_growth": 0.1},
        wrong={"ratio": 19.4, "age_days": 7.0, "max_yearly_growth": 0.1, "from_hours": 0.5},
    )
    world, oracle = bound(make_world, oracle)
    for s in range(148, 153):
        step(world, oracle, s)
        age = 7.0 * DAY + (s - 150) * 12.0
        cap = 19.4 * (1.0 + 0.1 * age / YEAR) * 2_000.0 if s >= 150 else 40_000.0
        np.testing.assert_allclose(oracle.price[:, WBTC], cap, rtol=1e-12)


def test_a_stablecoin_is_capped_from_above_only(make_world):
    world, oracle = bound(make_world, CappedOracle(base=SpotOracle(), stables={"DAI": 1.03}))
    for price, expected in ((1.0, 1.0), (1.03, 1.03), (1.2, 1.03), (0.4, 0.4)):
        world.market_price[:, DAI] = price
        step(world, oracle, 1)
        np.testing.assert_array_equal(oracle.price[:, DAI], expected)


def test_a_rate_knows_nothing_of_the_assets_own_market(make_world):
    rate = RateOracle(
        base=SpotOracle(), asset="WBTC", underlying="WETH", rate=20.0, yearly_growth=0.05
    )
    world, oracle = bound(make_world, rate, block_seconds=3_600.0)
    world.market_price[:, WBTC] = 1.0
    world.market_price[:, WETH] = 1_500.0
    step(world, oracle, 24 * 73)  # a fifth of a year
    np.testing.assert_allclose(oracle.price[:, WBTC], 20.0 * 1.01 * 1_500.0)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"factor": 1e-3}, 40.0),
        ({"ratio_to": "WETH"}, 20.0),
        (
            {"wrong": RateOracle(base=SpotOracle(), asset="WBTC", underlying="DAI", rate=5.0)},
            5.0,
        ),
    ],
)
def test_a_mistake_stands_for_its_hours_exactly(make_world, terms, expected):
    oracle = MisconfiguredOracle(
        base=SpotOracle(), asset="WBTC", start_hours=0.1, duration_hours=0.1, **terms
    )
    world, oracle = bound(make_world, oracle)
    for s in range(100):
        step(world, oracle, s)
        price = expected if 30 <= s < 60 else 40_000.0
        np.testing.assert_allclose(oracle.price[:, WBTC], price, rtol=1e-15)
        others = [WETH, USDC, DAI]
        np.testing.assert_array_equal(oracle.price[:, others], world.market_price[:, others])


def test_a_mistake_over_pushed_feeds_is_seen_in_the_block_of_the_report(make_world):
    oracle = MisconfiguredOracle(
        base=PushedOracle(latency_seconds=0.0), asset="WETH", factor=0.5, start_hours=0.0
    )
    world, oracle = bound(make_world, oracle)
    world.market_price[:, WETH] = 1_000.0
    rows = step(world, oracle, 1, include=False)
    assert (oracle.price[:, WETH] == 1_000.0).all()  # half of the old price
    world.run(oracle, rows)
    assert (oracle.price[:, WETH] == 500.0).all()


# --- copies, batches ------------------------------------------------------------------------------


def everything():
    """A median of all kinds, some of them nested."""
    return MedianOracle(
        parts={
            "pushed": PushedOracle(),
            "by_asset": FeedsOracle(base=DelayedOracle(), feeds={"WETH": PushedOracle()}),
            "ema": EmaOracle(base=capped(now={"ratio": 20.0, "age_days": 8.0,
                                              "max_yearly_growth": 0.1})),
            "twap": TwapOracle(base=PushedOracle(), pool="pool", asset="WETH", quote="USDC"),
            "wrong": wrong(1.01),
        }
    )  # fmt: skip


def walk(world, oracle, steps, start=0, n_worlds=3, ids=(0, 1, 2)):
    """Drive an oracle along a seeded market; include reports of even steps only."""
    log = []
    for s in range(start, start + steps):
        rng = np.random.default_rng(s)
        world.market_price[:] *= np.exp(0.004 * rng.standard_normal((n_worlds, 4)))[list(ids)]
        rows = step(world, oracle, s, include=s % 2 == 0)
        log.append(world.oracle_price.copy())
        log.append(rows["amount"].copy())
    return log


def test_snapshot_continues_as_if_uninterrupted(make_world):
    world, oracle = bound(make_world, everything())
    world.inputs["oracle_lag"][:] = 36.0
    walk(world, oracle, 200)
    kept = oracle.snapshot(), world.market_price.copy(), world.oracle_price.copy()
    first = walk(world, oracle, 200, start=200)
    oracle.restore(kept[0])
    world.market_price[:], world.oracle_price[:] = kept[1], kept[2]
    again = walk(world, oracle, 200, start=200)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_reset_starts_over(make_world):
    world, oracle = bound(make_world, everything())
    first = walk(world, oracle, 310)
    oracle.reset(np.ones(3, np.bool_))
    world.market_price[:], world.oracle_price[:] = world.fundamental, world.fundamental
    again = walk(world, oracle, 310)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_world_alone_equals_the_world_in_a_batch(make_world):
    world, oracle = bound(make_world, everything())
    walk(world, oracle, 310)
    lone, lone_oracle = bound(make_world, everything(), n_worlds=1)
    for s in range(310):
        rng = np.random.default_rng(s)
        lone.market_price[:] *= np.exp(0.004 * rng.standard_normal((3, 4)))[2:]
        step(lone, lone_oracle, s, include=s % 2 == 0)
    np.testing.assert_array_equal(lone.oracle_price[0], world.oracle_price[2])


def test_rollback_undoes_the_parts_too(make_world, make_rows):
    world, oracle = bound(make_world, FeedsOracle(base=PushedOracle()))
    world.step = 4
    views = {name: view for arena in oracle.arenas() for name, view in arena.views.items()}
    before = {name: view.copy() for name, view in views.items()}
    oracle.checkpoint(np.arange(3), np.zeros((3, 4), np.int64))
    good = {"verb": Verb.REPORT, "account": ORACLE, "asset": WETH, "amount": 1.0, "limit": 3.0}
    world.run(oracle, make_rows([{**good, "target": 0, "world": w} for w in range(3)]))
    oracle.rollback(np.array([0, 2]))
    for name, view in views.items():
        np.testing.assert_array_equal(view[[0, 2]], before[name][[0, 2]])
        moved = name in ("price", "answer_step", "updated_step")
        assert np.array_equal(view[1], before[name][1]) != moved


def test_kernels_run_as_plain_python(make_world, plain):
    world, oracle = bound(make_world, everything())
    world.inputs["oracle_lag"][0] = 20.0
    compiled = walk(world, oracle, 160)
    with plain(composite_module, oracle_module, pushed_module, twap_module, ema_module):
        mirror, slow = bound(make_world, everything())
        mirror.inputs["oracle_lag"][0] = 20.0
        log = walk(mirror, slow, 160)
    for a, b in zip(log, compiled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)  # exp and log of two libraries


# --- bad terms ------------------------------------------------------------------------------------


def snapshots(**terms):
    one = {"ratio": 1.0, "age_days": 9.0, "max_yearly_growth": 0.1}
    return {"one": one, "two": {**one, "from_hours": 1.0, **terms}}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FeedsOracle(base="pushed"), "base must describe an oracle with its _target_"),
        (lambda: FeedsOracle(base=SpotOracle(), feeds={"WETH": 3}), "feeds.WETH must describe an"),
        (lambda: MedianOracle(parts={"a": SpotOracle(), "b": None}), "two oracles or more"),
        (lambda: MisconfiguredOracle(base=SpotOracle(), asset="WETH"), "got none; set the others"),
        (
            lambda: MisconfiguredOracle(
                base=SpotOracle(), asset="WETH", factor=1.0, ratio_to="DAI"
            ),
            "exactly one of factor, ratio_to and wrong .* got factor, ratio_to",
        ),
        (lambda: wrong(-1.0), "factor must lie in"),
        (
            lambda: RateOracle(base=SpotOracle(), asset="DAI", underlying="DAI"),
            "asset and underlying must differ",
        ),
        (lambda: capped(**snapshots(age_days=6.9)), r"WBTC: snapshots.two.age_days must be at le"),
        (lambda: capped(**snapshots(age_days=9.1)), "snapshots.two must be of a later time"),
        (lambda: capped(two=snapshots()["two"]), "snapshots.two.from_hours must be 0"),
        (lambda: capped(), "snapshots must name at least one"),
        (lambda: capped(**snapshots(colour=1)), "ratios.WBTC: .*colour"),
        (lambda: capped(**snapshots(ratio=0.0)), "ratios.WBTC: ratio must lie in"),
        (lambda: CappedOracle(base=SpotOracle(), stables={"DAI": 2.1}), "stables.DAI must lie in"),
    ],
)
def test_bad_terms_are_named(make, sentence):
    with pytest.raises(ConfigError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "oracle",
    [
        FeedsOracle(base=SpotOracle(), feeds={"ETHW": SpotOracle()}),
        MisconfiguredOracle(base=SpotOracle(), asset="ETHW", factor=0.5),
        EmaOracle(base=SpotOracle(), assets=["ETHW"]),
        RateOracle(base=SpotOracle(), asset="DAI", underlying="ETHW"),
        CappedOracle(base=SpotOracle(), stables={"ETHW": 1.0}),
    ],
)
def test_an_unknown_asset_is_named(make_world, oracle):
    with pytest.raises(ConfigError, match="unknown asset ETHW"):
        bound(make_world, oracle)
