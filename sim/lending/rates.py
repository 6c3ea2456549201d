"""Interest: rates with a kink, what suppliers get of them, and how indices grow.

Aave v3 (`DefaultReserveInterestRateStrategyV2.sol`, `MathUtils.sol`): the borrow rate is linear in
utilisation with a kink at the optimal utilisation; supply interest is linear between updates, debt
interest compounds by the third-order expansion of the exponential that the contract computes.
Rates are per year as fractions, indices are pure numbers that start at 1.
"""

import numpy as np

from sim.kernel import kernel

YEAR = 31_536_000.0  # seconds; the contract ignores leap years
RAY = 1e27  # the contract's smallest part of a rate


@kernel
def utilisation(debt: float, cash: float) -> float:
    """Share of a reserve's liquidity that is lent out; 0 for an empty reserve."""
    if debt <= 0.0:
        return 0.0
    return debt / (debt + cash)


@kernel
def borrow_rate(used: float, base: float, slope_1: float, slope_2: float, optimal: float) -> float:
    """Two-slope borrow rate per year at utilisation `used`."""
    if used > optimal:
        return base + slope_1 + slope_2 * ((used - optimal) / (1.0 - optimal))
    return base + slope_1 * used / optimal


@kernel
def liquidity_rate(rate: float, used: float, reserve_factor: float) -> float:
    """Yearly rate that suppliers earn when borrowers pay `rate` on the share `used`."""
    return rate * used * (1.0 - reserve_factor)


@kernel
def linear_interest(rate: float, seconds: float) -> float:
    """Growth factor of the liquidity index over some seconds."""
    return 1.0 + rate * seconds / YEAR


@kernel
def compounded_interest(rate: float, seconds: float) -> float:
    """Growth factor of the borrow index: 1 + x + x²/2 + x³/6 with x = rate × time in years."""
    x = rate * seconds / YEAR
    return 1.0 + x + x * (x / 2.0 + x * (x / 6.0))


@kernel
def binomial_interest(rate: float, seconds: float) -> float:
    """Growth factor of the borrow index in Aave v3.0: three terms of (1 + r / YEAR)^seconds.

    `MathUtils.calculateCompoundedInterest` of aave-v3-core 1.19.3: 1 + n r + n(n-1)/2 r² +
    n(n-1)(n-2)/6 r³ with r the rate per second. The contract cuts r² and r³ to 27 decimals, which
    is a third of r³ where the rate is 10% a year: so does this.
    """
    n = seconds
    square = np.floor(rate * rate * RAY / (YEAR * YEAR))
    cube = np.floor(np.floor(square * rate + 0.5) / YEAR)
    second = n * max(n - 1.0, 0.0) / 2.0
    third = second * max(n - 2.0, 0.0) / 3.0
    return float(1.0 + rate * n / YEAR + (second * square + third * cube) / RAY)


@kernel
def kinked_rate(
    used: float, base: float, slope_low: float, slope_high: float, kink: float
) -> float:
    """Rate with one slope up to the kink and another beyond, both per unit of utilisation.

    Compound III's two curves and, with its first slope divided by the kink, the jump-rate model of
    Compound v2; without a kink (inf) its white-paper model. Any unit of time.
    """
    if used <= kink:
        return base + slope_low * used
    return base + slope_low * kink + slope_high * (used - kink)


@kernel
def taylor_growth(x: float) -> float:
    """First three terms of exp(x) - 1, as Morpho Blue's `wTaylorCompounded` has them."""
    return x + x * x / 2.0 + x * x * x / 6.0
