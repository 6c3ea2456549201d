"""European options by the COS method (Fang and Oosterlee 2008, SIAM J. Scientific Computing 31).

The density of X = ln(S_T / F) on a truncated range [a, b] is a cosine series whose coefficients are
values of the characteristic function at u_n = n pi / (b - a),

    A_n = Re[phi(u_n) exp(-i u_n a)],    f(x) = 2 / (b - a)  sum' A_n cos(u_n (x - a))

(sum' halves the first term). A put pays K - F exp(X) below k = ln(K / F), so that its price is the
sum of A_n times integrals of exp(x) cos and cos over [a, k], which are elementary. Puts are bounded
and do not suffer from a far right end; calls follow by parity. A_n does not depend on the strike.

The price is homogeneous in F and K, so the derivative by the strike, which is the probability of
X < k, gives delta, and the density gives gamma: no further sums.

Range: a, b = c_1 -+ L sqrt(c_2 + sqrt(c_4)), c_n the cumulants of X (their equation 49), taken by
finite differences of the exponent at 0, which only have to be right within some percent. The number
of terms doubles until |phi| at the end of the sum is below `CUTOFF`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import ConfigError
from sim.kernel import F64
from sim.options.black import CALL
from sim.options.characteristic import Model
from sim.options.terms import broadcast

WIDTH = 14.0  # L
CUTOFF = 1e-14  # of |phi| at the last term
MAX_TERMS = 1 << 17


@dataclass(frozen=True, slots=True)
class CosineDensity:
    """Cosine series of the density of X = ln(S_T / F)."""

    low: float  # a
    high: float  # b
    frequencies: F64  # (term,), u_n
    coefficients: F64  # (term,), A_n, the first one halved


def cumulants(model: Model, years: float) -> tuple[float, float, float]:
    """Mean, variance and fourth cumulant of X, by differences of the exponent at 0.

    With psi the exponent, and up to higher orders, Re psi(u) = -c_2 u^2 / 2 + c_4 u^4 / 24 and
    Im psi(u) = c_1 u - c_3 u^3 / 6; the step u is chosen so that c_2 u^2 is 0.01.
    """
    step, variance = 1.0, 1.0
    for _ in range(6):
        at = model.exponent(np.array([step, 2.0 * step]), years)
        variance = max((at[1].real - 16.0 * at[0].real) / (6.0 * step * step), 1e-18)
        step = 0.1 / np.sqrt(variance)
    at = model.exponent(np.array([step, 2.0 * step]), years)
    fourth = 2.0 * (at[1].real - 4.0 * at[0].real) / step**4
    mean = (8.0 * at[0].imag - at[1].imag) / (6.0 * step)
    return float(mean), float(variance), float(fourth)


def cosine_density(model: Model, years: float, width: float = WIDTH) -> CosineDensity:
    """Expand the density of the log return in cosines.

    Parameters
    ----------
    model : Model
        Has a characteristic function.
    years : float
        To expiry, above 0.
    width : float
        L of the module.

    Raises
    ------
    ConfigError
        If `years` is not above 0, or the characteristic function does not decay, as where the
        volatility is next to nothing.
    """
    if not (years > 0.0 and np.isfinite(years)):
        raise ConfigError(f"years must be above 0, got {years}; options at expiry pay their payoff")
    mean, variance, fourth = cumulants(model, years)
    half = width * np.sqrt(variance + np.sqrt(max(fourth, 0.0)))
    low, high = mean - half, mean + half
    n = 64
    while abs(np.exp(model.exponent(np.array([n * np.pi / (high - low)]), years)[0])) > CUTOFF:
        n *= 2
        if n > MAX_TERMS:
            raise ConfigError(
                f"the characteristic function at {years:g} years must decay within {MAX_TERMS} "
                "terms, but it does not; the model has hardly any volatility, raise it"
            )
    u = np.arange(n) * (np.pi / (high - low))
    values = (np.exp(model.exponent(u, years)) * np.exp(-1j * u * low)).real
    values[0] = 0.5  # phi(0) = 1, halved
    return CosineDensity(float(low), float(high), u, values)


def _sums(density: CosineDensity, k: F64) -> tuple[F64, F64, F64]:
    """E[exp(X); X < k], P(X < k) and the density at k, each of shape (strike,)."""
    u = density.frequencies
    a, span = density.low, density.high - density.low
    at = np.clip(k, a, density.high)
    weights = (2.0 / span) * density.coefficients
    phase = np.outer(at - a, u)
    sin, cos = np.sin(phase), np.cos(phase)
    inverse = np.empty_like(u)
    inverse[1:] = 1.0 / u[1:]
    inverse[0] = 0.0
    below = sin @ (weights * inverse) + weights[0] * (at - a)
    exp = np.exp(at)
    share = weights / (1.0 + u * u)
    partial = exp * (cos @ share + sin @ (share * u)) - np.exp(a) * share.sum()
    inside = (k > a) & (k < density.high)
    return partial, below, np.where(inside, cos @ weights, 0.0)


def cos_greeks(
    model: Model,
    forward: float,
    strike: ArrayLike,
    years: float,
    sign: ArrayLike = CALL,
    discount: float = 1.0,
    width: float = WIDTH,
) -> tuple[F64, F64, F64]:
    """Price European options and differentiate them by the forward, the variance held still.

    Parameters
    ----------
    model : Model
        Has a characteristic function.
    forward : float
        USD.
    strike, sign : array-like
        USD; +1 call, -1 put.
    years : float
        To expiry.
    discount : float
        exp(-r T).
    width : float
        L of the module.

    Returns
    -------
    price, delta, gamma : array of the broadcast shape
        USD; dV/dF; d2V/dF2.

    Raises
    ------
    InputError
        If a price or sign lies outside its range.
    ConfigError
        As `cosine_density`.
    """
    shape, terms = broadcast(forward=forward, strike=strike, sign=sign, discount=discount)
    strikes, signs = terms[1], terms[2]
    k = np.log(strikes / forward)
    density = cosine_density(model, years, width)
    partial, below, f = _sums(density, k)
    put = strikes * below - forward * partial
    is_call = signs > 0.0
    price = np.where(is_call, put + forward - strikes, put)
    delta = -partial + is_call
    gamma = f * strikes / (forward * forward)
    found = [(discount * x).reshape(shape) for x in (price, delta, gamma)]
    return found[0], found[1], found[2]


def cos_price(
    model: Model,
    forward: float,
    strike: ArrayLike,
    years: float,
    sign: ArrayLike = CALL,
    discount: float = 1.0,
    width: float = WIDTH,
) -> F64:
    """Price European options; arguments as for `cos_greeks`."""
    return cos_greeks(model, forward, strike, years, sign, discount, width)[0]
