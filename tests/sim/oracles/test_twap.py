"""Time-weighted and exponential averages against slow implementations and closed forms."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from sim.actions import Verb
from sim.amm.concentrated import ConcentratedPool
from sim.amm.constant_product import ConstantProductPool
from sim.amm.stableswap import StableSwapPool
from sim.errors import ConfigError
from sim.oracles.ema import EmaOracle
from sim.oracles.spot import SpotOracle
from sim.oracles.twap import TwapOracle

WETH, WBTC, USDC, DAI = range(4)
BLOCK = 12.0


class Quoted:
    """A pool whose price the test sets."""

    def __init__(self, n_worlds, assets=(WETH, USDC)):
        self.state = SimpleNamespace(assets=np.array(assets))
        self.price = np.full(n_worlds, 2_000.0)

    def mid_price(self, asset, quote):
        assert (asset, quote) == (WETH, USDC)
        return self.price


def bound(make_world, oracle, pool=None, **terms):
    world = make_world(block_seconds=BLOCK, **terms)
    world.venues = {"pool": pool or Quoted(world.n_worlds)}
    oracle.attach(world, "oracle", 5, 1)
    return world, world.venues["pool"]


def twap(**terms):
    return TwapOracle(base=SpotOracle(), pool="pool", asset="WETH", quote="USDC", **terms)


def ticks(price):
    return math.floor(math.log(price) / math.log(1.0001))


class Contract:
    """`Oracle.sol` and `OracleLibrary.consult` in integers, one observation per block."""

    def __init__(self, tick, time):
        self.observations = [(time, 0)]
        self.tick = tick

    def write(self, time, tick):
        """The first trade of a block books the tick that has stood since the last observation."""
        last, total = self.observations[-1]
        self.observations.append((time, total + self.tick * (time - last)))
        self.tick = tick

    def observe(self, time):
        if time >= self.observations[-1][0]:
            last, total = self.observations[-1]
            return total + self.tick * (time - last)
        for (t0, c0), (t1, c1) in zip(self.observations, self.observations[1:], strict=False):
            if t0 <= time <= t1:
                step = (c1 - c0) // (t1 - t0) if c1 >= c0 else -((c0 - c1) // (t1 - t0))
                return c0 + step * (time - t0)
        raise AssertionError(f"no observation before {time}")

    def consult(self, now, window, lag):
        delta = self.observe(now - lag) - self.observe(now - lag - window)
        return delta // window  # Python rounds to negative infinity, as the library does


@pytest.mark.parametrize("scale", [1.0, 1e-3])  # prices above and below 1: ticks of either sign
@pytest.mark.parametrize(("window", "lag"), [(1_800, 0), (1_000, 0), (12, 0), (1_800, 40)])
def test_twap_agrees_with_the_contracts_integers(make_world, window, lag, scale):
    world, pool = bound(make_world, oracle := twap(window_seconds=window), n_worlds=1)
    pool.price[:] = 2_000.0
    rng = np.random.default_rng(3)
    contract = Contract(ticks(2_000.0 * scale), -10_000)
    world.inputs["oracle_lag"][:] = lag
    for step in range(400):
        world.step = step
        oracle.update()
        expected = 1.0001 ** contract.consult(round(step * BLOCK), window, lag) / scale
        assert oracle.price[0, WETH] == pytest.approx(expected, rel=2.1e-4)  # two ticks
        pool.price *= np.exp(0.01 * rng.standard_normal())  # trades of this block
        contract.write(round(step * BLOCK), ticks(pool.price[0] * scale))


@pytest.mark.parametrize("window", [600.0, 1_000.0, 7.0, 0.0])
def test_twap_is_the_mean_of_the_log_price_over_the_window(make_world, window):
    world, pool = bound(make_world, oracle := twap(window_seconds=window))
    rng = np.random.default_rng(4)
    log = [np.log(pool.price)]  # log[s]: price as step s opens, which has stood for the block
    for step in range(1, 150):
        pool.price *= np.exp(0.02 * rng.standard_normal(3))
        log.append(np.log(pool.price))
        world.step = step
        oracle.update()
        seconds = step * BLOCK - (np.arange(4_000) + 0.5) / 4_000 * (window or BLOCK)
        place = np.clip(np.ceil(seconds / BLOCK).astype(int), 0, step)  # before 0: the first price
        mean = np.array(log)[place].mean(axis=0)
        np.testing.assert_allclose(np.log(oracle.price[:, WETH]), mean, atol=1e-4)


def test_a_spike_of_one_block_weighs_that_block_and_passes(make_world):
    n = 150
    world, pool = bound(make_world, oracle := twap(window_seconds=n * BLOCK))
    seen = []
    for step in range(1, 3 * n):
        pool.price[:] = 2_000.0 * (50.0 if step == 20 else 1.0)
        world.step = step
        oracle.update()
        seen.append(oracle.price[0, WETH] / 2_000.0)
    held = np.array([1.0] * 19 + [50.0 ** (1 / n)] * n + [1.0] * (2 * n - 20))
    np.testing.assert_allclose(seen, held, rtol=1e-9)


def test_what_is_undone_within_a_block_leaves_no_trace_in_a_twap(make_world, make_rows):
    pool = ConstantProductPool(asset_0="WETH", asset_1="USDC", depth_usd=1e6, fee_bps=0.0)
    world = make_world(block_seconds=BLOCK)
    world.venues = {"pool": pool}
    pool.attach(world, "pool", 0, 0)
    oracle = twap(window_seconds=10 * BLOCK)
    oracle.attach(world, "oracle", 5, 1)
    world.ledger.endow(2, USDC, 1e7)
    world.ledger.endow(2, WETH, 1e4)

    def swap(asset, other, amount):
        row = {"world": 0, "verb": Verb.SWAP, "asset": asset, "asset_2": other, "amount": amount}
        return world.run(pool, make_rows([row]))[0]["r1"]

    def price(step):
        world.step = step
        oracle.update()
        return oracle.price[0, WETH]

    assert price(1) == pytest.approx(2_000.0)
    bought = swap(USDC, WETH, 1e6)  # doubles the reserve of USDC: the price is four times as high
    swap(WETH, USDC, bought)
    assert price(2) == pytest.approx(2_000.0)
    bought = swap(USDC, WETH, 1e6)
    assert price(3) == pytest.approx(2_000.0 * 4.0**0.1)  # one block of ten
    swap(WETH, USDC, bought)
    assert price(4) == pytest.approx(2_000.0 * 4.0**0.1)


def test_a_halt_holds_the_price_while_the_pool_adds_up(make_world):
    world, pool = bound(make_world, oracle := twap(window_seconds=10 * BLOCK))
    pool.price[:] = 1_000.0
    for step in range(1, 30):
        world.inputs["oracle_halted"][0, WETH] = float(5 <= step < 20)
        world.market_price[:, WBTC] = 40_000.0 + step
        world.step = step
        oracle.update()
        assert oracle.price[0, WBTC] == 40_000.0 + step
        halved = 0.5 ** (min(step, 10) / 10)
        assert oracle.price[1, WETH] == pytest.approx(2_000.0 * halved)
        stands = 0.5**0.4 if 5 <= step < 20 else halved
        assert oracle.price[0, WETH] == pytest.approx(2_000.0 * stands)


def test_the_quote_is_priced_by_the_base(make_world):
    world, _ = bound(make_world, oracle := twap())
    world.market_price[:, USDC] = 0.9
    world.step = 1
    oracle.update()
    np.testing.assert_allclose(oracle.price[:, WETH], 1_800.0)


@pytest.mark.parametrize(
    ("pool", "pair"),
    [
        (ConstantProductPool(asset_0="WETH", asset_1="USDC", fee_bps=0.0), (WETH, USDC)),
        (ConcentratedPool(asset_0="WETH", asset_1="USDC", fee_bps=0.0), (WETH, USDC)),
        (
            StableSwapPool(coins={"USDC": 0.8, "DAI": 0.2}, fee_bps=0.0, amplification=50.0),
            (USDC, DAI),
        ),
        (
            StableSwapPool(
                coins={"WETH": 0.3, "WBTC": 0.7}, rates={"WBTC": 20.0}, fee_bps=0.0, depth_usd=1e7
            ),
            (WBTC, WETH),
        ),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_pools_price_is_what_a_small_trade_pays(make_world, make_rows, pool, pair, turned):
    world = make_world()
    pool.attach(world, "pool", 0, 0)
    asset, quote = reversed(pair) if turned else pair
    for k in pair:
        world.ledger.endow(2, k, 1e9)
    for tilt in (0.0, 1e5):  # USD: also away from the initial price
        if tilt:
            amount = tilt / world.market_price[0, quote]
            world.run(
                pool, make_rows([{"asset": quote, "asset_2": asset, "amount": amount, "world": 0}])
            )
        mid = pool.mid_price(asset, quote)
        small = 1e-4 / world.market_price[0, asset]
        row = make_rows([{"asset": asset, "asset_2": quote, "amount": small, "world": 0}])
        paid = world.run(pool, row)[0]["r1"] / small
        assert mid[0] == pytest.approx(paid, rel=1e-8)
    np.testing.assert_allclose(pool.mid_price(quote, asset) * pool.mid_price(asset, quote), 1.0)


# --- exponential average --------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [range(1, 41), [1, 2, 9, 10, 31, 40], [40]])
def test_ema_after_a_jump_depends_on_elapsed_time_alone(make_world, steps):
    world, _ = bound(make_world, oracle := EmaOracle(base=SpotOracle(), ma_exp_time=300.0))
    world.market_price[:, WETH] = 1_000.0
    for step in steps:
        world.step = step
        oracle.update()
        decayed = math.exp(-step * BLOCK / 300.0)
        np.testing.assert_allclose(oracle.price[:, WETH], 1_000.0 + 1_000.0 * decayed, rtol=1e-12)
    oracle.update()  # in the same block: no time has passed
    np.testing.assert_allclose(oracle.price[:, WETH], 1_000.0 + 1_000.0 * decayed, rtol=1e-12)


def test_ema_follows_the_contract_step_by_step(make_world):
    times = {"WETH": 866.0, "WBTC": 60.0}
    oracle = EmaOracle(base=SpotOracle(), ma_exp_time=times, assets=["WETH", "WBTC"])
    world, _ = bound(make_world, oracle)
    rng, last = np.random.default_rng(5), {WETH: 2_000.0, WBTC: 40_000.0}
    at = 0
    for step in np.cumsum(rng.integers(1, 9, 100)):  # irregular block times
        world.market_price *= np.exp(0.02 * rng.standard_normal((1, 4)))
        world.step = int(step)
        oracle.update()
        for k, name in ((WETH, "WETH"), (WBTC, "WBTC")):
            alpha = math.exp(-(step - at) * BLOCK / times[name])
            last[k] = world.market_price[0, k] * (1.0 - alpha) + last[k] * alpha
            assert oracle.price[0, k] == pytest.approx(last[k], rel=1e-12)
        np.testing.assert_array_equal(oracle.price[:, USDC], world.market_price[:, USDC])
        at = step


def test_a_spike_of_one_block_moves_an_ema_by_its_weight_and_fades(make_world):
    world, _ = bound(make_world, oracle := EmaOracle(base=SpotOracle(), ma_exp_time=600.0))
    for step in range(1, 60):
        world.market_price[:, WETH] = 4_000.0 if step == 1 else 2_000.0
        world.step = step
        oracle.update()
        gap = (1.0 - math.exp(-BLOCK / 600.0)) * 2_000.0 * math.exp(-(step - 1) * BLOCK / 600.0)
        np.testing.assert_allclose(oracle.price[:, WETH], 2_000.0 + gap, rtol=1e-12)


@pytest.mark.parametrize(
    ("terms", "pool", "sentence"),
    [
        ({"pool": "none"}, None, r"oracle.pool must name a pool of this world, got 'none'"),
        ({}, (WBTC, USDC), r"oracle.asset must be held by the pool pool, which has WBTC, USDC"),
        ({}, (WETH, DAI), r"oracle.quote must be held by the pool"),
        ({"quote": "WETH"}, None, "asset and quote must differ"),
        ({"window_seconds": -1.0}, None, "window_seconds must lie in"),
    ],
)
def test_bad_terms_of_a_twap_are_named(make_world, terms, pool, sentence):
    given = {"pool": "pool", "asset": "WETH", "quote": "USDC", **terms}
    with pytest.raises(ConfigError, match=sentence):
        bound(make_world, TwapOracle(base=SpotOracle(), **given), Quoted(3, pool) if pool else None)


def test_a_lag_beyond_the_memory_of_a_twap_is_an_error(make_world):
    world, _ = bound(make_world, oracle := twap(max_lag_seconds=60.0))
    world.inputs["oracle_lag"][1, WETH] = 61.0
    world.step = 1
    with pytest.raises(ConfigError, match=r"oracle: max_lag_seconds must cover .* lag of 61 s"):
        oracle.update()


def test_bad_terms_of_an_ema_are_named(make_world):
    with pytest.raises(ConfigError, match=r"ma_exp_time must lie in \(0"):
        EmaOracle(base=SpotOracle(), ma_exp_time=0.0)
    with pytest.raises(ConfigError, match=r"oracle.ma_exp_time must name every asset"):
        bound(make_world, EmaOracle(base=SpotOracle(), ma_exp_time={"WETH": 60.0}))
