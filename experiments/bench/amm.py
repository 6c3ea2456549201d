"""What exchanges cost: StableSwap, concentrated liquidity, and crvUSD's bands with their loans.

Rows go through the venues, as in a run: checks, ledger and results included.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from experiments.bench import Figure
from sim.actions import Verb, new_rows
from sim.kernel import Rows
from sim.venue import Venue

REPEATS = 7
TRADES = 100_000
BORROWERS, STEPS = 1_000, 2_000


def seated(venue: Venue, assets: tuple[str, ...], prices: tuple[float, ...]) -> Any:
    """World of one venue, whose trader has as many tokens as it wants."""
    from experiments.validation.alone import Alone

    world = Alone(assets, prices, ("venue", "trader"))
    for k in range(len(assets)):
        world.ledger.endow(1, k, 1e12)
    world.seat(venue)
    return world


def to_and_fro(n_assets: int, sizes: tuple[float, ...]) -> Rows:
    """Make swaps in a circle of the assets, of up to each one's size, so that no pool runs dry."""
    rows = new_rows(TRADES)
    k = np.arange(TRADES)
    rows["verb"], rows["account"] = Verb.SWAP, 1
    rows["asset"], rows["asset_2"] = k % n_assets, (k + 1) % n_assets
    spread = 0.5 + np.random.default_rng(0).random(TRADES)
    rows["amount"] = spread * np.array(sizes)[k % n_assets]
    return rows


def per_second(world: Any, venue: Venue, rows: Rows) -> float:
    """Rows a second, all of which must be executed; the first call compiles."""
    order = np.arange(rows.shape[0])
    starts, ends = np.zeros(1, np.int64), np.array([rows.shape[0]], np.int64)
    times = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        venue.execute(rows, order, starts, ends)
        times.append(time.perf_counter() - begun)
        if rows["code"].any():
            raise RuntimeError("the venue did not take every swap")
        venue.reset(np.ones(world.n_worlds, np.bool_))
    return float(rows.shape[0] / median(times[1:]))


def stableswap() -> list[Figure]:
    """Measure exchanges in a pool of two and of three coins."""
    from sim.amm.stableswap import StableSwapPool

    figures = []
    for names, bar in ((("USDC", "DAI"), None), (("USDC", "DAI", "USDT"), 2e6)):
        pool = StableSwapPool(coins=dict.fromkeys(names, 1.0), offpeg_multiplier=5.0)
        world = seated(pool, names, (1.0,) * len(names))
        rate = per_second(world, pool, to_and_fro(len(names), (10_000.0,) * len(names)))
        note = f"{TRADES:,} rows, one core, dynamic fee"
        figures.append(
            Figure(f"StableSwap exchanges, {len(names)} coins", rate, "/s", bar, True, note)
        )
    return figures


def concentrated() -> list[Figure]:
    """Measure swaps in a pool of five ranges, small ones and ones that cross ticks."""
    from sim.amm.concentrated import ConcentratedPool

    ranges = {"full": {"depth_usd": 2e7}}
    for k, width in enumerate((1.003, 1.02, 1.1, 2.0)):
        ranges[f"range_{k}"] = {"lower": 1.0 / width, "upper": width, "depth_usd": 1e7}
    figures = []
    for name, size, bar in (("within a range", 1e4, 3e6), ("across ticks", 2e6, None)):
        pool = ConcentratedPool(asset_0="WETH", asset_1="USDC", decimals_1=6, ranges=ranges)
        world = seated(pool, ("WETH", "USDC"), (2_000.0, 1.0))
        rate = per_second(world, pool, to_and_fro(2, (size / 2_000.0, size)))
        note = f"{TRADES:,} rows of up to ${1.5 * size:,.0f}, one core"
        figures.append(Figure(f"v3 swaps, {name}", rate, "/s", bar, True, note))
    return figures


def llamma() -> list[Figure]:
    """Measure steps of crvUSD: an oracle move, the trade that follows it, all health."""
    from sim.lending.crvusd import CrvUsdMarket
    from sim.lending.llamma import amount_for_price

    market = CrvUsdMarket(stable="DAI", debt_ceiling=1e9)
    rng = np.random.default_rng(0)
    collateral, debt = np.zeros((BORROWERS, 2)), np.zeros((BORROWERS, 2))
    collateral[:, 0] = rng.uniform(5.0, 50.0, BORROWERS)
    debt[:, 1] = collateral[:, 0] * 2_000.0 * rng.uniform(0.4, 0.84, BORROWERS)
    market.add_positions(1, collateral, debt)
    world = seated(market, ("WETH", "DAI"), (2_000.0, 1.0))
    prices = 2_000.0 * np.exp(np.cumsum(rng.normal(-5e-5, 2e-3, STEPS)))
    row = new_rows(1)
    row["verb"], row["account"] = Verb.SWAP, 1
    order, starts, ends = np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.int64)
    seconds, lowest, traded = [], np.inf, 0
    for _ in range(4):
        begun = time.perf_counter()
        for step in range(STEPS):
            world.step = step
            world.oracle_price[:, 0] = prices[step]
            market.accrue()
            lowest = min(lowest, float(market.health().min()))
            amount, pump = amount_for_price(market.bands, 0, prices[step])
            if amount > 0.0:
                row["asset"], row["asset_2"] = (1, 0) if pump else (0, 1)
                row["amount"] = amount
                market.execute(row, order, starts, ends)
                traded += int(row["code"][0] == 0)
        seconds.append(time.perf_counter() - begun)
        market.reset(np.ones(1, np.bool_))
    if not traded:
        raise RuntimeError("nobody traded with the bands")
    note = f"{BORROWERS:,} borrowers, health and arbitrage every step; lowest health {lowest:.2f}"
    rate = STEPS / float(median(seconds[1:]))
    return [Figure("crvUSD steps", rate, "/s", 5_000.0, True, note)]


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {
    "amm": [stableswap, concentrated, llamma],
}
