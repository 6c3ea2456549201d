"""Arrays of a pooled lending market; the first axis is the world, but for the owners.

Balances of positions are scaled: tokens = scaled × index. Everything but the positions lives in one
`Arena`, so that a world is reset, saved and undone by one copy.
"""

from typing import NamedTuple

from sim.kernel import F64, I32

ASSET_TERMS = (  # per world and asset; ReserveParams has a field of each name but `listed`
    "listed",
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
)
MARKET_TERMS = (  # per world; PooledParams has a field of each name
    "close_factor",
    "close_factor_health",
    "close_factor_value",
    "min_leftover",
    "flash_premium",
)
RESERVES = (  # per world and asset
    "liquidity_index",
    "borrow_index",
    "liquidity_rate",
    "borrow_rate",
    "total_collateral",
    "total_debt",
    "treasury",
    "surplus",
    "deficit",
    "flash",
    "supplier_interest",
    "reserve_income",
    "fee_income",
)


class PooledState(NamedTuple):
    """State of a pooled market: W worlds, N positions, A assets."""

    owner: I32  # (N,) ledger account that owns the position
    collateral: F64  # (W, N, A) scaled supply of each position
    debt: F64  # (W, N, A) scaled debt of each position

    listed: F64  # (W, A) 1 where the asset has a reserve
    ltv: F64  # (W, A) fraction of the value that may be borrowed against
    liquidation_threshold: F64  # (W, A) fraction of the value that counts for health
    liquidation_bonus: F64  # (W, A) fraction on top of the debt's worth
    protocol_fee: F64  # (W, A) share of the bonus kept by the treasury
    reserve_factor: F64  # (W, A) share of the interest kept by the treasury
    supply_cap: F64  # (W, A) whole tokens, inf: none
    borrow_cap: F64  # (W, A) whole tokens, inf: none
    base_rate: F64  # (W, A) per year
    slope_1: F64  # (W, A) per year, up to the optimal utilisation
    slope_2: F64  # (W, A) per year, beyond it
    optimal_utilisation: F64  # (W, A) fraction
    frozen: F64  # (W, A) 1: no new supply, no new debt
    paused: F64  # (W, A) 1: nothing at all

    close_factor: F64  # (W,) share of total debt per call
    close_factor_health: F64  # (W,) health at which all may be repaid
    close_factor_value: F64  # (W,) USD under which all may be repaid
    min_leftover: F64  # (W,) USD that a partial liquidation must leave
    flash_premium: F64  # (W,) fraction of a flash loan

    liquidity_index: F64  # (W, A) tokens per scaled unit of supply
    borrow_index: F64  # (W, A) tokens per scaled unit of debt
    liquidity_rate: F64  # (W, A) per year
    borrow_rate: F64  # (W, A) per year
    total_collateral: F64  # (W, A) scaled supply of all positions
    total_debt: F64  # (W, A) scaled debt of all positions
    treasury: F64  # (W, A) scaled supply of the treasury
    surplus: F64  # (W, A) tokens: interest on debt less interest on supply, signed
    deficit: F64  # (W, A) tokens of debt that were written off
    flash: F64  # (W, A) tokens lent until the end of the bundle
    supplier_interest: F64  # (W, A) tokens, cumulative, without the treasury's
    reserve_income: F64  # (W, A) tokens, cumulative, from interest to the treasury
    fee_income: F64  # (W, A) tokens, cumulative, liquidation fees and flash premiums
    bad_debt_usd: F64  # (W,) cumulative, at the oracle's prices when it was booked


def arena_fields(n_assets: int) -> dict[str, tuple[int, ...]]:
    """Shapes without the world axis of all that the arena holds."""
    fields: dict[str, tuple[int, ...]] = dict.fromkeys(ASSET_TERMS, (n_assets,))
    fields.update(dict.fromkeys(MARKET_TERMS, ()))
    fields.update(dict.fromkeys(RESERVES, (n_assets,)))
    fields["bad_debt_usd"] = ()
    return fields
