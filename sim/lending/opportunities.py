"""What liquidators look at: the best call on each liquidatable position, largest first."""

from typing import NamedTuple

import numpy as np

from sim.actions import Reject
from sim.kernel import F64, I32, I64, kernel
from sim.lending.health import position_health
from sim.lending.state import PooledState
from sim.lending.verbs import quote

OK = int(Reject.OK)
LEAVES_DUST = int(Reject.LEAVES_DUST)


class Opportunities(NamedTuple):
    """Liquidatable positions of all worlds, those of world w at `starts[w]:starts[w + 1]`.

    Sorted per world by debt to cover in USD, largest first, ties by position. The pair of assets is
    the position's largest collateral and largest debt by value.
    """

    starts: I64  # (W + 1,)
    position: I32  # (n,)
    collateral_asset: I32  # (n,) -1: no collateral
    debt_asset: I32  # (n,)
    debt_to_cover: F64  # (n,) tokens: the most that one call repays by all rules; 0: none may
    collateral_received: F64  # (n,) tokens that the liquidator gets for it
    collateral_available: F64  # (n,) tokens that the position has in that reserve
    health: F64  # (n,) health factor
    debt_to_cover_usd: F64  # (n,) at the oracle's prices
    debt_usd: F64  # (n,) all debt of the position at the oracle's prices


@kernel
def largest_assets(state: PooledState, prices: F64, w: int, p: int) -> tuple[int, int, float]:
    """Asset of a position's largest collateral and of its largest debt by value; -1: none.

    Also its debt in USD.
    """
    collateral_asset, debt_asset = -1, -1
    most_collateral, most_debt, total = 0.0, 0.0, 0.0
    for a in range(prices.shape[1]):
        reserve = state.reserves[w, a]
        if reserve["liquidation_threshold"] > 0.0:
            held = state.collateral[w, p, a] * (prices[w, a] * reserve["liquidity_index"])
            if held > most_collateral:
                most_collateral, collateral_asset = held, a
        owed = state.debt[w, p, a] * (prices[w, a] * reserve["borrow_index"])
        total += owed
        if owed > most_debt:
            most_debt, debt_asset = owed, a
    return collateral_asset, debt_asset, total


@kernel
def largest_call(
    state: PooledState, prices: F64, w: int, p: int, asset: int, asset_2: int
) -> tuple[float, float]:
    """Debt to cover and collateral received of the largest call that the rules allow.

    Where the most would leave dust, the most that leaves exactly the minimum of debt and of
    collateral is tried (the call after it may then take the rest).
    """
    code, repaid, received, _ = quote(state, prices, w, p, asset, asset_2, np.inf)
    if code == LEAVES_DUST:
        spare = 1.0 + 1e-9
        owed = state.debt[w, p, asset_2] * state.reserves[w, asset_2]["borrow_index"]
        held = state.collateral[w, p, asset] * state.reserves[w, asset]["liquidity_index"]
        least = state.market[w]["min_leftover"] * spare
        by_debt = owed - least / prices[w, asset_2]
        worth = (held * prices[w, asset] - least) / prices[w, asset_2]
        by_collateral = worth / (1.0 + state.reserves[w, asset]["liquidation_bonus"])
        amount = min(by_debt, by_collateral)
        if amount > 0.0:
            code, repaid, received, _ = quote(state, prices, w, p, asset, asset_2, amount)
    if code != OK:
        return 0.0, 0.0
    return repaid, received


@kernel
def rank(usd: F64, ids: I64, order: I64, start: int, end: int) -> None:
    """Sort `order[start:end]` by USD, largest first, then by position (Shell's sort, in place)."""
    gap = 1
    while gap < (end - start) // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(start + gap, end):
            one = order[i]
            j = i
            while j >= start + gap:
                other = order[j - gap]
                tie = usd[one] == usd[other]
                if usd[one] < usd[other] or (tie and ids[one] > ids[other]):
                    break
                order[j] = other
                j -= gap
            order[j] = one
        gap //= 3


@kernel
def survey(
    state: PooledState, prices: F64, ids: I64, starts: I64, usd: F64, order: I64, out: Opportunities
) -> None:
    """Fill the columns of `out` for the positions `ids`, sorted per world.

    `usd` and `order` are scratch of at least the length of `ids`.
    """
    for w in range(starts.shape[0] - 1):
        out.starts[w + 1] = starts[w + 1]
        for step in range(2):  # first what to sort by, then the columns in that order
            for k in range(starts[w], starts[w + 1]):
                i = k if step == 0 else order[k]
                p = ids[i]
                asset, asset_2, debt_usd = largest_assets(state, prices, w, p)
                covered, received, held = 0.0, 0.0, 0.0
                if asset >= 0 and asset_2 >= 0:
                    covered, received = largest_call(state, prices, w, p, asset, asset_2)
                    index = state.reserves[w, asset]["liquidity_index"]
                    held = state.collateral[w, p, asset] * index
                if step == 0:
                    order[k] = k
                    usd[k] = covered * prices[w, asset_2]
                    continue
                out.position[k] = p
                out.collateral_asset[k] = asset
                out.debt_asset[k] = asset_2
                out.debt_to_cover[k] = covered
                out.collateral_received[k] = received
                out.collateral_available[k] = held
                out.health[k] = position_health(state, prices, w, p)
                out.debt_to_cover_usd[k] = usd[i]
                out.debt_usd[k] = debt_usd
            if step == 0:
                rank(usd, ids, order, starts[w], starts[w + 1])


@kernel
def debt_of(state: PooledState, prices: F64, ids: I64, starts: I64, out: F64) -> None:
    """Debt in USD of the listed positions of each world, shape (world,)."""
    for w in range(starts.shape[0] - 1):
        total = 0.0
        for i in range(starts[w], starts[w + 1]):
            _, _, debt = largest_assets(state, prices, w, ids[i])
            total += debt
        out[w] = total
