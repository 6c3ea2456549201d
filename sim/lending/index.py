"""Which positions are liquidatable, without looking at all of them.

Each world keeps a watch list: the positions whose health factor at *reference* prices and indices
is under `MARGIN`. Since then collateral asset a moved by m_c(a) and debt asset a by m_d(a), price
and index growth together, so

    health now ≥ health at reference × min over its collateral of m_c / max over its debt of m_d.

With g = min m_c / max m_d over all assets in use, no unlisted position can be unhealthy while
g × MARGIN ≥ 1; beyond that the world is scanned anew and the present becomes the reference. In the
list, the entries whose reference health is under `heat` come first ("hot"): only they are looked
at, and while g × heat ≥ 1 that is enough. A hot entry is evaluated exactly when its own bound, over
its own assets, is below 1. Of the hot ones, those worth at least `dust` come first ("big"): after a
crash most of the hot part is small positions that no call pays for, and who only looks for calls
that pay passes them over. The outcome is exactly {health < 1}, whenever scans happened; verbs that
change a position refresh its entry by `touch`.
"""

from typing import NamedTuple

import numpy as np

from sim.kernel import F64, I32, I64, Rows, inlined, kernel
from sim.lending.health import fill_weights
from sim.lending.liquidation import HEALTHY
from sim.lending.state import LIFT, PooledState, lift_of, mode_of

MARGIN = 1.08  # reference health under which a position is watched
HEAT = 1.01  # slack of the hot part beyond what the present move demands
COOL = 1.03  # slack at which the hot part is made smaller again
SAFE = 1.0 + 1e-9  # bounds are compared to this, so that rounding never hides a position
MASK_ASSETS = 8  # up to so many assets a position's assets are a bit mask


WATCHED = np.dtype(
    [
        ("id", np.int64),  # the position
        ("health", np.float64),  # its health factor at reference
        ("collateral", np.int64),  # bits of its collateral assets
        ("debt", np.int64),  # bits of its debt assets
        ("owed", np.float64),  # USD of its largest debt at reference
        ("held", np.float64),  # USD of its largest collateral at reference
    ]
)
LIST = np.dtype(
    [
        ("n", np.int64),  # watched positions
        ("hot", np.int64),  # of which hot
        ("big", np.int64),  # of which worth at least `dust`
        ("heat", np.float64),  # reference health under which an entry is hot
        ("dust", np.float64),  # USD at reference: a hot entry that is worth less is no big one
        ("stale", np.int64),  # 1: the list must be made anew
        ("worst", np.float64),  # worst move g since the last scan
    ]
)
WEIGHT = np.dtype(  # see health.fill_weights
    [
        ("collateral", np.float64),  # USD that counts per scaled unit, now
        ("debt", np.float64),  # USD per scaled unit, now
        ("collateral_then", np.float64),  # at the last scan
        ("debt_then", np.float64),
        ("collateral_used", np.float64),  # scaled, of all borrowers ever since the last scan
        ("debt_used", np.float64),
    ]
)
MOVES = np.dtype(
    [
        ("lowest", np.float64),  # least collateral move of the assets in a mask
        ("rise", np.float64),  # largest collateral move of the assets in a mask
        ("highest", np.float64),  # largest debt move of the assets in a mask
    ]
)


class LiquidationIndex(NamedTuple):
    """Arrays of the index: W worlds, N positions, A assets, room for K watched per world."""

    slot: I32  # (W, N) place in the watch list, -1: not watched
    watched: Rows  # (W, K) records of WATCHED, the hot ones first
    lists: Rows  # (W,) records of LIST
    weights: Rows  # (W, A) records of WEIGHT
    moves: Rows  # (masks,) records of MOVES; scratch


@inlined
def watch(
    index: LiquidationIndex,
    state: PooledState,
    w: int,
    i: int,
    p: int,
    weighted: float,
    debt_usd: float,
) -> None:
    """Write the entry at place i of a watch list; masks stay 0 and worth inf beyond MASK_ASSETS."""
    collateral = 0
    debt = 0
    n_assets = state.debt.shape[2]
    owed = 0.0 if n_assets <= MASK_ASSETS else np.inf
    held = owed
    if n_assets <= MASK_ASSETS:
        for a in range(n_assets):
            if state.collateral[w, p, a] > 0.0:
                collateral |= 1 << a
                threshold = state.reserves[w, a]["liquidation_threshold"]
                if threshold > 0.0:
                    weight = index.weights[w, a]["collateral_then"]
                    held = max(held, state.collateral[w, p, a] * weight / threshold)
            if state.debt[w, p, a] > 0.0:
                debt |= 1 << a
                owed = max(owed, state.debt[w, p, a] * index.weights[w, a]["debt_then"])
    entry = index.watched[w, i]
    entry["id"] = p
    entry["health"] = weighted / debt_usd if debt_usd > 0.0 else np.inf
    entry["collateral"] = collateral
    entry["debt"] = debt
    entry["owed"] = owed
    entry["held"] = held
    index.slot[w, p] = i


@inlined
def swap(index: LiquidationIndex, w: int, i: int, j: int) -> None:
    """Exchange two entries of a watch list."""
    one, other = index.watched[w, i], index.watched[w, j]
    one["id"], other["id"] = other["id"], one["id"]
    one["health"], other["health"] = other["health"], one["health"]
    one["collateral"], other["collateral"] = other["collateral"], one["collateral"]
    one["debt"], other["debt"] = other["debt"], one["debt"]
    one["owed"], other["owed"] = other["owed"], one["owed"]
    one["held"], other["held"] = other["held"], one["held"]
    index.slot[w, one["id"]] = i
    index.slot[w, other["id"]] = j


@inlined
def is_big(index: LiquidationIndex, w: int, i: int, dust: float) -> bool:
    """Whether the largest debt and the largest collateral of an entry are worth `dust` USD."""
    entry = index.watched[w, i]
    return bool(entry["owed"] >= dust and entry["held"] >= dust)


@inlined
def seat(index: LiquidationIndex, w: int, i: int, health: float) -> None:
    """Move the entry at place i of a watch list to the part where it belongs.

    One that cooled down stays in the hot part until `heat_up`.
    """
    these = index.lists[w]
    if i >= these["hot"]:
        if health >= these["heat"]:
            return
        swap(index, w, i, these["hot"])
        i = these["hot"]
        these["hot"] += 1
    big = is_big(index, w, i, these["dust"])
    if big and i >= these["big"]:
        swap(index, w, i, these["big"])
        these["big"] += 1
    elif not big and i < these["big"]:
        these["big"] -= 1
        swap(index, w, i, these["big"])


@kernel
def touch(index: LiquidationIndex, state: PooledState, w: int, p: int) -> None:
    """Refresh the entry of a position that a verb has changed.

    A position that became safe keeps its place until the next scan.
    """
    if index.lists[w]["stale"] != 0:
        return
    weighted = 0.0
    debt = 0.0
    mode = mode_of(state, w, p)
    for a in range(state.debt.shape[2]):
        weight = index.weights[w, a]
        lift = lift_of(state, mode, a, LIFT)
        weighted += state.collateral[w, p, a] * weight["collateral_then"] * lift
        debt += state.debt[w, p, a] * weight["debt_then"]
        weight["collateral_used"] += state.collateral[w, p, a]
        weight["debt_used"] += state.debt[w, p, a]
    health = weighted / debt if debt > 0.0 else np.inf
    i = index.slot[w, p]
    if i < 0:
        if health >= MARGIN:
            return
        i = index.lists[w]["n"]
        if i >= index.watched.shape[1]:
            index.lists[w]["stale"] = 1
            return
        index.lists[w]["n"] += 1
    watch(index, state, w, i, p, weighted, debt)
    seat(index, w, i, health)


@kernel
def scan(index: LiquidationIndex, state: PooledState, w: int) -> int:
    """Make one world's watch list anew at present prices; how many it would hold."""
    n_assets = state.debt.shape[2]
    for a in range(n_assets):
        index.weights[w, a]["collateral_then"] = index.weights[w, a]["collateral"]
        index.weights[w, a]["debt_then"] = index.weights[w, a]["debt"]
        index.weights[w, a]["collateral_used"] = 0.0
        index.weights[w, a]["debt_used"] = 0.0
    room = index.watched.shape[1]
    n = 0
    for p in range(state.debt.shape[1]):
        index.slot[w, p] = -1
        weighted = 0.0
        debt = 0.0
        mode = mode_of(state, w, p)
        for a in range(n_assets):
            lift = lift_of(state, mode, a, LIFT)
            weighted += state.collateral[w, p, a] * index.weights[w, a]["collateral"] * lift
            debt += state.debt[w, p, a] * index.weights[w, a]["debt"]
        if debt <= 0.0:
            continue
        for a in range(n_assets):
            index.weights[w, a]["collateral_used"] += state.collateral[w, p, a]
            index.weights[w, a]["debt_used"] += state.debt[w, p, a]
        if weighted < MARGIN * debt:
            if n < room:
                watch(index, state, w, n, p, weighted, debt)
            n += 1
    index.lists[w]["stale"] = 1 if n > room else 0
    index.lists[w]["n"] = min(n, room)
    index.lists[w]["hot"] = 0
    index.lists[w]["big"] = 0
    index.lists[w]["heat"] = 0.0
    return n


@inlined
def move(now: float, reference: float) -> float:
    """Ratio of a weight to its reference; inf where the reference is 0 and now is not."""
    if reference > 0.0:
        return now / reference
    return np.inf if now > 0.0 else 1.0


@kernel
def worst_move(index: LiquidationIndex, w: int) -> float:
    """Lower bound g of (health now / health at reference) over all positions of a world."""
    fall = np.inf
    rise = 0.0
    for a in range(index.weights.shape[1]):
        if index.weights[w, a]["collateral_used"] > 0.0:
            fall = min(
                fall,
                move(index.weights[w, a]["collateral"], index.weights[w, a]["collateral_then"]),
            )
        if index.weights[w, a]["debt_used"] > 0.0:
            rise = max(rise, move(index.weights[w, a]["debt"], index.weights[w, a]["debt_then"]))
    if rise <= 0.0 or np.isinf(fall):
        return 1.0 if rise <= 1.0 else 1.0 / rise
    return fall / rise


@kernel
def sort_ids(ids: I64, start: int, end: int) -> None:
    """Sort `ids[start:end]` (Shell's sort)."""
    gap = 1
    while gap < (end - start) // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(start + gap, end):
            chosen, j = ids[i], i
            while j >= start + gap and ids[j - gap] > chosen:
                ids[j] = ids[j - gap]
                j -= gap
            ids[j] = chosen
        gap //= 3


@kernel
def heat_up(index: LiquidationIndex, w: int, heat: float) -> None:
    """Choose anew which entries are hot."""
    index.lists[w]["heat"] = heat
    n = 0
    for i in range(index.lists[w]["n"]):
        if index.watched[w, i]["health"] < heat:
            if i != n:
                swap(index, w, i, n)
            n += 1
    index.lists[w]["hot"] = n
    sift(index, w, index.lists[w]["dust"])


@kernel
def sift(index: LiquidationIndex, w: int, dust: float) -> None:
    """Choose anew which hot entries are big."""
    index.lists[w]["dust"] = dust
    n = 0
    for i in range(index.lists[w]["hot"]):
        if is_big(index, w, i, dust):
            if i != n:
                swap(index, w, i, n)
            n += 1
    index.lists[w]["big"] = n


@inlined
def n_worth(index: LiquidationIndex, w: int, floor: float) -> int:
    """Length of the front of a watch list that holds all calls of at least `floor` USD.

    Keeps `dust` between 0.4 and 1 of what the moves since the last scan allow; after `fill_masks`.
    """
    these = index.lists[w]
    last = index.moves.shape[0] - 1
    rise = max(index.moves[last]["rise"], index.moves[last]["highest"])
    if index.weights.shape[1] > MASK_ASSETS or not 0.0 < rise < np.inf:
        return int(these["hot"])
    most = floor / (rise * SAFE)
    if these["dust"] > most or these["dust"] < 0.4 * most:
        sift(index, w, 0.7 * most)
    return int(these["big"])


@kernel
def fill_masks(index: LiquidationIndex, w: int) -> None:
    """Tabulate the worst moves of every set of assets."""
    if index.weights.shape[1] > MASK_ASSETS:
        return
    index.moves[0]["lowest"] = np.inf
    index.moves[0]["highest"] = 0.0
    index.moves[0]["rise"] = 0.0
    for a in range(index.weights.shape[1]):
        fall = move(index.weights[w, a]["collateral"], index.weights[w, a]["collateral_then"])
        rise = move(index.weights[w, a]["debt"], index.weights[w, a]["debt_then"])
        bit = 1 << a
        for mask in range(bit):
            index.moves[bit | mask]["lowest"] = min(fall, index.moves[mask]["lowest"])
            index.moves[bit | mask]["rise"] = max(fall, index.moves[mask]["rise"])
            index.moves[bit | mask]["highest"] = max(rise, index.moves[mask]["highest"])


@inlined
def unhealthy_debt(
    index: LiquidationIndex, state: PooledState, w: int, i: int, g: float, floor: float
) -> float:
    """Debt in USD of the position at place i of a watch list if it is liquidatable; else 0.

    0 also where no call can cover `floor` USD, as the largest debt or collateral is worth less,
    mostly without a look at the position itself. `g` is the world's worst move; the moves of
    every set of assets are tabulated (`fill_masks`).
    """
    n_assets = state.debt.shape[2]
    entry = index.watched[w, i]
    health = entry["health"]
    if health * g >= SAFE:
        return 0.0
    if n_assets <= MASK_ASSETS:
        rise = index.moves[entry["debt"]]["highest"]
        if health * index.moves[entry["collateral"]]["lowest"] >= SAFE * rise:
            return 0.0
        if entry["owed"] * rise * SAFE < floor:
            return 0.0
        if entry["held"] * index.moves[entry["collateral"]]["rise"] * SAFE < floor:
            return 0.0
    p = entry["id"]
    weighted = 0.0
    debt = 0.0
    mode = mode_of(state, w, p)
    for a in range(n_assets):
        lift = lift_of(state, mode, a, LIFT)
        weighted += state.collateral[w, p, a] * index.weights[w, a]["collateral"] * lift
        debt += state.debt[w, p, a] * index.weights[w, a]["debt"]
    if weighted < debt * HEALTHY and debt >= floor:
        return debt
    return 0.0


@kernel
def refresh(index: LiquidationIndex, state: PooledState, prices: F64) -> int:
    """Bring the watch lists of all worlds up to the present prices.

    Returns
    -------
    int
        0 when done; else the room needed per watch list: grow and call again.
    """
    needed = 0
    for w in range(prices.shape[0]):
        fill_weights(state, prices, w, index.weights)
        g = 1.0
        if index.lists[w]["stale"] == 0:
            g = worst_move(index, w)
        if index.lists[w]["stale"] != 0 or not g * MARGIN >= SAFE:
            needed = max(needed, scan(index, state, w))
            g = 1.0
            if index.lists[w]["stale"] != 0:
                continue
        if not g * index.lists[w]["heat"] >= SAFE or index.lists[w]["heat"] * g > COOL * HEAT:
            heat_up(index, w, HEAT / g)
        index.lists[w]["worst"] = g
    return needed if needed > index.watched.shape[1] else 0


@kernel
def collect(index: LiquidationIndex, state: PooledState, ids: I64, starts: I64) -> int:
    """List the liquidatable positions of all worlds, ascending per world, after `refresh`.

    Returns
    -------
    int
        0 when done; else the room needed in `ids`: grow and call again.
    """
    n = 0
    for w in range(starts.shape[0] - 1):
        starts[w] = n
        hot = index.lists[w]["hot"]
        if n + hot > ids.shape[0]:
            n += hot
            continue
        fill_masks(index, w)
        for i in range(hot):
            if unhealthy_debt(index, state, w, i, index.lists[w]["worst"], 0.0) > 0.0:
                ids[n] = index.watched[w, i]["id"]
                n += 1
        sort_ids(ids, starts[w], n)
    starts[starts.shape[0] - 1] = n
    return n if n > ids.shape[0] else 0
