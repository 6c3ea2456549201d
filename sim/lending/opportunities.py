"""What liquidators look at: the best call on each liquidatable position, largest first."""

from typing import NamedTuple

import numpy as np

from sim.actions import Reject
from sim.kernel import F64, I32, I64, inlined, kernel
from sim.lending.health import position_values
from sim.lending.index import LiquidationIndex, fill_masks, n_worth, unhealthy_debt
from sim.lending.state import LIFT, PooledState, bonus_of, lift_of, mode_of
from sim.lending.verbs import quote_valued

OK = int(Reject.OK)
LEAVES_DUST = int(Reject.LEAVES_DUST)

PARTS = 2.0**30  # of a dollar, in which a backlog is summed
LARGEST_USD = 1e14  # of one position that a backlog counts; int64 holds 90,000 such


class Opportunities(NamedTuple):
    """Liquidatable positions of all worlds, those of world w at `starts[w]:starts[w + 1]`.

    Sorted per world by debt in USD, largest first, ties by position. The pair of assets is
    the position's largest collateral and largest debt by value.
    """

    starts: I64  # (W + 1,)
    position: I32  # (n,)
    collateral_asset: I32  # (n,) -1: no collateral
    debt_asset: I32  # (n,)
    debt_to_cover: F64  # (n,) tokens: the most that one call repays by all rules; 0: none may
    collateral_received: F64  # (n,) tokens that the liquidator gets for it
    collateral_available: F64  # (n,) tokens that the position has in that reserve
    debt_to_cover_usd: F64  # (n,) at the oracle's prices
    debt_usd: F64  # (n,) all debt of the position at the oracle's prices


def new_table(n_worlds: int, room: int) -> Opportunities:
    """Allocate room for so many entries over all worlds."""
    starts = np.zeros(n_worlds + 1, np.int64)
    ids: list[I32] = [np.zeros(room, np.int32) for _ in range(3)]
    usd: list[F64] = [np.zeros(room) for _ in range(5)]
    return Opportunities(starts, ids[0], ids[1], ids[2], *usd)


def first_entries(table: Opportunities, n: int) -> Opportunities:
    """See the first n entries of a table; no copy."""
    t = table
    return Opportunities(
        t.starts, t.position[:n], t.collateral_asset[:n], t.debt_asset[:n], t.debt_to_cover[:n],
        t.collateral_received[:n], t.collateral_available[:n], t.debt_to_cover_usd[:n],
        t.debt_usd[:n],
    )  # fmt: skip


@inlined
def largest_assets(
    state: PooledState, prices: F64, w: int, p: int
) -> tuple[int, int, float, float]:
    """Asset of a position's largest collateral and of its largest debt by value; -1: none.

    Also its threshold-weighted collateral and its debt in USD, as `health.position_values` has it.
    """
    collateral_asset, debt_asset = -1, -1
    most_collateral, most_debt, weighted, total = 0.0, 0.0, 0.0, 0.0
    mode = mode_of(state, w, p)
    for a in range(prices.shape[1]):
        reserve = state.reserves[w, a]
        held = state.collateral[w, p, a]
        threshold = reserve["liquidation_threshold"]
        if held > 0.0 and threshold > 0.0:
            value = prices[w, a] * reserve["liquidity_index"]
            weighted += held * (value * threshold) * lift_of(state, mode, a, LIFT)
            if held * value > most_collateral:
                most_collateral, collateral_asset = held * value, a
        owed = state.debt[w, p, a]
        if owed > 0.0:
            owed *= prices[w, a] * reserve["borrow_index"]
            total += owed
            if owed > most_debt:
                most_debt, debt_asset = owed, a
    return collateral_asset, debt_asset, weighted, total


@inlined
def largest_call(
    state: PooledState, prices: F64, w: int, p: int, asset: int, asset_2: int, weighted: float,
    debt_usd: float,
) -> tuple[float, float]:  # fmt: skip
    """Debt to cover and collateral received of the largest call that the rules allow.

    Where the most would leave dust, the most that leaves exactly the minimum of debt and of
    collateral is tried (the call after it may then take the rest).
    """
    code, repaid, received, _ = quote_valued(
        state, prices, w, p, asset, asset_2, np.inf, weighted, debt_usd
    )
    if code == LEAVES_DUST:
        spare = 1.0 + 1e-9
        owed = state.debt[w, p, asset_2] * state.reserves[w, asset_2]["borrow_index"]
        held = state.collateral[w, p, asset] * state.reserves[w, asset]["liquidity_index"]
        least = state.market[w]["min_leftover"] * spare
        by_debt = owed - least / prices[w, asset_2]
        worth = (held * prices[w, asset] - least) / prices[w, asset_2]
        by_collateral = worth / (1.0 + bonus_of(state, w, p, asset))
        amount = min(by_debt, by_collateral)
        if amount > 0.0:
            code, repaid, received, _ = quote_valued(
                state, prices, w, p, asset, asset_2, amount, weighted, debt_usd
            )
    if code != OK:
        return 0.0, 0.0
    return repaid, received


@inlined
def before(usd: F64, ids: I64, i: int, j: int) -> bool:
    """Whether entry i comes before entry j: more USD, else the lower position."""
    return bool(usd[i] > usd[j] or (usd[i] == usd[j] and ids[i] < ids[j]))


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
def select(usd: F64, ids: I64, order: I64, start: int, end: int, most: int) -> None:
    """Bring the first `most` of `order[start:end]` by `before` to the front (quickselect)."""
    low, high = start, end - 1
    place = start + most - 1
    while low < high:
        pivot = order[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while before(usd, ids, order[i], pivot):
                i += 1
            while before(usd, ids, pivot, order[j]):
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            return


@inlined
def write(
    state: PooledState, prices: F64, w: int, p: int, out: Opportunities, k: int, quoted: bool
) -> None:
    """Write the k-th entry; what the call covers and pays only where `quoted`."""
    asset, asset_2, weighted, debt_usd = largest_assets(state, prices, w, p)
    covered, received, available = 0.0, 0.0, 0.0
    if asset >= 0 and asset_2 >= 0:
        if quoted:
            covered, received = largest_call(
                state, prices, w, p, asset, asset_2, weighted, debt_usd
            )
        available = state.collateral[w, p, asset] * state.reserves[w, asset]["liquidity_index"]
    out.position[k] = p
    out.collateral_asset[k] = asset
    out.debt_asset[k] = asset_2
    out.debt_to_cover[k] = covered
    out.collateral_received[k] = received
    out.collateral_available[k] = available
    out.debt_to_cover_usd[k] = covered * prices[w, asset_2]
    out.debt_usd[k] = debt_usd


@kernel
def survey(
    index: LiquidationIndex, state: PooledState, prices: F64, floor: F64, most: int,
    ids: I64, usd: F64, order: I64, out: Opportunities, quoted: bool,
) -> int:  # fmt: skip
    """Fill `out` with the best call on the `most` largest liquidatable debts of each world.

    Parameters
    ----------
    index, state, prices
        The market after `refresh`, and USD prices of its oracle (world, asset).
    floor : array (world,)
        USD: positions of which no call can cover so much are left out, for the most part.
    most : int
        Longest list per world.
    ids, usd, order : array
        Scratch with room for one world's watched positions.
    out : Opportunities
    quoted : bool
        Whether calls follow the rules of `verbs`; else another kernel prices them.

    Returns
    -------
    int
        0 when done; else the room needed in `out`: grow and call again.
    """
    n = 0
    room = out.position.shape[0]
    for w in range(floor.shape[0]):
        out.starts[w] = n
        fill_masks(index, w)
        count = 0
        for i in range(n_worth(index, w, floor[w])):
            debt = unhealthy_debt(index, state, w, i, index.lists[w]["worst"], floor[w])
            if debt > 0.0:
                ids[count], usd[count], order[count] = index.watched[w, i]["id"], debt, count
                count += 1
        if count > most:
            select(usd, ids, order, 0, count, most)
            count = most
        if n + count <= room:
            rank(usd, ids, order, 0, count)
            for k in range(count):
                write(state, prices, w, ids[order[k]], out, n + k, quoted)
        n += count
    out.starts[floor.shape[0]] = n
    return n if n > room else 0


@inlined
def split_dollars(usd: float) -> tuple[int, int]:
    """Whole dollars, and 2^-30ths of one: sums of integers do not depend on their order."""
    usd = min(usd, LARGEST_USD)
    whole = int(usd)
    return whole, int((usd - whole) * PARTS)


@kernel
def sum_backlog(
    index: LiquidationIndex, state: PooledState, market: F64, debt: F64, shortfall: F64
) -> None:
    """Add up what liquidatable positions owe, and by how much that exceeds their collateral.

    The order of a watch list depends on when it was made; the sums must not.

    Parameters
    ----------
    index, state, market
        The market after `refresh`, and USD prices at which debt and collateral trade (world,
        asset).
    debt, shortfall : array (world,)
        Filled, USD.
    """
    for w in range(debt.shape[0]):
        fill_masks(index, w)
        owed, owed_parts, missing, missing_parts = 0, 0, 0, 0
        for i in range(index.lists[w]["hot"]):
            if unhealthy_debt(index, state, w, i, index.lists[w]["worst"], 0.0) <= 0.0:
                continue
            collateral, _, _, usd = position_values(state, market, w, index.watched[w, i]["id"])
            whole, parts = split_dollars(usd)
            owed += whole
            owed_parts += parts
            whole, parts = split_dollars(max(usd - collateral, 0.0))
            missing += whole
            missing_parts += parts
        debt[w] = owed + owed_parts / PARTS
        shortfall[w] = missing + missing_parts / PARTS
