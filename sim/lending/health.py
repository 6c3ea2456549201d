"""What a position is worth, and how healthy it is, at the oracle's prices.

Health factor = Σ collateral × liquidation threshold / Σ debt, in USD; infinite without debt. All
kernels here multiply in the same order, so that the liquidation index, the verbs and a brute-force
scan agree to the last bit.
"""

import numpy as np

from sim.kernel import F64, Rows, inlined, kernel
from sim.lending.state import LIFT, LTV_LIFT, PooledState, lift_of, mode_of


@inlined
def position_values(
    state: PooledState, prices: F64, w: int, position: int
) -> tuple[float, float, float, float]:
    """Collateral, threshold-weighted collateral, LTV-weighted collateral and debt, all in USD.

    Supply in a reserve whose liquidation threshold is 0 is no collateral and counts nowhere.
    """
    collateral = 0.0
    weighted = 0.0
    power = 0.0
    debt = 0.0
    mode = mode_of(state, w, position)
    for a in range(prices.shape[1]):
        reserve = state.reserves[w, a]
        value = prices[w, a] * reserve["liquidity_index"]
        threshold = reserve["liquidation_threshold"]
        held = state.collateral[w, position, a]
        if threshold > 0.0 and held > 0.0:
            collateral += held * value
            power += held * (value * reserve["ltv"]) * lift_of(state, mode, a, LTV_LIFT)
            weighted += held * (value * threshold) * lift_of(state, mode, a, LIFT)
        debt += state.debt[w, position, a] * (prices[w, a] * reserve["borrow_index"])
    return collateral, weighted, power, debt


@kernel
def fill_weights(state: PooledState, prices: F64, w: int, weights: Rows) -> None:
    """Set USD that a scaled unit adds to threshold-weighted collateral and to debt, one world.

    `weights` has shape (world, asset) and fields `collateral` and `debt`.
    """
    for a in range(prices.shape[1]):
        reserve = state.reserves[w, a]
        value = prices[w, a] * reserve["liquidity_index"]
        weights[w, a]["collateral"] = value * reserve["liquidation_threshold"]
        weights[w, a]["debt"] = prices[w, a] * reserve["borrow_index"]


@kernel
def fill_health(state: PooledState, prices: F64, weights: Rows, out: F64) -> None:
    """Health factors of all positions of all worlds, shape (world, position)."""
    n_assets = prices.shape[1]
    for w in range(out.shape[0]):
        fill_weights(state, prices, w, weights)
        for p in range(out.shape[1]):
            weighted = 0.0
            debt = 0.0
            mode = mode_of(state, w, p)
            for a in range(n_assets):
                lift = lift_of(state, mode, a, LIFT)
                weighted += state.collateral[w, p, a] * weights[w, a]["collateral"] * lift
                debt += state.debt[w, p, a] * weights[w, a]["debt"]
            out[w, p] = weighted / debt if debt > 0.0 else np.inf


@kernel
def collateral_of_borrowers(state: PooledState, prices: F64, total: F64, power: F64) -> None:
    """Fill collateral of the positions that owe something, and what the LTVs let it borrow.

    `total` and `power`, USD, have shape (world,).
    """
    for w in range(total.shape[0]):
        total[w], power[w] = 0.0, 0.0
        for p in range(state.debt.shape[1]):
            collateral, _, allowed, debt = position_values(state, prices, w, p)
            if debt > 0.0:
                total[w] += collateral
                power[w] += allowed


@kernel
def fill_worth(state: PooledState, prices: F64, holds: F64, owes: F64) -> None:
    """All supply and all debt of every position, USD, shapes (world, position)."""
    for w in range(holds.shape[0]):
        for p in range(holds.shape[1]):
            held, owed = 0.0, 0.0
            for a in range(prices.shape[1]):
                reserve = state.reserves[w, a]
                held += state.collateral[w, p, a] * (prices[w, a] * reserve["liquidity_index"])
                owed += state.debt[w, p, a] * (prices[w, a] * reserve["borrow_index"])
            holds[w, p], owes[w, p] = held, owed
