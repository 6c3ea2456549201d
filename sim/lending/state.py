"""Arrays of a pooled lending market; the first axis is the world, but for the owners.

Balances of positions are scaled: tokens = scaled × index. Everything but the positions lives in one
`Arena`, so that a world is reset, saved and undone by one copy. The arena's memory is seen as
records: numba flattens a tuple of arrays into the signature of every kernel, and two arrays of
records compile in half the time that forty arrays of numbers take.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sim.kernel import F64, I32, Rows, inlined
from sim.state import Arena

ASSET_TERMS = (  # ReserveParams has a field of each name but `listed`; units there
    "listed",  # 1 where the asset has a reserve
    "ltv",
    "liquidation_threshold",
    "liquidation_bonus",
    "protocol_fee",
    "reserve_factor",
    "supply_cap",
    "borrow_cap",
    "base_rate",
    "slope_1",
    "slope_2",
    "optimal_utilisation",
    "frozen",
    "paused",
    "isolated",
    "debt_ceiling",
    "borrowable_in_isolation",
    "siloed",
)
RESERVE = np.dtype(
    [
        *((name, np.float64) for name in ASSET_TERMS),
        ("liquidity_index", np.float64),  # tokens per scaled unit of supply
        ("borrow_index", np.float64),  # tokens per scaled unit of debt
        ("liquidity_rate", np.float64),  # per year
        ("borrow_rate", np.float64),  # per year
        ("total_collateral", np.float64),  # scaled supply of all positions
        ("total_debt", np.float64),  # scaled debt of all positions
        ("treasury", np.float64),  # scaled supply of the treasury
        ("surplus", np.float64),  # tokens: interest on debt less interest on supply, signed
        ("deficit", np.float64),  # tokens of debt that were written off
        ("isolated_debt", np.float64),  # tokens borrowed against it alone, of any kind
        ("flash", np.float64),  # tokens lent until the end of the bundle
        ("supplier_interest", np.float64),  # tokens, cumulative, without the treasury's
        ("reserve_income", np.float64),  # tokens, cumulative, from interest to the treasury
        ("fee_income", np.float64),  # tokens, cumulative: liquidation fees and flash premiums
    ]
)
MARKET_TERMS = (  # PooledParams has a field of each name; units there
    "close_factor",
    "close_factor_health",
    "close_factor_value",
    "min_leftover",
    "flash_premium",
    "binomial",
    "book_deficit",
)
MARKET = np.dtype(
    [
        *((name, np.float64) for name in MARKET_TERMS),
        ("bad_debt_usd", np.float64),  # cumulative, at the oracle's prices when it was booked
    ]
)


# Columns of `modes`: a category's threshold and loan-to-value as multiples of the reserve's, its
# bonus, or -1 where the asset is no collateral of the category, and 1 where it may be borrowed.
LIFT, LTV_LIFT, BONUS, BORROWABLE = range(4)

LINE_BYTES = 64  # of a cache line


class PooledState(NamedTuple):
    """State of a pooled market: W worlds, N positions, A assets; see `new_positions`."""

    owner: I32  # (N,) ledger account that owns the position
    collateral: F64  # (W, N, A) scaled supply of each position
    debt: F64  # (W, N, A) scaled debt of each position
    reserves: Rows  # (W, A) records of RESERVE
    market: Rows  # (W,) records of MARKET
    mode: I32  # (W, N) category of each position, from 1; 0: none; (W, 0) where there are none
    modes: F64  # (C, A, 4) terms of the categories; see LIFT, LTV_LIFT, BONUS, BORROWABLE


def new_arena(n_worlds: int, n_assets: int, own: Mapping[str, tuple[int, ...]]) -> Arena:
    """Allocate all state but the positions; `own` are a mechanism's further fields."""
    return Arena(
        n_worlds,
        {
            "reserves": (n_assets, len(RESERVE.names or ())),
            "market": (len(MARKET.names or ()),),
            **own,
        },
    )


def new_positions(n_worlds: int, n: int, n_assets: int) -> tuple[F64, F64]:
    """Allocate collateral and debt, shape (world, position, asset), views of one block of memory.

    Both lie side by side, and a position of four assets fills one cache line: positions are read in
    no order, and the miss is what a read costs.
    """
    size = n_worlds * n * 2 * n_assets
    room = np.zeros(size + LINE_BYTES // 8)
    start = -(room.ctypes.data % LINE_BYTES) % LINE_BYTES // 8
    both = room[start : start + size].reshape(n_worlds, n, 2, n_assets)
    return both[:, :, 0], both[:, :, 1]


@inlined
def mode_of(state: PooledState, w: int, p: int) -> int:
    """Category of a position, from 0; -1 without one."""
    return int(state.mode[w, p]) - 1 if state.modes.shape[0] > 0 else -1


@inlined
def lift_of(state: PooledState, mode: int, a: int, column: int) -> float:
    """Multiple of the reserve's threshold (LIFT) or loan-to-value (LTV_LIFT) in a category."""
    return float(state.modes[mode, a, column]) if mode >= 0 else 1.0


@inlined
def bonus_of(state: PooledState, w: int, p: int, a: int) -> float:
    """Liquidation bonus on a position's collateral in an asset."""
    mode = mode_of(state, w, p)
    if mode >= 0 and state.modes[mode, a, BONUS] >= 0.0:
        return float(state.modes[mode, a, BONUS])
    return float(state.reserves[w, a]["liquidation_bonus"])


def as_records(numbers: F64, kind: "np.dtype[np.void]") -> Rows:
    """See an array of float64 as records, whose fields are its last axis; no copy."""
    return numbers.view(kind).reshape(numbers.shape[:-1])
