"""Which positions are liquidatable, without looking at all of them.

Each world keeps a watch list: the positions whose health factor at *reference* prices and indices
is under `MARGIN`. Since then collateral asset a moved by m_c(a) and debt asset a by m_d(a), price
and index growth together, so

    health now ≥ health at reference × min over its collateral of m_c / max over its debt of m_d.

With g = min m_c / max m_d over all assets in use, no unlisted position can be unhealthy while
g × MARGIN ≥ 1; beyond that the world is scanned anew and the present becomes the reference. In the
list, the entries whose reference health is under `heat` come first ("hot"): only they are looked
at, and while g × heat ≥ 1 that is enough. A hot entry is evaluated exactly when its own bound, over
its own assets, is below 1. The outcome is exactly {health < 1}, whenever scans happened; verbs that
change a position refresh its entry by `touch`.
"""

from typing import NamedTuple

import numpy as np

from sim.kernel import F64, I32, I64, kernel
from sim.lending.health import fill_weights
from sim.lending.liquidation import HEALTHY
from sim.lending.state import PooledState

MARGIN = 1.08  # reference health under which a position is watched
HEAT = 1.01  # slack of the hot part beyond what the present move demands
COOL = 1.03  # slack at which the hot part is made smaller again
SAFE = 1.0 + 1e-9  # bounds are compared to this, so that rounding never hides a position
MASK_ASSETS = 8  # up to so many assets a position's assets are a bit mask


class LiquidationIndex(NamedTuple):
    """Arrays of the index: W worlds, N positions, A assets, room for K watched per world."""

    slot: I32  # (W, N) place in the watch list, -1: not watched
    ids: I32  # (W, K) watched positions
    health: F64  # (W, K) their health factor at reference
    masks: I32  # (W, K) bits of collateral assets, and of debt assets shifted by MASK_ASSETS
    count: I64  # (W,) watched
    hot: I64  # (W,) of which hot
    heat: F64  # (W,) reference health under which an entry is hot
    stale: I64  # (W,) 1: the list must be made anew
    messy: I64  # (W,) 1: the hot part is not in order of position
    collateral_reference: F64  # (W, A) weights at the last scan, see fill_weights
    debt_reference: F64  # (W, A)
    collateral_used: F64  # (W, A) scaled collateral of borrowers, ever since the last scan
    debt_used: F64  # (W, A)
    collateral_weight: F64  # (W, A) weights now
    debt_weight: F64  # (W, A)
    lowest: F64  # (masks,) least collateral move of the assets in a mask; scratch
    highest: F64  # (masks,) largest debt move of the assets in a mask; scratch


@kernel
def asset_mask(scaled: F64, w: int, p: int) -> int:
    """Bits of the assets in which a position has a balance; 0 beyond MASK_ASSETS assets."""
    mask = 0
    n_assets = scaled.shape[2]
    if n_assets <= MASK_ASSETS:
        for a in range(n_assets):
            if scaled[w, p, a] > 0.0:
                mask |= 1 << a
    return mask


@kernel
def swap(index: LiquidationIndex, w: int, i: int, j: int) -> None:
    """Exchange two entries of a watch list."""
    index.ids[w, i], index.ids[w, j] = index.ids[w, j], index.ids[w, i]
    index.health[w, i], index.health[w, j] = index.health[w, j], index.health[w, i]
    index.masks[w, i], index.masks[w, j] = index.masks[w, j], index.masks[w, i]
    index.slot[w, index.ids[w, i]] = i
    index.slot[w, index.ids[w, j]] = j


@kernel
def unwatch(index: LiquidationIndex, w: int, i: int) -> None:
    """Remove an entry: the last hot one fills a hot hole, the last one the hole after it."""
    p = index.ids[w, i]
    if i < index.hot[w]:
        index.hot[w] -= 1
        swap(index, w, i, index.hot[w])
        i = index.hot[w]
    index.count[w] -= 1
    swap(index, w, i, index.count[w])
    index.slot[w, p] = -1
    index.messy[w] = 1


@kernel
def touch(index: LiquidationIndex, state: PooledState, w: int, p: int) -> None:
    """Refresh the entry of a position that a verb has changed."""
    if index.stale[w] != 0:
        return
    if index.slot[w, p] >= 0:
        unwatch(index, w, index.slot[w, p])
    weighted = 0.0
    debt = 0.0
    for a in range(state.debt.shape[2]):
        weighted += state.collateral[w, p, a] * index.collateral_reference[w, a]
        debt += state.debt[w, p, a] * index.debt_reference[w, a]
        index.collateral_used[w, a] += state.collateral[w, p, a]
        index.debt_used[w, a] += state.debt[w, p, a]
    if debt <= 0.0 or weighted >= MARGIN * debt:
        return
    i = index.count[w]
    if i >= index.ids.shape[1]:
        index.stale[w] = 1
        return
    index.ids[w, i] = p
    index.health[w, i] = weighted / debt
    index.masks[w, i] = asset_mask(state.collateral, w, p) | (
        asset_mask(state.debt, w, p) << MASK_ASSETS
    )
    index.slot[w, p] = i
    index.count[w] += 1
    if weighted / debt < index.heat[w]:
        swap(index, w, i, index.hot[w])
        index.hot[w] += 1
        index.messy[w] = 1


@kernel
def scan(index: LiquidationIndex, state: PooledState, w: int) -> int:
    """Make one world's watch list anew at present prices; how many it would hold."""
    n_assets = state.debt.shape[2]
    for a in range(n_assets):
        index.collateral_reference[w, a] = index.collateral_weight[w, a]
        index.debt_reference[w, a] = index.debt_weight[w, a]
        index.collateral_used[w, a] = 0.0
        index.debt_used[w, a] = 0.0
    room = index.ids.shape[1]
    n = 0
    for p in range(state.debt.shape[1]):
        index.slot[w, p] = -1
        weighted = 0.0
        debt = 0.0
        for a in range(n_assets):
            weighted += state.collateral[w, p, a] * index.collateral_weight[w, a]
            debt += state.debt[w, p, a] * index.debt_weight[w, a]
        if debt <= 0.0:
            continue
        for a in range(n_assets):
            index.collateral_used[w, a] += state.collateral[w, p, a]
            index.debt_used[w, a] += state.debt[w, p, a]
        if weighted < MARGIN * debt:
            if n < room:
                index.ids[w, n] = p
                index.health[w, n] = weighted / debt
                index.masks[w, n] = asset_mask(state.collateral, w, p) | (
                    asset_mask(state.debt, w, p) << MASK_ASSETS
                )
                index.slot[w, p] = n
            n += 1
    index.stale[w] = 1 if n > room else 0
    index.count[w] = min(n, room)
    index.hot[w] = 0
    index.heat[w] = 0.0
    return n


@kernel
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
    for a in range(index.debt_weight.shape[1]):
        if index.collateral_used[w, a] > 0.0:
            fall = min(fall, move(index.collateral_weight[w, a], index.collateral_reference[w, a]))
        if index.debt_used[w, a] > 0.0:
            rise = max(rise, move(index.debt_weight[w, a], index.debt_reference[w, a]))
    if rise <= 0.0 or np.isinf(fall):
        return 1.0 if rise <= 1.0 else 1.0 / rise
    return fall / rise


@kernel
def sort_hot(index: LiquidationIndex, w: int) -> None:
    """Put the hot entries in order of position (Shell's sort: quick on what is nearly sorted)."""
    n = index.hot[w]
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            j = i
            while j >= gap and index.ids[w, j - gap] > index.ids[w, j]:
                swap(index, w, j - gap, j)
                j -= gap
        gap //= 3
    index.messy[w] = 0


@kernel
def heat_up(index: LiquidationIndex, w: int, heat: float) -> None:
    """Choose anew which entries are hot."""
    index.heat[w] = heat
    n = 0
    for i in range(index.count[w]):
        if index.health[w, i] < heat:
            if i != n:
                swap(index, w, i, n)
            n += 1
    index.hot[w] = n
    index.messy[w] = 1


@kernel
def fill_masks(index: LiquidationIndex, w: int) -> None:
    """Tabulate the worst moves of every set of assets."""
    index.lowest[0] = np.inf
    index.highest[0] = 0.0
    for a in range(index.debt_weight.shape[1]):
        fall = move(index.collateral_weight[w, a], index.collateral_reference[w, a])
        rise = move(index.debt_weight[w, a], index.debt_reference[w, a])
        bit = 1 << a
        for mask in range(bit):
            index.lowest[bit | mask] = min(fall, index.lowest[mask])
            index.highest[bit | mask] = max(rise, index.highest[mask])


@kernel
def gather(index: LiquidationIndex, state: PooledState, w: int, g: float, ids: I64, n: int) -> int:
    """Append a world's unhealthy positions to `ids` from place n on; the new end."""
    n_assets = state.debt.shape[2]
    masked = n_assets <= MASK_ASSETS
    if masked and index.hot[w] > 0:
        fill_masks(index, w)
    low = (1 << MASK_ASSETS) - 1
    for i in range(index.hot[w]):
        health = index.health[w, i]
        if health * g >= SAFE:
            continue
        if masked:
            mask = index.masks[w, i]
            if health * index.lowest[mask & low] >= SAFE * index.highest[mask >> MASK_ASSETS]:
                continue
        p = index.ids[w, i]
        weighted = 0.0
        debt = 0.0
        for a in range(n_assets):
            weighted += state.collateral[w, p, a] * index.collateral_weight[w, a]
            debt += state.debt[w, p, a] * index.debt_weight[w, a]
        if weighted < debt * HEALTHY:
            ids[n] = p
            n += 1
    return n


@kernel
def find(
    index: LiquidationIndex, state: PooledState, prices: F64, ids: I64, starts: I64
) -> tuple[int, int]:
    """Collect the liquidatable positions of all worlds, ascending per world.

    Returns
    -------
    watch, room : int
        0, 0 when done. Else the room needed per watch list, or in `ids`: grow and call again.
    """
    watch = 0
    room = ids.shape[0]
    n = 0
    for w in range(starts.shape[0] - 1):
        fill_weights(state, prices, w, index.collateral_weight, index.debt_weight)
        g = 1.0
        if index.stale[w] == 0:
            g = worst_move(index, w)
        if index.stale[w] != 0 or not g * MARGIN >= SAFE:
            watch = max(watch, scan(index, state, w))
            g = 1.0
            if index.stale[w] != 0:
                continue
        if not g * index.heat[w] >= SAFE or index.heat[w] * g > COOL * HEAT:
            heat_up(index, w, HEAT / g)
        if index.messy[w] != 0:
            sort_hot(index, w)
        starts[w] = n
        if n + index.hot[w] > room:
            n += index.hot[w]
        else:
            n = gather(index, state, w, g, ids, n)
    starts[starts.shape[0] - 1] = n
    return watch if watch > index.ids.shape[1] else 0, n if n > room else 0
