"""Ticks and single steps of concentrated liquidity, with the arithmetic of Uniswap v3.

A tick is a price of 1.0001^tick; prices are carried as square roots. The contract multiplies the
square root out of a table, one factor per bit of the tick, in 128-bit fixed point; here the same
table is multiplied in pairs of float64 (106 bits), so that the root is the contract's integer
rounded to float64. Amounts are liquidity times a *move* of the root that is computed directly:
as differences of roots or of reserves they would lose the digits of a small trade.

Sources: Uniswap v3 core `TickMath`, `SwapMath`, `SqrtPriceMath`; whitepaper section 6.
"""

import math
from decimal import Decimal, localcontext

import numpy as np

from sim.kernel import kernel

MIN_TICK, MAX_TICK = -887272, 887272
MIN_ROOT = 4295128739.0 / 2.0**96  # the square root of the lowest price
MAX_ROOT = 1461446703485210103287273052203988822378723970342.0 / 2.0**96
Q96 = 2.0**96
BITS = 20  # of the largest tick
TICKS_PER_LOG = 2.0 / math.log1p(1e-4)  # ticks per unit of the logarithm of a root
SPLIT = 134217729.0  # 2**27 + 1 cuts a float64 into two halves (Dekker 1971)


def _table(sign: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Head and tail of 1.0001^(sign * 2^k / 2) for each bit k."""
    with localcontext() as context:
        context.prec = 80
        factor = Decimal("1.0001").sqrt()
        exact = [factor ** (sign * 2**k) for k in range(BITS)]
        heads = tuple(float(value) for value in exact)
        tails = tuple(
            float(value - Decimal(head)) for value, head in zip(exact, heads, strict=True)
        )
    return heads, tails


UP_HEAD, UP_TAIL = _table(1)
DOWN_HEAD, DOWN_TAIL = _table(-1)


@kernel
def product_error(a: float, b: float, product: float) -> float:
    """Exact a * b less its rounded product (Dekker 1971)."""
    c = SPLIT * a
    a_high = c - (c - a)
    a_low = a - a_high
    c = SPLIT * b
    b_high = c - (c - b)
    b_low = b - b_high
    return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@kernel
def root_at_tick(tick: int) -> float:
    """Square root of the price at a tick, as `getSqrtRatioAtTick` rounds it: up to 2^-96."""
    bits = abs(tick)
    head, tail = 1.0, 0.0
    for k in range(BITS):
        if (bits >> k) & 1:
            if tick > 0:
                factor, rest = UP_HEAD[k], UP_TAIL[k]
            else:
                factor, rest = DOWN_HEAD[k], DOWN_TAIL[k]
            product = head * factor
            error = product_error(head, factor, product) + (head * rest + tail * factor)
            head = product + error
            tail = error - (head - product)
    return math.ceil(head * Q96) / Q96 if head * Q96 < 2.0**53 else head


@kernel
def tick_at_root(root: float) -> int:
    """Greatest tick whose root is at most `root` (`getTickAtSqrtRatio`), below the last one.

    The logarithm tells it but close to a tick, where the root of the tick itself does: the lowest
    roots are rounded up by as much as 5e-6 ticks.
    """
    place = math.log(root) * TICKS_PER_LOG
    tick = int(np.floor(place))
    near = int(np.floor(place + 0.5))
    if abs(place - near) < 1e-5:
        near = min(max(near, MIN_TICK), MAX_TICK)
        tick = near if root_at_tick(near) <= root else near - 1
    return min(max(tick, MIN_TICK), MAX_TICK - 1)


@kernel
def amount_0(liquidity: float, low: float, high: float) -> float:
    """Tokens of asset 0 between two roots: L (1 / sqrt a - 1 / sqrt b)."""
    return liquidity * (high - low) / (low * high)


@kernel
def amount_1(liquidity: float, low: float, high: float) -> float:
    """Tokens of asset 1 between two roots: L (sqrt b - sqrt a)."""
    return liquidity * (high - low)


@kernel
def round_up(value: float, unit: float) -> float:
    """Value in whole units, rounded up but for the noise of float64; as it is without a unit."""
    return np.ceil(value / unit * (1.0 - 4e-16)) * unit if unit > 0.0 else value


@kernel
def round_down(value: float, unit: float) -> float:
    """Value in whole units, rounded down but for the noise of float64; as it is without a unit."""
    return np.floor(value / unit * (1.0 + 4e-16)) * unit if unit > 0.0 else value


@kernel
def swap_step(
    root: float, end: float, gap: float, falls: bool, liquidity: float, left: float, fee: float,
    exact_out: bool, unit: float, quantum: float,
) -> tuple[float, float, float, float, float, bool]:  # fmt: skip
    """Trade within one range of constant liquidity (`computeSwapStep`).

    Parameters
    ----------
    root : float
        Square root of the price.
    end : float
        Root where the range, or the caller's limit, ends.
    gap : float
        Distance of the two, which may have more digits than their difference.
    falls : bool
        Whether asset 0 is sold, which lowers the price.
    liquidity : float
    left : float
        What is still to be handed in, fee included; with `exact_out` to be paid out.
    fee : float
        Fraction of what is handed in.
    exact_out : bool
    unit, quantum : float
        Smallest amount, and smallest move of a root, where the chain's roundings are wanted; 0:
        no rounding.

    Returns
    -------
    float, float, float, float, float, bool
        How far the root moved and where to; amount in without fee; amount out; fee; whether the
        end of the range is reached.
    """
    sold = left if exact_out else round_down(left * (1.0 - fee), unit)
    on_asset_0 = falls != exact_out  # whether `left` counts asset 0
    whole = liquidity * gap / (root * end) if on_asset_0 else liquidity * gap
    whole = round_down(whole, unit) if exact_out else round_up(whole, unit)
    reached = sold >= whole
    move, after = gap, end
    if not reached:
        if not on_asset_0:
            move = sold / liquidity
        elif exact_out:
            move = root * (sold * root) / (liquidity - sold * root)
        else:
            move = root * (sold * root) / (liquidity + sold * root)
        if quantum > 0.0:  # a root is rounded so that the pool does not lose by it
            move = (np.ceil(move / quantum) if exact_out else np.floor(move / quantum)) * quantum
        if on_asset_0 and falls and not move < 0.5 * root:  # the difference would lose digits
            after = root * liquidity / (liquidity + sold * root)
        else:
            after = root - move if falls else root + move
    taken = liquidity * move / (root * after) if falls else liquidity * move
    given = liquidity * move if falls else liquidity * move / (root * after)
    paid, out = round_up(taken, unit), round_down(given, unit)
    if exact_out and not reached:
        out = min(out, left) if unit > 0.0 else left
    elif not reached and unit == 0.0:
        paid = sold
    charged = round_up(paid * fee / (1.0 - fee), unit)
    if not reached and not exact_out:
        charged = left - paid
    return move, after, paid, out, charged, reached
