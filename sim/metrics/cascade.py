"""What broke: running extremes of a batch of worlds, block by block.

Metrics are pure functions of state and events; these are the ones that need every block, folded
into a few arrays so that no path has to be kept.
"""

from typing import NamedTuple

import numpy as np

from sim.kernel import F64, kernel
from sim.state import Arena


class Extremes(NamedTuple):
    """Running figures since the start, first axis world."""

    lowest_price: F64  # (world, asset) USD, market
    lowest_fundamental: F64  # (world, asset) USD, without the impact of trades
    deepest_push: F64  # (world, asset) largest 1 - market / fundamental: what trades did to a price
    widest_gap: F64  # (world,) largest |oracle / market - 1| over assets
    highest_base_fee: F64  # (world,) gwei: what a unit of gas had to offer to get in
    peak_backlog: F64  # (world,) USD of liquidatable debt standing
    backlog_hours: F64  # (world,) USD hours of liquidatable debt standing


def new_extremes(n_worlds: int, prices: F64) -> Extremes:
    """Allocate, with the present prices as the lowest so far."""
    n_assets = prices.shape[1]
    arena = Arena(
        n_worlds,
        {
            "lowest_price": (n_assets,),
            "lowest_fundamental": (n_assets,),
            "deepest_push": (n_assets,),
            **dict.fromkeys(Extremes._fields[3:], ()),
        },
    )
    extremes = Extremes(**arena.views)
    extremes.lowest_price[:] = prices
    extremes.lowest_fundamental[:] = prices
    return extremes


@kernel
def observe(extremes: Extremes, market: F64, fundamental: F64, oracle: F64, clearing: F64) -> None:
    """Fold one block into the extremes; prices (world, asset) in USD, clearing (world,) in gwei."""
    for w in range(market.shape[0]):
        gap = 0.0
        for a in range(market.shape[1]):
            extremes.lowest_price[w, a] = min(extremes.lowest_price[w, a], market[w, a])
            extremes.lowest_fundamental[w, a] = min(
                extremes.lowest_fundamental[w, a], fundamental[w, a]
            )
            extremes.deepest_push[w, a] = max(
                extremes.deepest_push[w, a], 1.0 - market[w, a] / fundamental[w, a]
            )
            gap = max(gap, abs(oracle[w, a] / market[w, a] - 1.0))
        extremes.widest_gap[w] = max(extremes.widest_gap[w], gap)
        extremes.highest_base_fee[w] = max(extremes.highest_base_fee[w], clearing[w])


@kernel
def observe_backlog(extremes: Extremes, backlog: F64, hours: float) -> None:
    """Fold the liquidatable debt (world,), USD, that stood for `hours` into the extremes."""
    for w in range(backlog.shape[0]):
        extremes.peak_backlog[w] = max(extremes.peak_backlog[w], backlog[w])
        extremes.backlog_hours[w] += backlog[w] * hours


def mean_wait_hours(extremes: Extremes, resolved_usd: F64, standing_usd: F64) -> F64:
    """Hours that a dollar of liquidatable debt stood before it was liquidated, shape (world,).

    Little's law: dollar hours of backlog over dollars that passed through it, which are those
    liquidated and those still standing at the end. 0 where nothing became liquidatable.
    """
    passed = resolved_usd + standing_usd
    return np.divide(extremes.backlog_hours, passed, out=np.zeros_like(passed), where=passed > 1e-9)
