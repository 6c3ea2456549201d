"""Compound v2's money markets (`CToken.sol`, `Comptroller.sol`, `JumpRateModelV2.sol`)."""

from sim.kernel import inlined, kernel

BLOCKS_PER_YEAR = 2_102_400.0  # of 15 seconds, as both rate models assume


# Kernels


@kernel
def utilisation(cash: float, borrows: float, reserves: float) -> float:
    """Borrows over what suppliers own: cash and borrows less the protocol's reserves.

    Above 1 where the reserves exceed the cash; 0 without borrows.
    """
    if borrows <= 0.0:
        return 0.0
    return borrows / (cash + borrows - reserves)


@kernel
def supply_rate(rate: float, used: float, reserve_factor: float) -> float:
    """Rate that suppliers earn when borrowers pay `rate`; any unit of time."""
    return used * (rate * (1.0 - reserve_factor))


@kernel
def exchange_rate(cash: float, borrows: float, reserves: float, shares: float) -> float:
    """Tokens per share of supply; 1 without shares."""
    if shares <= 0.0:
        return 1.0
    return (cash + borrows - reserves) / shares


@inlined
def seize(
    repaid: float, debt_price: float, price: float, exchange: float, incentive: float, share: float
) -> tuple[float, float]:
    """Shares of collateral that a repayment seizes, and the protocol's part of them.

    Parameters
    ----------
    repaid : float
        Debt repaid, whole tokens.
    debt_price, price : float
        USD per whole token of the debt and of the collateral.
    exchange : float
        Tokens of collateral per share.
    incentive : float
        Worth seized per worth repaid: 1.08.
    share : float
        Fraction of what is seized that the protocol keeps: 0.028.
    """
    seized = repaid * (incentive * debt_price / (price * exchange))
    return seized, seized * share
