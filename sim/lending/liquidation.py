"""How much of an unhealthy position may be liquidated, for how much collateral.

Aave v3.3 and later (`LiquidationLogic.sol`): dynamic close factor, bonus, protocol fee out of the
bonus, and the leftover rule that keeps liquidators from leaving dust.

Ties. The contract compares integers; here amounts are float64, so every threshold is met within
1e-12 relative (`TIE`): a position is liquidatable when its health factor is below `HEALTHY`, that
is 1 − 1e-12, which makes a position at health factor exactly 1 healthy whatever the rounding.
"""

from sim.kernel import inlined

TIE = 1e-12  # relative; float64 rounds at 1.1e-16 per operation, a position takes some dozens
HEALTHY = 1.0 - TIE


@inlined
def available_collateral(
    collateral_price: float,
    debt_price: float,
    debt_to_cover: float,
    balance: float,
    bonus: float,
    protocol_fee: float,
) -> tuple[float, float, float]:
    """Collateral that a repayment buys (`_calculateAvailableCollateralToLiquidate`).

    Parameters
    ----------
    collateral_price, debt_price : float
        USD per whole token, as the oracle says.
    debt_to_cover : float
        Debt that the liquidator would repay, whole tokens.
    balance : float
        Collateral of the position in this reserve, whole tokens.
    bonus : float
        Liquidation bonus as a fraction above 1: 0.05 pays 5% more than the debt's worth.
    protocol_fee : float
        Share of the bonus that goes to the treasury.

    Returns
    -------
    to_liquidator, debt_needed, fee : float
        Collateral paid out, debt repaid for it, collateral kept for the treasury.
    """
    factor = 1.0 + bonus
    seized = debt_price * debt_to_cover / collateral_price * factor
    debt_needed = debt_to_cover
    if seized > balance:
        seized = balance
        debt_needed = collateral_price * seized / debt_price / factor
    fee = (seized - seized / factor) * protocol_fee
    return seized - fee, debt_needed, fee


@inlined
def max_liquidatable_debt(
    reserve_debt: float,
    reserve_debt_usd: float,
    reserve_collateral_usd: float,
    total_debt_usd: float,
    health: float,
    debt_price: float,
    close_factor: float,
    close_factor_health: float,
    close_factor_value: float,
) -> float:
    """Debt in one reserve that one call may repay, whole tokens.

    All of it when health is at or below `close_factor_health` or the position is small in either
    reserve; else at most `close_factor` of the position's *total* debt.
    """
    small = close_factor_value * HEALTHY
    if health <= close_factor_health or reserve_debt_usd < small or reserve_collateral_usd < small:
        return reserve_debt
    most_usd = total_debt_usd * close_factor
    if reserve_debt_usd > most_usd:
        return min(reserve_debt, most_usd / debt_price)
    return reserve_debt


@inlined
def leaves_dust(debt_left_usd: float, collateral_left_usd: float, min_leftover: float) -> bool:
    """Whether a partial liquidation leaves less than the minimum of debt or of collateral."""
    least = min_leftover * HEALTHY
    return debt_left_usd < least or collateral_left_usd < least
