"""The liquidation index finds exactly the unhealthy positions, whenever it was rebuilt."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sim.actions import Verb, new_rows
from sim.kernel import F64
from sim.lending.index import LiquidationIndex, collect, refresh
from sim.lending.liquidation import HEALTHY
from sim.lending.pooled import PooledMarket, PooledParams, ReserveParams

STABLE = ReserveParams(ltv=0.75, liquidation_threshold=0.8, slope_1=0.04, optimal_utilisation=0.9)


def book(rng: np.random.Generator, n: int, n_assets: int, prices: F64) -> tuple[F64, F64]:
    """Positions with health factors crowded around 1, over random subsets of assets."""
    collateral = rng.lognormal(0.0, 1.0, (n, n_assets)) * (rng.random((n, n_assets)) < 0.5)
    collateral[np.arange(n), rng.integers(0, n_assets, n)] += 1.0
    debt = rng.lognormal(0.0, 1.0, (n, n_assets)) * (rng.random((n, n_assets)) < 0.4)
    debt[rng.random(n) < 0.1] = 0.0
    collateral *= 1e4 / prices
    debt *= 1e4 / prices
    health = 1.0 + rng.gamma(2.0, 0.1, n) * rng.choice([1.0, -0.1], n, p=[0.95, 0.05])
    weighted = (collateral * prices * 0.8).sum(axis=1)
    owed = (debt * prices).sum(axis=1)
    scale = np.divide(weighted / health, owed, out=np.zeros(n), where=owed > 0.0)
    return collateral, debt * scale[:, None]


def build(
    stand_in: Callable[..., Any], rng: np.random.Generator, n_worlds: int, n: int, n_assets: int
) -> tuple[Any, PooledMarket]:
    assets = [f"A{a}" for a in range(n_assets)]
    prices = np.r_[rng.uniform(100.0, 5000.0, n_assets - 1), 1.0]
    world = stand_in(n_worlds, assets=assets, prices=prices)
    market = PooledMarket(PooledParams(reserves=dict.fromkeys(assets, STABLE)))
    collateral, debt = book(rng, n, n_assets, prices)
    market.add_positions("lenders", debt.sum(axis=0, keepdims=True) * 3.0, np.zeros((1, n_assets)))
    market.add_positions("borrowers", collateral, debt)
    world.seat(market)
    for a in range(n_assets):
        world.ledger.endow(3, a, 1e9)
        world.ledger.endow(2, a, 1e6)
    return world, market


def unhealthy(market: PooledMarket, prices: F64) -> list[list[int]]:
    """Brute force, in the kernels' order of operations."""
    state = market.state
    collateral = state.reserves["liquidity_index"] * prices
    collateral = collateral * state.reserves["liquidation_threshold"]
    debt = prices * state.reserves["borrow_index"]
    found = []
    for w in range(len(prices)):
        weighted = np.zeros(market.n_positions)
        owed = np.zeros(market.n_positions)
        for a in range(prices.shape[1]):
            weighted += state.collateral[w, :, a] * collateral[w, a]
            owed += state.debt[w, :, a] * debt[w, a]
        found.append(np.flatnonzero(weighted < owed * HEALTHY).tolist())
    return found


def listed(market: PooledMarket) -> list[list[int]]:
    ids, starts = market.liquidatable()
    return [ids[starts[w] : starts[w + 1]].tolist() for w in range(len(starts) - 1)]


def random_rows(rng: np.random.Generator, n: int, n_worlds: int, n_positions: int, n_assets: int):  # type: ignore[no-untyped-def]
    rows = new_rows(n)
    rows["world"] = rng.integers(0, n_worlds, n)
    rows["verb"] = rng.integers(1, 6, n)
    rows["target"] = rng.integers(0, n_positions, n)
    rows["account"] = np.where(rows["verb"] == Verb.LIQUIDATE, 3, 2)
    rows["asset"] = rng.integers(0, n_assets, n)
    rows["asset_2"] = rng.integers(0, n_assets, n)
    rows["amount"] = np.where(rng.random(n) < 0.5, np.inf, rng.lognormal(2.0, 3.0, n))
    return rows


@pytest.mark.parametrize(("n_assets", "seed"), [(2, 1), (4, 2), (4, 3), (9, 4)])
def test_index_equals_brute_force(stand_in: Callable[..., Any], n_assets: int, seed: int) -> None:
    """Through random prices, actions on risky positions, rollbacks, resets and restores."""
    rng = np.random.default_rng(seed)
    world, market = build(stand_in, rng, 3, 400, n_assets)
    sizes = []
    snapshot = market.snapshot()
    for step in range(400):
        world.step = step
        volatility = rng.choice([0.0, 0.002, 0.02, 0.1])
        world.oracle_price[:, :-1] *= np.exp(volatility * rng.normal(size=(3, n_assets - 1)))
        market.accrue()
        rows = random_rows(rng, 12, 3, market.n_positions, n_assets)
        found = unhealthy(market, world.oracle_price)
        for row in rows[:6]:
            if found[row["world"]]:
                row["target"] = rng.choice(found[row["world"]])
        if step % 7 == 0:
            worlds = np.arange(3)
            targets = np.full((3, 8), -1)
            for w in range(3):
                chosen = rows["target"][rows["world"] == w][:8]
                targets[w, : len(chosen)] = chosen
            market.checkpoint(worlds, targets)
            world.execute(market, rows)
            market.rollback(worlds)
        else:
            world.execute(market, rows)
        if step % 90 == 89:
            market.reset(np.array([True, False, True]))
        if step == 250:
            market.restore(snapshot)
        if step % 3 or step > 200:
            found = unhealthy(market, world.oracle_price)
            assert listed(market) == found, step
            sizes.append(sum(map(len, found)))
    assert max(sizes) > 100
    assert min(sizes) < 0.5 * max(sizes)


def test_price_change_inside_a_block_is_seen(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in, np.random.default_rng(5), 2, 200, 3)
    before = listed(market)
    world.oracle_price[:, 0] *= 0.7
    assert listed(market) == unhealthy(market, world.oracle_price)
    assert listed(market) != before


def test_changed_threshold_is_seen(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in, np.random.default_rng(6), 2, 200, 3)
    before = listed(market)
    market.vary("ltv", "A0", np.full(2, 0.4))
    market.vary("liquidation_threshold", "A0", np.array([0.5, 0.8]))
    after = listed(market)
    assert after == unhealthy(market, world.oracle_price)
    assert len(after[0]) > len(before[0])
    assert after[1] == before[1]


def test_opportunities_are_sorted_and_executable(stand_in: Callable[..., Any]) -> None:
    """Announced amounts are what `execute` then does; one position after the other."""
    world, market = build(stand_in, np.random.default_rng(7), 2, 300, 4)
    world.oracle_price[:, 0] *= 0.8
    found = market.opportunities()
    for w in range(2):
        part = slice(found.starts[w], found.starts[w + 1])
        assert (np.diff(found.debt_usd[part]) <= 0.0).all()
        assert sorted(found.position[part].tolist()) == listed(market)[w]
    part = slice(found.starts[0], found.starts[1])
    columns = [np.array(column[part]) for column in found[1:]]
    some = 0
    for p, asset, asset_2, cover, received, available, _, debt_usd in zip(*columns, strict=True):
        assert received <= available
        assert debt_usd > 0.0
        row = world.act(
            market, Verb.LIQUIDATE, account=3, target=p, asset=asset, asset_2=asset_2, amount=cover
        )
        if cover > 0.0 and row["code"] == 0:
            some += 1
            assert row["r0"] == pytest.approx(cover, rel=1e-12)
            assert row["r1"] == pytest.approx(received, rel=1e-12)
    assert some > 20


def test_worlds_do_not_mix(stand_in: Callable[..., Any]) -> None:
    """A world alone and the same world in a batch are bit-identical."""
    outcomes = []
    for worlds in ([0, 1, 2], [1]):
        world, market = build(stand_in, np.random.default_rng(8), len(worlds), 150, 3)
        seen = []
        for step in range(80):
            world.step = step
            for i, w in enumerate(worlds):
                shock = np.random.default_rng([w, step])
                world.oracle_price[i, :-1] *= np.exp(0.02 * shock.normal(size=2))
            market.accrue()
            parts = []
            for i, w in enumerate(worlds):
                rows = random_rows(np.random.default_rng([w, step, 1]), 5, 1, 151, 3)
                rows["world"] = i
                parts.append(rows)
            rows = np.concatenate(parts)
            world.execute(market, rows)
            one = worlds.index(1)
            opportunities = market.opportunities()
            part = slice(opportunities.starts[one], opportunities.starts[one + 1])
            seen.append(
                [c[part].tobytes() for c in opportunities[1:]]
                + [market.state.reserves[one].tobytes(), market.state.debt[one].tobytes()]
                + [rows[name][rows["world"] == one].tobytes() for name in ("code", "r0", "r3")]
            )
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


def test_the_longest_list_and_the_floor_leave_out_the_smallest(
    stand_in: Callable[..., Any],
) -> None:
    """`most` keeps the largest debts in their order; `floor` drops debts under it, and only them.

    A position is left out where no call can cover the floor: its largest debt or its largest
    collateral is worth less. So everything listed owes at least the floor, and everything whose
    best call covers the floor is listed.
    """
    world, market = build(stand_in, np.random.default_rng(10), 2, 300, 4)
    world.oracle_price[:, 0] *= 0.8
    table = market.opportunities()
    everything = [column.copy() for column in table]
    position, covered, owed = everything[1], everything[7], everything[8]
    starts = everything[0]
    assert (np.diff(starts) > 20).all()
    some = market.opportunities(most=7)
    np.testing.assert_array_equal(some.starts, [0, 7, 14])
    for w in range(2):
        np.testing.assert_array_equal(
            some.position[7 * w : 7 * w + 7], position[starts[w] : starts[w] + 7]
        )
    floor = np.quantile(owed, [0.5, 0.8])
    large = market.opportunities(floor)
    for w in range(2):
        span = slice(starts[w], starts[w + 1])
        listed_now = set(large.position[large.starts[w] : large.starts[w + 1]].tolist())
        assert listed_now <= set(position[span][owed[span] >= floor[w]].tolist())
        assert listed_now >= set(position[span][covered[span] >= floor[w] * (1 + 1e-9)].tolist())
        assert 0 < len(listed_now) < starts[w + 1] - starts[w]


def test_refresh_and_collect_as_plain_python(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in, np.random.default_rng(9), 2, 60, 3)
    expected = listed(market)
    index = LiquidationIndex(*(np.array(array) for array in market.index_state))
    index.lists["stale"] = 1
    ids, starts = np.zeros(200, np.int64), np.zeros(3, np.int64)
    assert refresh.py_func(index, market.state, world.oracle_price) == 0  # type: ignore[attr-defined]
    assert collect.py_func(index, market.state, ids, starts) == 0  # type: ignore[attr-defined]
    assert [ids[starts[w] : starts[w + 1]].tolist() for w in range(2)] == expected
