"""Concentrated liquidity with the arithmetic of Uniswap v3: ticks, crossing, fees by range.

Models positions keyed by account and range, swaps that cross any number of initialised ticks, and
fee growth inside and outside of ticks. A world keeps its initialised ticks as a sorted list with
the root of each, and `below`, how many of them lie at or under the current tick: the next tick is
its neighbour, and a swap that ends exactly on a tick has crossed it, whichever token it sold.
Leaves out protocol fees, flash loans and the pool's own price observations. Amounts are whole
tokens without rounding; with a `unit` and a `quantum`, amounts and roots are rounded as on chain.

Invariants: custody equals what all positions could take out, fees included; active liquidity is
the sum of the positions whose range holds the price; a rejected row changes nothing.
(Uniswap v3 core `UniswapV3Pool`, `Tick`, `Position`; whitepaper section 6.)
"""

from typing import NamedTuple

import numpy as np

from sim.amm.ticks import (
    MAX_TICK,
    MIN_TICK,
    amount_0,
    amount_1,
    root_at_tick,
    swap_step,
    tick_at_root,
)
from sim.kernel import F64, I64, kernel


class ConcentratedState(NamedTuple):
    """Arrays of one pool in all worlds."""

    root: F64  # (world,) square root of the price of asset 0 in asset 1, whole tokens
    root_rest: F64  # (world,) what float64 leaves out of it
    liquidity: F64  # (world,) active at the price
    below: F64  # (world,) initialised ticks at or under the current one
    growth: F64  # (world, 2) fees per unit of liquidity so far, whole tokens of each asset
    n_ticks: F64  # (world,)
    ticks: F64  # (world, tick) initialised ticks, ascending
    roots: F64  # (world, tick) their square roots
    net: F64  # (world, tick) liquidity that starts here less what ends here
    users: F64  # (world, tick) positions that start or end here
    outside: F64  # (world, tick, 2) fee growth on the other side of the tick
    holder: F64  # (world, slot) ledger account of a position
    lower: F64  # (world, slot) its first tick
    upper: F64  # (world, slot) its last tick
    held: F64  # (world, slot) its liquidity; 0: the slot is free
    inside: F64  # (world, slot, 2) fee growth in its range when it was last paid
    anchor: F64  # (world,) tick at which the offsets of a target start
    trail: F64  # (tick,) fee growth at each crossing of the trade in hand; scratch
    found: F64  # (7,) in, out, root, its rest, liquidity, ticks below, growth; scratch of `trade`
    assets: I64  # (2,)
    unit: float  # smallest amount, where the chain's roundings are wanted; 0: none
    quantum: float  # smallest move of a root, likewise
    fee: float  # fraction of what is handed in
    scale: float  # whole-token root per root of the chain's integers
    spacing: int  # ticks
    account: int  # custody account


@kernel
def current_tick(state: ConcentratedState, w: int) -> int:
    """Tick of the price; one less where a falling price ended on an initialised tick."""
    below = int(state.below[w])
    if below < state.n_ticks[w] and state.roots[w, below] <= state.root[w]:
        return int(state.ticks[w, below]) - 1
    tick = tick_at_root(state.root[w] / state.scale)
    if state.root_rest[w] < 0.0 and root_at_tick(tick) * state.scale == state.root[w]:
        return tick - 1
    return tick


@kernel
def word_end(tick: int, spacing: int, falls: bool) -> int:
    """Last tick that one step of the contract can look at: the end of a word of its bitmap."""
    place = tick // spacing
    if falls:
        return max((place >> 8 << 8) * spacing, MIN_TICK)
    return min(((place + 1) >> 8 << 8 | 255) * spacing, MAX_TICK)


@kernel
def trade(
    state: ConcentratedState, w: int, falls: bool, amount: float, exact_out: bool, limit: float
) -> bool:
    """Find what a swap does and leave it in `found`; nothing else changes until `settle`.

    Parameters
    ----------
    falls : bool
        Whether asset 0 is sold.
    amount : float
        Whole tokens in, or out with `exact_out`.
    limit : float
        Root at which the swap stops, on the side to which the price moves.

    Returns
    -------
    bool
        Whether the whole amount was traded.
    """
    side = 0 if falls else 1
    root, rest, liquidity = state.root[w], state.root_rest[w], state.liquidity[w]
    below, n = int(state.below[w]), int(state.n_ticks[w])
    growth, left, total_in, total_out, crossed = state.growth[w, side], amount, 0.0, 0.0, 0
    tick = current_tick(state, w) if state.quantum > 0.0 else 0
    while left > 0.0 and root != limit:
        following = below - 1 if falls else below
        stop, at_tick = limit, False
        if 0 <= following < n:
            tick_root = state.roots[w, following]
            at_tick = tick_root >= limit if falls else tick_root <= limit
            stop = tick_root if at_tick else limit
        if state.quantum > 0.0:
            tick = word_end(tick, state.spacing, falls)
            word_root = root_at_tick(tick) * state.scale
            if word_root > stop if falls else word_root < stop:
                stop, at_tick = word_root, False
        gap = (root - stop) + rest if falls else (stop - root) - rest
        move, after, paid, out, charged, reached = swap_step(
            root, stop, gap, falls, liquidity, left, state.fee, exact_out, state.unit,
            state.quantum,
        )  # fmt: skip
        total_in += paid + charged
        total_out += out
        if liquidity > 0.0:
            growth += charged / liquidity
        if not reached:
            rest += (root - after) - move if falls else (root - after) + move
            root, left = after, 0.0
            break
        left -= out if exact_out else paid + charged
        root, rest = stop, 0.0
        if at_tick:
            change = state.net[w, following]
            liquidity = max(liquidity - change if falls else liquidity + change, 0.0)
            below = following if falls else following + 1
            state.trail[crossed] = growth
            crossed += 1
            tick = int(state.ticks[w, following])
        tick = tick - 1 if falls else tick
    found = state.found
    found[0], found[1], found[2], found[3] = total_in, total_out, root, rest
    found[4], found[5], found[6] = liquidity, below, growth
    return left <= 0.0


@kernel
def settle(state: ConcentratedState, w: int, falls: bool) -> None:
    """Make the last `trade`, which must have been in this world, happen."""
    side = 0 if falls else 1
    found, place, k = state.found, int(state.below[w]), 0
    while place != found[5]:
        tick = place - 1 if falls else place
        state.outside[w, tick, side] = state.trail[k] - state.outside[w, tick, side]
        other = state.growth[w, 1 - side] - state.outside[w, tick, 1 - side]
        state.outside[w, tick, 1 - side] = other
        place = place - 1 if falls else place + 1
        k += 1
    state.root[w], state.root_rest[w] = found[2], found[3]
    state.liquidity[w], state.below[w], state.growth[w, side] = found[4], found[5], found[6]


@kernel
def find_tick(state: ConcentratedState, w: int, tick: int) -> int:
    """Place of a tick in the list of initialised ones; where it belongs, if it is not there."""
    low, high = 0, int(state.n_ticks[w])
    while low < high:
        middle = (low + high) // 2
        if state.ticks[w, middle] < tick:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def is_tick(state: ConcentratedState, w: int, place: int, tick: int) -> bool:
    """Whether a tick is initialised, at its place by `find_tick`."""
    return bool(place < state.n_ticks[w] and state.ticks[w, place] == tick)


@kernel
def copy_tick(state: ConcentratedState, w: int, target: int, source: int) -> None:
    """Overwrite one entry of the list by another."""
    state.ticks[w, target] = state.ticks[w, source]
    state.roots[w, target] = state.roots[w, source]
    state.net[w, target] = state.net[w, source]
    state.users[w, target] = state.users[w, source]
    state.outside[w, target, 0] = state.outside[w, source, 0]
    state.outside[w, target, 1] = state.outside[w, source, 1]


@kernel
def put_tick(state: ConcentratedState, w: int, tick: int, net: float) -> None:
    """Let one more position start or end at a tick; fees so far count as earned below it."""
    place, n = find_tick(state, w, tick), int(state.n_ticks[w])
    if not is_tick(state, w, place, tick):
        for k in range(n, place, -1):
            copy_tick(state, w, k, k - 1)
        root = root_at_tick(tick) * state.scale
        under = place < state.below[w] or root <= state.root[w]
        state.ticks[w, place] = tick
        state.roots[w, place] = root
        state.net[w, place] = 0.0
        state.users[w, place] = 0.0
        for k in range(2):
            state.outside[w, place, k] = state.growth[w, k] if under else 0.0
        state.n_ticks[w] = n + 1
        if under:
            state.below[w] += 1.0
    state.net[w, place] += net
    state.users[w, place] += 1.0


@kernel
def drop_tick(state: ConcentratedState, w: int, tick: int, net: float) -> None:
    """Let one position fewer start or end at a tick; without any it leaves the list."""
    place, n = find_tick(state, w, tick), int(state.n_ticks[w])
    state.net[w, place] -= net
    state.users[w, place] -= 1.0
    if state.users[w, place] > 0.0:
        return
    if place < state.below[w]:
        state.below[w] -= 1.0
    for k in range(place, n - 1):
        copy_tick(state, w, k, k + 1)
    state.n_ticks[w] = n - 1


@kernel
def holds_price(state: ConcentratedState, w: int, lower: int, upper: int) -> bool:
    """Whether the current tick lies in [lower, upper); both are initialised."""
    below = state.below[w]
    return bool(find_tick(state, w, lower) < below and find_tick(state, w, upper) >= below)


@kernel
def growth_inside(state: ConcentratedState, w: int, lower: int, upper: int, asset: int) -> float:
    """Fee growth within a range whose ticks are initialised (`getFeeGrowthInside`)."""
    growth, below = state.growth[w, asset], state.below[w]
    first, last = find_tick(state, w, lower), find_tick(state, w, upper)
    under, over = state.outside[w, first, asset], state.outside[w, last, asset]
    if first >= below:
        under = growth - under
    if last < below:
        over = growth - over
    return float(growth - under - over)


@kernel
def range_amounts(
    state: ConcentratedState, w: int, lower: int, upper: int, liquidity: float
) -> tuple[float, float]:
    """Whole tokens of both assets behind liquidity in a range, at the present price."""
    low, high = root_at_tick(lower) * state.scale, root_at_tick(upper) * state.scale
    root = min(max(state.root[w], low), high)
    zero = amount_0(liquidity, root, high) if root < high else 0.0
    one = amount_1(liquidity, low, root) if root > low else 0.0
    return zero, one


@kernel
def find_position(state: ConcentratedState, w: int, account: int, lower: int, upper: int) -> int:
    """Slot of an account's position in a range; -1 - slot of a free one; -2^31 if all are full."""
    free = -(2**31)
    for slot in range(state.held.shape[1]):
        if state.held[w, slot] <= 0.0:
            if free == -(2**31):
                free = -1 - slot
        elif (
            state.holder[w, slot] == account
            and state.lower[w, slot] == lower
            and state.upper[w, slot] == upper
        ):
            return slot
    return free


@kernel
def fees_due(state: ConcentratedState, w: int, slot: int, asset: int) -> float:
    """Whole tokens of fees that a position has earned since it was last paid."""
    now = growth_inside(state, w, int(state.lower[w, slot]), int(state.upper[w, slot]), asset)
    return max(float(state.held[w, slot] * (now - state.inside[w, slot, asset])), 0.0)


@kernel
def open_position(
    state: ConcentratedState, w: int, slot: int, account: int, lower: int, upper: int
) -> None:
    """Take a free slot, without liquidity yet, and initialise its ticks."""
    put_tick(state, w, lower, 0.0)
    put_tick(state, w, upper, 0.0)
    state.holder[w, slot] = account
    state.lower[w, slot] = lower
    state.upper[w, slot] = upper
    state.held[w, slot] = 0.0


@kernel
def change_position(state: ConcentratedState, w: int, slot: int, change: float) -> None:
    """Add to or take from a position's liquidity; its fees must have been paid."""
    lower, upper = int(state.lower[w, slot]), int(state.upper[w, slot])
    if holds_price(state, w, lower, upper):
        state.liquidity[w] = max(state.liquidity[w] + change, 0.0)
    state.held[w, slot] += change
    state.net[w, find_tick(state, w, lower)] += change
    state.net[w, find_tick(state, w, upper)] -= change
    for asset in range(2):
        state.inside[w, slot, asset] = growth_inside(state, w, lower, upper, asset)
    if not state.held[w, slot] > 0.0:
        state.held[w, slot] = 0.0
        drop_tick(state, w, lower, 0.0)
        drop_tick(state, w, upper, 0.0)


@kernel
def owed(state: ConcentratedState, w: int, out: F64) -> None:
    """Add to `out` (world, 2) the whole tokens of both assets that all positions could take out."""
    for slot in range(state.held.shape[1]):
        if state.held[w, slot] > 0.0:
            lower, upper = int(state.lower[w, slot]), int(state.upper[w, slot])
            zero, one = range_amounts(state, w, lower, upper, state.held[w, slot])
            out[w, 0] += zero + fees_due(state, w, slot, 0)
            out[w, 1] += one + fees_due(state, w, slot, 1)


def new_arrays(capacity: int, slots: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the per-world fields, for an Arena."""
    one: tuple[int, ...] = ()
    ticks, pair = (capacity,), (2,)
    return {
        "root": one, "root_rest": one, "liquidity": one, "below": one, "growth": pair,
        "n_ticks": one,
        "ticks": ticks, "roots": ticks, "net": ticks, "users": ticks, "outside": (capacity, 2),
        "holder": (slots,), "lower": (slots,), "upper": (slots,), "held": (slots,),
        "inside": (slots, 2), "anchor": one,
    }  # fmt: skip


def new_state(
    fields: dict[str, F64],
    assets: I64,
    *,
    fee: float,
    unit: float = 0.0,
    quantum: float = 0.0,
    scale: float = 1.0,
    spacing: int = 1,
    account: int = 0,
) -> ConcentratedState:
    """State over the views of an Arena of `new_arrays`."""
    return ConcentratedState(
        **fields,
        trail=np.zeros(fields["ticks"].shape[1] + 1),
        assets=assets,
        found=np.zeros(7),
        unit=float(unit),
        quantum=float(quantum),
        fee=float(fee),
        scale=float(scale),
        spacing=int(spacing),
        account=int(account),
    )
