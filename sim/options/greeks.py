"""Greeks that move with the smile: skew, kurtosis, and rules for how volatility follows the price.

A Black-Scholes delta holds the implied volatility still. With a smile sigma(k), k = ln(K / F), the
total derivative of the price by the forward is delta + vega dsigma/dF, and the rule says dsigma/dF:

    sticky strike       0                              each strike keeps its volatility
    sticky delta        -sigma'(k) / F                 the smile moves along with the forward
    sticky local vol    +sigma'(k) / F                 the smile moves against it (at the money)
    Bartlett            SABR's own, with the move of alpha that comes with a move of F
    minimum variance    a quadratic in delta, fitted to past moves (Hull and White 2017)

Corrado and Su (1996, Journal of Financial Research 19), with the sign corrected by Brown and
Robinson (2002), expand the density of the return in Hermite polynomials to skewness and kurtosis:

    C = C_BS + mu_3 Q_3 + (mu_4 - 3) Q_4
    Q_3 = S s / 6  ((2 s - d1) phi(d1) + s^2 Phi(d1)),    s = sigma sqrt(T)
    Q_4 = S s / 24 ((d1^2 - 1 - 3 s d2) phi(d1) + s^3 Phi(d1))

Written from memory of the papers; prices agree with `corrado_su` in hedging.json.
"""

import math

from sim.kernel import F64, kernel
from sim.options.black import Greek, greeks_of, log_ratio
from sim.options.normal import normal_cdf, normal_density


@kernel
def corrado_su(
    out: F64,
    spot: float,
    strike: float,
    years: float,
    sigma: float,
    rate: float,
    dividend: float,
    sign: float,
    skew: float,
    kurtosis: float,
) -> None:
    """Write price, delta, gamma and vega with skewness and kurtosis; others stay Black-Scholes.

    With d = d1 - s, dQ_3/dd1 and dQ_4/dd1 are S s phi(d1) / 6 (d^2 - 1) and -S s phi(d1) / 24
    (d^3 - 3 d), from which delta and gamma follow. The adjustment is the same for call and put.

    Parameters
    ----------
    out : array (greek,)
        Written, columns of `sim.options.black.Greek`.
    spot, strike, years, sigma, rate, dividend, sign : float
        As for `sim.options.black.black_scholes`; volatility and time above 0.
    skew, kurtosis : float
        Of the log return to expiry; a normal one has 0 and 3.
    """
    greeks_of(out, spot, strike, years, sigma, rate, dividend, sign)
    s = sigma * math.sqrt(years)
    if not s > 0.0:
        return
    yield_factor = math.exp(-dividend * years)
    asset = spot * yield_factor
    d1 = log_ratio(asset, strike * math.exp(-rate * years)) / s + 0.5 * s
    d2 = d1 - s
    density, phi = normal_density(d1), normal_cdf(d1)
    inner3 = (2.0 * s - d1) * density + s * s * phi
    inner4 = (d1 * d1 - 1.0 - 3.0 * s * d2) * density + s * s * s * phi
    cubic = d2 * d2 * d2 - 3.0 * d2
    q3, q4 = s / 6.0 * inner3, s / 24.0 * inner4
    first3, first4 = s / 6.0 * density * (d2 * d2 - 1.0), -s / 24.0 * density * cubic
    second3 = s / 6.0 * density * (2.0 * d2 - d1 * (d2 * d2 - 1.0))
    second4 = s / 24.0 * density * (d1 * cubic - 3.0 * (d2 * d2 - 1.0))
    by_s3 = inner3 / 6.0 + s / 3.0 * (density + s * phi) - first3 * d2 / s
    by_s4 = inner4 / 24.0 + s / 24.0 * (3.0 * (2.0 * s - d1) * density + 3.0 * s * s * phi)
    by_s4 -= first4 * d2 / s
    excess = kurtosis - 3.0
    first = (skew * first3 + excess * first4) / s
    second = (skew * second3 + excess * second4) / (s * s)
    level = skew * q3 + excess * q4
    out[Greek.PRICE] += asset * level
    out[Greek.DELTA] += yield_factor * (level + first)
    out[Greek.GAMMA] += yield_factor / spot * (first + second)
    out[Greek.VEGA] += asset * math.sqrt(years) * (skew * by_s3 + excess * by_s4)


@kernel
def smile_delta(
    delta: float, vega: float, forward: float, slope: float, stickiness: float
) -> float:
    """Delta under a rule for the smile.

    Parameters
    ----------
    delta, vega : float
        Of Black-76.
    forward : float
        USD.
    slope : float
        sigma'(k) at the option's k = ln(K / F).
    stickiness : float
        0 sticky strike, 1 sticky delta, -1 sticky local volatility; what lies between, between.
    """
    return delta - stickiness * vega * slope / forward


@kernel
def minimum_variance_delta(
    delta: float, vega: float, spot: float, years: float, a: float, b: float, c: float
) -> float:
    """Delta that minimises the variance of the hedge: Hull and White 2017, JBF 82.

    delta + vega / (S sqrt(T)) (a + b delta + c delta^2), with a, b, c fitted to past moves; the
    formula as `minimum_variance_delta` in hedging.json has it.
    """
    return delta + vega / (spot * math.sqrt(years)) * (a + b * delta + c * delta * delta)


@kernel
def sabr_volatility(
    forward: float, strike: float, years: float, alpha: float, beta: float, rho: float, nu: float
) -> float:
    """Implied volatility of SABR: Hagan, Kumar, Lesniewski, Woodward 2002, Wilmott 1, eq. 2.17a.

    From memory of the paper; compared with QuantLib's in the tests.

    Parameters
    ----------
    forward, strike, years : float
        USD, above 0; to expiry.
    alpha, beta, rho, nu : float
        Volatility level (of F^beta), elasticity, correlation, volatility of volatility.
    """
    log_m = -log_ratio(strike, forward)
    power = 1.0 - beta
    mean = (forward * strike) ** (0.5 * power)
    l2 = (power * log_m) ** 2
    z = nu / alpha * mean * log_m
    if abs(z) < 1e-6:
        shape = 1.0 - 0.5 * rho * z + (2.0 - 3.0 * rho * rho) / 12.0 * z * z
    else:
        root = math.sqrt(1.0 - 2.0 * rho * z + z * z)
        shape = z / math.log((root + z - rho) / (1.0 - rho))
    drift = (
        power * power * alpha * alpha / (24.0 * mean * mean)
        + 0.25 * rho * beta * nu * alpha / mean
        + (2.0 - 3.0 * rho * rho) * nu * nu / 24.0
    )
    level = alpha / (mean * (1.0 + l2 / 24.0 + l2 * l2 / 1920.0))
    return float(level * shape * (1.0 + drift * years))


@kernel
def bartlett_delta(
    delta: float,
    vega: float,
    forward: float,
    strike: float,
    years: float,
    alpha: float,
    beta: float,
    rho: float,
    nu: float,
) -> float:
    """Delta under SABR with the move of alpha that comes with F: Bartlett 2006, Wilmott.

    delta + vega (dsigma/dF + dsigma/dalpha rho nu / F^beta); it hardly depends on beta. The
    derivatives of `sabr_volatility` are central differences of relative size 1e-5.
    """
    up = sabr_volatility(forward * (1.0 + 1e-5), strike, years, alpha, beta, rho, nu)
    down = sabr_volatility(forward * (1.0 - 1e-5), strike, years, alpha, beta, rho, nu)
    by_forward = (up - down) / (2e-5 * forward)
    up = sabr_volatility(forward, strike, years, alpha * (1.0 + 1e-5), beta, rho, nu)
    down = sabr_volatility(forward, strike, years, alpha * (1.0 - 1e-5), beta, rho, nu)
    by_alpha = (up - down) / (2e-5 * alpha)
    return float(delta + vega * (by_forward + by_alpha * rho * nu / forward**beta))
