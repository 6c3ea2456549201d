"""The trade with a pool that pays most against prices outside, whatever the pool's invariant.

A pool publishes its state as one NamedTuple; kernels of agents hand it to `best_swap`, which numba
resolves by its type, so that each pool costs what its own arithmetic costs. Coins are counted as in
the `assets` of the state.
"""

import math
from typing import Any, NamedTuple

from sim.amm.constant_product import ConstantProductState, amount_out, profit_maximising_input
from sim.amm.invariant import dynamic_fee, exchange, invariant_weight
from sim.amm.ranges import ConcentratedState, trade
from sim.amm.stableswap import LEAST, StableSwapState, load
from sim.amm.ticks import MAX_ROOT, MIN_ROOT
from sim.kernel import I64, inlined, kernel, resolves
from sim.lending.band_trades import profit_maximising_exchange
from sim.lending.llamma import BandState

SPARE = 1.0 - 1e-12  # of an amount that a pool must take whole
CLOSE = 1e-12  # a bracket this narrow, relative, is a root


class BandPool(NamedTuple):
    """The bands of a crvUSD market seen as a pool of its two assets."""

    bands: BandState
    assets: I64  # (2,) collateral and stable token


Pool = ConstantProductState | ConcentratedState | StableSwapState | BandPool


def best_swap(pool: Any, w: int, i: int, j: int, cost: float, most: float) -> tuple[float, float]:
    """Amount of coin i that maximises what comes out less `cost` times it, and what comes out.

    Parameters
    ----------
    pool : Pool
    w : int
        World.
    i, j : int
        Places of the coins in and out.
    cost : float
        Whole tokens of coin j that one of coin i is worth outside.
    most : float
        Largest amount in, whole tokens.

    Returns
    -------
    amount, out : float
        Both 0 where nothing pays.
    """
    if isinstance(pool, ConcentratedState):
        return concentrated_swap(pool, w, i, j, cost, most)
    if isinstance(pool, StableSwapState):
        return stableswap_swap(pool, w, i, j, cost, most)
    if isinstance(pool, BandPool):
        return band_swap(pool, w, i, j, cost, most)
    return constant_product_swap(pool, w, i, j, cost, most)


@kernel
def constant_product_swap(
    pool: ConstantProductState, w: int, i: int, j: int, cost: float, most: float
) -> tuple[float, float]:
    """Use the closed form of `profit_maximising_input`."""
    held, paying, fee = pool.reserves[w, i], pool.reserves[w, j], pool.fee[w]
    amount = min(profit_maximising_input(held, paying, fee, cost), most)
    return amount, amount_out(amount, held, paying, fee)


@kernel
def concentrated_swap(
    pool: ConcentratedState, w: int, i: int, j: int, cost: float, most: float
) -> tuple[float, float]:
    """Trade, tick by tick, to the root of the price at which the next token pays no more.

    With g = 1 - fee and the root r, a token of asset 0 brings g r^2 of asset 1, and a token of
    asset 1 brings g / r^2; the price moves without jumps, so the last token is the best place to
    stop.
    """
    falls, keep = i < j, 1.0 - pool.fee
    root = math.sqrt(cost / keep) if falls else math.sqrt(keep / cost)
    root = min(max(root, MIN_ROOT * pool.scale), MAX_ROOT * pool.scale)
    if not (most > 0.0 and (root < pool.root[w] if falls else root > pool.root[w])):
        return 0.0, 0.0
    trade(pool, w, falls, most * SPARE, False, root)
    return pool.found[0] * SPARE, pool.found[1] * SPARE


@inlined
def next_token(
    pool: StableSwapState, w: int, i: int, j: int, paid: float, d: float
) -> float:  # fmt: skip
    """Worth that the next unit of worth into balance i brings, after `paid` and all fees.

    From the invariant with both balances moved, dy / dx = (A n + K / x) / (A n + K / y), with K =
    D^(n+1) / (n^n P); the fee depends on the middle of the trade (`amount_out`).
    """
    x, a, n = pool.x, pool.amplification[w], pool.x.shape[0]
    gross = exchange(x, i, j, paid, a, d)
    into, outof = x[i] + paid, x[j] - gross
    weight = invariant_weight(x, d) * (x[i] / into) * (x[j] / outof)
    slope = (a * n + weight / into) / (a * n + weight / outof)
    low, high = x[i] + 0.5 * paid, x[j] - 0.5 * gross
    total = low + high
    rate = dynamic_fee(low, high, pool.fee[w], pool.offpeg)
    if pool.offpeg <= 1.0 or rate == 0.0:
        return float(slope * (1.0 - rate))
    # rate = q f / (4 (q - 1) u + 1), u = low high / total^2
    turn = 0.5 * (high - slope * low) / (total * total)
    turn -= low * high * (1.0 - slope) / (total * total * total)
    turn *= 4.0 * (pool.offpeg - 1.0) * rate * rate / (pool.offpeg * pool.fee[w])
    return float(slope * (1.0 - rate) + gross * turn)


@kernel
def stableswap_swap(
    pool: StableSwapState, w: int, i: int, j: int, cost: float, most: float
) -> tuple[float, float]:
    """Bisect for the amount at which the next token pays no more, in the pool's unit of worth."""
    d = load(pool, w)
    price, low, high = cost * pool.rates[j] / pool.rates[i], 0.0, most * pool.rates[i]
    if not (high > 0.0 and next_token(pool, w, i, j, 0.0, d) > price):
        return 0.0, 0.0
    if next_token(pool, w, i, j, high, d) < price:
        for _ in range(100):
            middle = 0.5 * (low + high)
            if next_token(pool, w, i, j, middle, d) > price:
                low = middle
            else:
                high = middle
            if high - low <= CLOSE * high:
                break
    gross = exchange(pool.x, i, j, high, pool.amplification[w], d)
    rate = dynamic_fee(pool.x[i] + 0.5 * high, pool.x[j] - 0.5 * gross, pool.fee[w], pool.offpeg)
    if gross > pool.x[j] * (1.0 - LEAST):
        return 0.0, 0.0
    return high / pool.rates[i], gross * (1.0 - rate) / pool.rates[j]


@kernel
def band_swap(
    pool: BandPool, w: int, i: int, j: int, cost: float, most: float
) -> tuple[float, float]:
    """Walk the bands: see `sim.lending.band_trades`."""
    return profit_maximising_exchange(pool.bands, w, i > j, cost, most)


@resolves(best_swap)
def _best_swap(pool, w, i, j, cost, most):  # type: ignore[no-untyped-def]
    del w, i, j, cost, most
    chosen: Any = constant_product_swap
    if pool.instance_class is ConcentratedState:
        chosen = concentrated_swap
    elif pool.instance_class is StableSwapState:
        chosen = stableswap_swap
    elif pool.instance_class is BandPool:
        chosen = band_swap
    return lambda pool, w, i, j, cost, most: chosen(pool, w, i, j, cost, most)
