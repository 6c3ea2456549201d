"""The best trade with a pool of each kind against a search over the pool's own quotes."""

import numpy as np
import pytest

from experiments.validation.alone import Alone
from sim.actions import Reject, Verb
from sim.amm.concentrated import ConcentratedPool, pool_quote
from sim.amm.constant_product import ConstantProductPool
from sim.amm.constant_product import pool_quote as constant_product_quote
from sim.amm.ranges import ConcentratedState, trade
from sim.amm.stableswap import StableSwapPool, StableSwapState, amount_out
from sim.kernel import kernel
from sim.lending.crvusd import CrvUsdMarket
from sim.pools import BandPool, best_swap

NAMES = ("A", "B", "C", "D")


@kernel
def best(pool, w, i, j, cost, most):
    """Resolve `best_swap` as the kernels of agents do."""
    return best_swap(pool, w, i, j, cost, most)


def seated(venue, prices):
    world = Alone(NAMES[: len(prices)], prices, ("venue", "trader"))
    for k in range(len(prices)):
        world.ledger.endow(1, k, 1e12)
    return world, world.seat(venue)


def swap(world, venue, i, j, amount):
    return world.act(venue, Verb.SWAP, account=1, asset=i, asset_2=j, amount=amount)


def concentrated(rng):
    """A pool of five random ranges, with holes between them, off its first price."""
    ranges = {}
    for k in range(5):
        low = rng.uniform(0.7, 1.2)
        depth = 10.0 ** rng.uniform(5.0, 7.0)
        ranges[str(k)] = {"lower": low, "upper": low * rng.uniform(1.01, 1.4), "depth_usd": depth}
    fee = float(rng.choice([5.0, 30.0, 100.0]))
    pool = ConcentratedPool(asset_0="A", asset_1="B", fee_bps=fee, tick_spacing=10, ranges=ranges)
    world, pool = seated(pool, (5.0, 2.0))
    for _ in range(3):
        i = int(rng.integers(2))
        swap(world, pool, i, 1 - i, 10.0 ** rng.uniform(2.0, 6.0))
    return world, pool, float(pool.state.root[0] ** 2)


def constant_product(rng):
    pool = ConstantProductPool(asset_0="A", asset_1="B", fee_bps=float(rng.choice([5.0, 30.0])))
    world, pool = seated(pool, (5.0, 2.0))
    i = int(rng.integers(2))
    swap(world, pool, i, 1 - i, 10.0 ** rng.uniform(2.0, 6.0))
    return world, pool, float(pool.state.reserves[0, 1] / pool.state.reserves[0, 0])


def stableswap(rng):
    """A pool of two to four coins off its balance; fees constant or not."""
    n = int(rng.integers(2, 5))
    pool = StableSwapPool(
        coins={name: float(rng.uniform(0.2, 1.0)) for name in NAMES[:n]}, depth_usd=1e7,
        rates={"A": 1.07}, amplification=float(rng.choice([5.0, 100.0, 2_000.0])),
        fee_bps=float(rng.choice([0.0, 1.0, 4.0, 50.0])),
        offpeg_multiplier=float(rng.choice([1.0, 5.0, 20.0])),
    )  # fmt: skip
    world, pool = seated(pool, (1.07, 1.0, 1.0, 1.0)[:n])
    for _ in range(3):
        i, j = rng.permutation(n)[:2]
        swap(world, pool, int(i), int(j), 10.0 ** rng.uniform(4.0, 6.0))
    return world, pool, float(pool.state.rates[0] / pool.state.rates[1])


def paid_out(state, i, j, amount):
    """What the pool pays for an amount, all that it can take of it; and how much it takes."""
    if isinstance(state, ConcentratedState):
        limit = 1e-9 if i == 0 else 1e9
        trade(state, 0, i == 0, amount, False, limit)
        return state.found[1], state.found[0]
    if isinstance(state, StableSwapState):
        out, fee = amount_out(state, 0, i, j, amount)
        return (out, amount) if out + fee < state.balances[0, j] * (1.0 - 1e-9) else (0.0, amount)
    return constant_product_quote(state, 0, i, j, amount), amount


def searched(state, i, j, cost, most):
    """Most that any amount brings, on a grid refined four times around the best."""
    grid, best_of_all = np.concatenate([[0.0], np.geomspace(most * 1e-9, most, 2_000)]), 0.0
    for _ in range(4):
        gains = []
        for amount in grid:
            out, taken = paid_out(state, i, j, amount) if amount > 0.0 else (0.0, 0.0)
            gains.append(out - cost * taken)
        k = int(np.argmax(gains))
        best_of_all = max(best_of_all, gains[k])
        grid = np.linspace(grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)], 200)
    return best_of_all


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("make", [concentrated, constant_product, stableswap])
def test_no_amount_beats_it(make, seed):
    rng = np.random.default_rng(seed)
    world, pool, mid = make(rng)
    state, traded = pool.state, 0
    n = len(state.assets)
    for _ in range(8):
        i, j = (int(k) for k in rng.permutation(n)[:2])
        wide = 0.02 if make is stableswap else 0.2
        price = mid if i == 0 else 1.0 / mid
        if make is stableswap:
            price = float(state.rates[i] / state.rates[j])
        cost = price * np.exp(rng.normal(-0.3 * wide, wide))
        most = float(rng.choice([3e7, 10.0 ** rng.uniform(2.0, 5.0)]))
        amount, out = best(state, 0, i, j, cost, most)
        assert 0.0 <= amount <= most
        gain, expected = out - cost * amount, searched(state, i, j, cost, most)
        assert gain >= expected * (1.0 - 1e-6) - 1e-9
        if gain <= 0.0:
            continue
        traded += 1
        before = pool.arena.snapshot(), world.ledger.arena.snapshot()
        done = swap(world, pool, i, j, amount)
        assert done["code"] == Reject.OK
        assert done["r1"] == pytest.approx(out, rel=1e-9)
        pool.arena.restore(before[0])
        world.ledger.arena.restore(before[1])
        assert gain <= expected * (1.0 + 1e-5) + 1e-6
    assert traded > 1


def test_the_pool_takes_the_quoted_amount_whole():
    """A price outside that no range reaches: the trade ends with the last liquidity."""
    rng = np.random.default_rng(1)
    world, pool, mid = concentrated(rng)
    amount, out = best(pool.state, 0, 0, 1, mid * 1e-6, 1e11)
    assert 0.0 < amount < 1e11
    assert pool_quote(pool.state, 0, 0, 1, amount) == pytest.approx(out, rel=1e-9)
    assert swap(world, pool, 0, 1, amount)["code"] == Reject.OK


def test_bands_are_a_pool_too():
    world = Alone(("WETH", "DAI"), (2_000.0, 1.0), ("venue", "alice"))
    market = CrvUsdMarket(stable="DAI")
    market.add_positions(1, np.array([[10.0, 0.0]]), np.array([[0.0, 15_000.0]]))
    world.seat(market)
    world.oracle_price[:, 0] = 1_700.0
    world.step = 1_000
    market.look()
    pool = BandPool(market.bands, market.state.assets)
    amount, out = best(pool, 0, 1, 0, 1.0 / 1_750.0, 1e9)  # DAI in, WETH out
    assert amount > 0.0
    assert out > amount / 1_750.0
    assert best(pool, 0, 0, 1, 1_750.0, 1e9) == (0.0, 0.0)


@pytest.mark.parametrize("make", [concentrated, constant_product, stableswap])
def test_plain_python_agrees(make):
    _, pool, mid = make(np.random.default_rng(2))
    for cost in (0.9 * mid, 0.99 * mid, 1.1 * mid):
        assert best_swap(pool.state, 0, 0, 1, cost, 1e6) == best(pool.state, 0, 0, 1, cost, 1e6)
