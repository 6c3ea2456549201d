"""Morpho Blue (`Morpho.sol` and its libraries)."""

from sim.kernel import inlined, kernel

VIRTUAL_ASSETS = 1.0  # smallest units that every market pretends to hold
VIRTUAL_SHARES = 1e6
CURSOR = 0.3  # of the liquidation incentive
MAX_INCENTIVE = 1.15


# Kernels


@kernel
def incentive_factor(lltv: float) -> float:
    """Worth seized per worth repaid, by the liquidation loan-to-value."""
    return min(MAX_INCENTIVE, 1.0 / (1.0 - CURSOR * (1.0 - lltv)))


@inlined
def to_shares(assets: float, total_assets: float, total_shares: float, unit: float) -> float:
    """Shares of an amount; `unit` is the token's smallest unit, in which the virtual part is."""
    virtual = VIRTUAL_ASSETS * unit
    return assets * ((total_shares + VIRTUAL_SHARES * unit) / (total_assets + virtual))


@inlined
def to_assets(shares: float, total_assets: float, total_shares: float, unit: float) -> float:
    """Amount of some shares; see `to_shares`."""
    virtual = VIRTUAL_ASSETS * unit
    return shares * ((total_assets + virtual) / (total_shares + VIRTUAL_SHARES * unit))


@inlined
def repaid_for(seized: float, price: float, factor: float) -> float:
    """Loan tokens to repay for collateral; `price` in loan tokens per collateral token."""
    return seized * price / factor


@inlined
def seized_for(repaid: float, price: float, factor: float) -> float:
    """Collateral tokens that a repayment of loan tokens seizes."""
    return repaid * factor / price
