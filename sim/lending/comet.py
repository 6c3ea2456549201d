"""Compound III (`Comet.sol`)."""

import math

from sim.kernel import inlined, kernel
from sim.lending.rates import YEAR

WAD = 1e18


def per_second(rate: float) -> float:
    """Rate per second of a yearly rate, cut to 18 decimals as the contract's constructor does."""
    return math.floor(rate * WAD / YEAR + 1e-6) / WAD


# Kernels


@inlined
def store_front_price(price: float, store_front_factor: float, liquidation_factor: float) -> float:
    """USD at which the protocol sells a whole token of absorbed collateral.

    The buyer gets `store_front_factor` of the penalty 1 - `liquidation_factor` as a discount.
    """
    return price * (1.0 - store_front_factor * (1.0 - liquidation_factor))


@inlined
def quote_collateral(
    base_amount: float, base_price: float, price: float, store_front_factor: float,
    liquidation_factor: float,
) -> float:  # fmt: skip
    """Collateral that `base_amount` of the base asset buys, whole tokens (`quoteCollateral`)."""
    return (
        base_amount * base_price / store_front_price(price, store_front_factor, liquidation_factor)
    )


@kernel
def absorbed(balance: float, seized_value: float, base_price: float) -> tuple[float, float]:
    """Find the base balance after absorption, and what the reserves paid for it, whole tokens.

    Parameters
    ----------
    balance : float
        Base balance before, negative: debt.
    seized_value : float
        USD of all collateral, each part times its liquidation factor.
    base_price : float
        USD per whole token of the base asset.

    Returns
    -------
    float, float
        A balance that is zero or more, and the rise of the balance, which the reserves bear.
    """
    after = max(balance + seized_value / base_price, 0.0)
    return after, after - balance
