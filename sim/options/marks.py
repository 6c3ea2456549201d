"""Volatilities that options are marked at when a model says how volatility goes on.

Small enough for every step of an environment; `sim.options.greeks.sabr_volatility` is SABR for any
exponent, with more digits at the money.
"""

import math

from sim.kernel import inlined


@inlined
def expected_volatility(level: float, alpha: float, b: float, jumps: float, years: float) -> float:
    """Root of the variance expected on average until expiry, of one that reverts to its mean.

    b + (V - b) (1 - exp(-alpha T)) / (alpha T) + jumps, as in Heston's model.

    Parameters
    ----------
    level : float
        Root of the present variance V, annual.
    alpha, b, jumps : float
        Mean reversion, a year, above 0; long-run variance; variance of jumps, both annual.
    years : float
        To expiry, above 0.
    """
    share = -math.expm1(-alpha * years) / (alpha * years)
    return math.sqrt(b + (level * level - b) * share + jumps)


@inlined
def lognormal_sabr(level: float, rho: float, nu: float, log_ratio: float, years: float) -> float:
    """Implied volatility of SABR with exponent 1 (Hagan, Kumar, Lesniewski, Woodward 2002, 2.17).

    Parameters
    ----------
    level, rho, nu : float
        Volatility, annual; its correlation with the price; its own volatility, above 0.
    log_ratio : float
        Log of price over strike.
    years : float
        To expiry.
    """
    drift = 1.0 + (0.25 * rho * nu * level + (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu) * years
    z = nu / level * log_ratio
    if abs(z) < 1e-6:
        return float(level * drift * (1.0 - 0.5 * rho * z))
    x = math.log((math.sqrt(1.0 - 2.0 * rho * z + z * z) + z - rho) / (1.0 - rho))
    return float(level * drift * z / x)
