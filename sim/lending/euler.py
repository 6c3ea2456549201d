"""Euler v2's liquidations (`EVault/modules/Liquidation.sol`)."""

from sim.kernel import inlined

# Kernels


@inlined
def maximum_liquidation(
    adjusted: float,
    liability_value: float,
    liability: float,
    held: float,
    held_value: float,
    max_discount: float,
) -> tuple[float, float, float]:
    """Most that one liquidation repays and seizes (`calculateMaxLiquidation`).

    The liquidator pays the health score per worth of collateral: the discount is the shortfall, and
    no more than `max_discount`.

    Parameters
    ----------
    adjusted : float
        Collateral of the account, each part times its liquidation LTV, USD.
    liability_value, liability : float
        Debt in USD, and in whole tokens.
    held, held_value : float
        Collateral of the kind to be seized, whole tokens and USD.
    max_discount : float
        Fraction.

    Returns
    -------
    factor, repay, seized : float
        Price paid per worth of collateral (1: the account is healthy), tokens repaid and seized.
    """
    if adjusted > liability_value or liability_value <= 0.0:
        return 1.0, 0.0, 0.0
    factor = max(adjusted / liability_value, 1.0 - max_discount)
    repay, seized_value = liability, liability_value / factor
    if held_value < seized_value:
        repay = liability * (held_value * factor / liability_value)
        return factor, repay, held
    return factor, repay, held * (seized_value / held_value)
