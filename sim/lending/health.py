"""What a position is worth, and how healthy it is, at the oracle's prices.

Health factor = Σ collateral × liquidation threshold / Σ debt, in USD; infinite without debt. All
kernels here multiply in the same order, so that the liquidation index, the verbs and a brute-force
scan agree to the last bit.
"""

import numpy as np

from sim.kernel import F64, kernel
from sim.lending.state import PooledState


@kernel
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
    for a in range(prices.shape[1]):
        value = prices[w, a] * state.liquidity_index[w, a]
        threshold = state.liquidation_threshold[w, a]
        held = state.collateral[w, position, a]
        if threshold > 0.0 and held > 0.0:
            collateral += held * value
            power += held * (value * state.ltv[w, a])
            weighted += held * (value * threshold)
        debt += state.debt[w, position, a] * (prices[w, a] * state.borrow_index[w, a])
    return collateral, weighted, power, debt


@kernel
def position_health(state: PooledState, prices: F64, w: int, position: int) -> float:
    """Health factor of one position; inf without debt."""
    _, weighted, _, debt = position_values(state, prices, w, position)
    if debt <= 0.0:
        return np.inf
    return weighted / debt


@kernel
def fill_weights(
    state: PooledState, prices: F64, w: int, collateral_weight: F64, debt_weight: F64
) -> None:
    """USD that a scaled unit adds to threshold-weighted collateral and to debt, one world."""
    for a in range(prices.shape[1]):
        value = prices[w, a] * state.liquidity_index[w, a]
        collateral_weight[w, a] = value * state.liquidation_threshold[w, a]
        debt_weight[w, a] = prices[w, a] * state.borrow_index[w, a]


@kernel
def fill_health(
    state: PooledState, prices: F64, collateral_weight: F64, debt_weight: F64, out: F64
) -> None:
    """Health factors of all positions of all worlds, shape (world, position)."""
    n_assets = prices.shape[1]
    for w in range(out.shape[0]):
        fill_weights(state, prices, w, collateral_weight, debt_weight)
        for p in range(out.shape[1]):
            weighted = 0.0
            debt = 0.0
            for a in range(n_assets):
                weighted += state.collateral[w, p, a] * collateral_weight[w, a]
                debt += state.debt[w, p, a] * debt_weight[w, a]
            out[w, p] = weighted / debt if debt > 0.0 else np.inf
