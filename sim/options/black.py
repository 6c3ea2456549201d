"""Black-Scholes and Black-76: prices, and all Greeks in closed form.

    d1 = ln(F / K) / s + s / 2,    d2 = d1 - s,    s = sigma sqrt(T),    F = S exp((r - q) T)
    call = exp(-r T) (F Phi(d1) - K Phi(d2)),    put = call - exp(-r T) (F - K)

(Black and Scholes 1973, Journal of Political Economy 81; Black 1976, Journal of Financial Economics
3.) Only the out-of-the-money side is computed, the other follows from parity, so that a price in a
wing keeps its relative precision. Write h = ln(F / K) / s <= 0 and t = s / 2; then

    price / vega = Y(h + t) - Y(h - t),    Y(z) = Phi(z) / phi(z)

which depends on neither F nor K (Jaeckel 2015, Let's be rational, Wilmott 75, writes it with
erfcx). For a small t the difference is a series without cancellation: Y(z) is the integral of
exp(z u - u^2 / 2) over u > 0, hence the n-th derivative of Y is the positive number
M_n(z) = integral of u^n exp(z u - u^2 / 2), and M_{n+1} = z M_n + n M_{n-1}.

A `sign` is +1 for a call and -1 for a put. Years are actual days over 365, rates are per year and
continuously compounded. Where volatility or time is 0, the price is the discounted intrinsic value.

Scalar kernels (`black`, `black_scholes`, `greeks_of`, `greeks_on_forward`) are called inside other
kernels; `black_price`, `black_scholes_price`, `black_greeks` and `black_scholes_greeks` take arrays
of any shapes that broadcast, and refuse bad numbers with one sentence.
"""

import math
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

from sim.kernel import F64, inlined, kernel
from sim.options.normal import SQRT_2PI, mills, normal_cdf, normal_density
from sim.options.terms import broadcast

CALL, PUT = 1.0, -1.0


class Greek(IntEnum):
    """Columns of a table of Greeks: derivatives of the price V, per 1.00 of each variable.

    Time derivatives are by calendar time at a fixed expiry (that is, less the derivative by T) and
    per year: divide by 365 for a day. Volatility and rates count 1.00 as 100 percentage points.
    """

    PRICE = 0
    DELTA = 1  # dV/dS; for Black-76 S is the forward
    GAMMA = 2  # d2V/dS2
    VEGA = 3  # dV/dsigma
    THETA = 4  # dV/dt
    RHO = 5  # dV/dr
    VANNA = 6  # d2V/dS dsigma
    VOLGA = 7  # d2V/dsigma2, also called vomma
    CHARM = 8  # d2V/dS dt
    VETA = 9  # d2V/dsigma dt
    SPEED = 10  # d3V/dS3
    ZOMMA = 11  # d3V/dS2 dsigma
    COLOR = 12  # d3V/dS2 dt
    ULTIMA = 13  # d3V/dsigma3
    CARRY_RHO = 14  # dV/dq; for Black-76 0
    STRIKE_DELTA = 15  # dV/dK
    STRIKE_GAMMA = 16  # d2V/dK2: the discounted density of the price at expiry


N_GREEKS = len(Greek)


@inlined
def log_ratio(low: float, high: float) -> float:
    """Take ln(low / high) without losing digits where the two are close.

    Within 10% by 2 artanh((low - high) / (low + high)), whose numerator is exact, else by the log.
    """
    q = (low - high) / (low + high)
    if abs(q) < 0.05:
        w = q * q
        tail = w * (1.0 / 5.0 + w * (1.0 / 7.0 + w * (1.0 / 9.0 + w * (1.0 / 11.0 + w / 13.0))))
        return 2.0 * q + 2.0 * q * (w * (1.0 / 3.0 + tail))
    return math.log(low / high)


@kernel
def short_price_over_vega(h: float, t: float) -> float:
    """Price over vega for t below 0.03: the odd terms of the Taylor series about h <= 0.

    Beyond h = -4 the recursion of the moments would cancel; there the ratios M_n / M_{n-1} come
    from the recursion run backwards, r_n = n / (r_{n+1} - h), which forgets where it began.
    """
    m0 = mills(-h)
    t2 = t * t
    if h > -4.0:
        m1 = 1.0 + h * m0
        m2 = h * m1 + m0
        m3 = h * m2 + 2.0 * m1
        m4 = h * m3 + 3.0 * m2
        m5 = h * m4 + 4.0 * m3
        m7 = h * (h * m5 + 5.0 * m4) + 6.0 * m5
        return 2.0 * t * (m1 + t2 / 6.0 * (m3 + t2 / 20.0 * (m5 + t2 / 42.0 * m7)))
    r8 = 0.5 * (math.sqrt(h * h + 200.0) + h)
    for n in range(50, 7, -1):
        r8 = n / (r8 - h)
    r7 = 7.0 / (r8 - h)
    r6 = 6.0 / (r7 - h)
    r5 = 5.0 / (r6 - h)
    r4 = 4.0 / (r5 - h)
    r3 = 3.0 / (r4 - h)
    r2 = 2.0 / (r3 - h)
    r1 = 1.0 / (r2 - h)
    series = 1.0 + t2 / 6.0 * r2 * r3 * (1.0 + t2 / 20.0 * r4 * r5 * (1.0 + t2 / 42.0 * r6 * r7))
    return 2.0 * t * m0 * r1 * series


@inlined
def price_over_vega(h: float, t: float) -> float:
    """Y(h + t) - Y(h - t) for h <= 0 < t, where h + t <= 38."""
    if t < 0.03:
        return short_price_over_vega(h, t)
    d1 = h + t
    near = mills(abs(d1))
    if d1 > 0.0:
        near = SQRT_2PI * math.exp(0.5 * d1 * d1) - near
    return near - mills(t - h)


@kernel
def time_value(low: float, high: float, s: float) -> float:
    """Undiscounted price of the option that is out of the money.

    Parameters
    ----------
    low, high : float
        The smaller and the larger of forward and strike, USD.
    s : float
        sigma sqrt(T), above 0.

    Returns
    -------
    float
        low Phi(d1) - high Phi(d2), USD; relative precision also where it is tiny.
    """
    h = log_ratio(low, high) / s
    t = 0.5 * s
    d1 = h + t
    if d1 < -40.0:
        return 0.0
    if d1 <= 0.0 or t < 0.03:
        return low * normal_density(d1) * price_over_vega(h, t)
    return low * normal_cdf(d1) - high * normal_cdf(h - t)


@kernel
def black(
    forward: float, strike: float, years: float, sigma: float, discount: float, sign: float
) -> float:
    """Price of a European option on a forward (Black 1976), in the forward's currency.

    Parameters
    ----------
    forward, strike : float
        USD, above 0.
    years : float
        To expiry.
    sigma : float
        Annualised volatility.
    discount : float
        exp(-r T).
    sign : float
        +1 call, -1 put.
    """
    intrinsic = max(sign * (forward - strike), 0.0)
    s = sigma * math.sqrt(max(years, 0.0))
    if not s > 0.0:
        return discount * intrinsic
    low, high = min(forward, strike), max(forward, strike)
    return discount * (intrinsic + time_value(low, high, s))


@kernel
def black_scholes(
    spot: float,
    strike: float,
    years: float,
    sigma: float,
    rate: float,
    dividend: float,
    sign: float,
) -> float:
    """Price of a European option on an asset that pays a yield (Black and Scholes 1973, Merton)."""
    forward = spot * math.exp((rate - dividend) * years)
    return black(forward, strike, years, sigma, math.exp(-rate * years), sign)


@kernel
def _degenerate(
    out: F64,
    asset: float,
    bond: float,
    years: float,
    rate: float,
    dividend: float,
    strike: float,
    spot: float,
    sign: float,
) -> None:
    """Greeks without volatility or time: those of the forward where it pays, halves at a tie."""
    out[:] = 0.0
    gain = sign * (asset - bond)
    share = 1.0 if gain > 0.0 else 0.5 if gain == 0.0 else 0.0
    out[Greek.PRICE] = max(gain, 0.0)
    out[Greek.DELTA] = sign * share * asset / spot
    out[Greek.THETA] = sign * share * (dividend * asset - rate * bond)
    out[Greek.RHO] = sign * share * years * bond
    out[Greek.CHARM] = sign * share * dividend * asset / spot
    out[Greek.CARRY_RHO] = -sign * share * years * asset
    out[Greek.STRIKE_DELTA] = -sign * share * bond / strike


@kernel
def greeks_of(
    out: F64,
    spot: float,
    strike: float,
    years: float,
    sigma: float,
    rate: float,
    dividend: float,
    sign: float,
) -> None:
    """Write the price and every Greek of one Black-Scholes option.

    Derivatives of the formula in the module; checked against finite differences in 50 digits.

    Parameters
    ----------
    out : array (greek,)
        Written, columns of `Greek`.
    spot, strike, years, sigma, rate, dividend, sign : float
        As for `black_scholes`.
    """
    years = max(years, 0.0)
    root = math.sqrt(years)
    s = sigma * root
    asset = spot * math.exp(-dividend * years)
    bond = strike * math.exp(-rate * years)
    if not s > 0.0:
        _degenerate(out, asset, bond, years, rate, dividend, strike, spot, sign)
        return
    d1 = log_ratio(asset, bond) / s + 0.5 * s
    d2 = d1 - s
    carry = rate - dividend
    in_asset = sign * asset * normal_cdf(sign * d1)  # the parts of the price: shares
    in_bond = sign * bond * normal_cdf(sign * d2)  # and debt
    density = asset * normal_density(d1)
    vega = density * root
    gamma = density / (spot * spot * s)
    d12 = d1 * d2
    pull = (2.0 * carry * years - d2 * s) / (2.0 * years * s)  # d(d1)/dT
    extra = time_value(min(asset, bond), max(asset, bond), s)
    out[Greek.PRICE] = max(sign * (asset - bond), 0.0) + extra
    out[Greek.DELTA] = in_asset / spot
    out[Greek.GAMMA] = gamma
    out[Greek.VEGA] = vega
    out[Greek.THETA] = dividend * in_asset - rate * in_bond - density * sigma / (2.0 * root)
    out[Greek.RHO] = years * in_bond
    out[Greek.VANNA] = -density / spot * d2 / sigma
    out[Greek.VOLGA] = vega * d12 / sigma
    out[Greek.CHARM] = (dividend * in_asset - density * pull) / spot
    out[Greek.VETA] = vega * (dividend + carry * d1 / s - (1.0 + d12) / (2.0 * years))
    out[Greek.SPEED] = -gamma / spot * (d1 / s + 1.0)
    out[Greek.ZOMMA] = gamma * (d12 - 1.0) / sigma
    out[Greek.COLOR] = gamma * (dividend + 1.0 / (2.0 * years) + d1 * pull)
    out[Greek.ULTIMA] = vega * (d12 * (d12 - 1.0) - d1 * d1 - d2 * d2) / (sigma * sigma)
    out[Greek.CARRY_RHO] = -years * in_asset
    out[Greek.STRIKE_DELTA] = -in_bond / strike
    out[Greek.STRIKE_GAMMA] = density / (strike * strike * s)


@kernel
def greeks_on_forward(
    out: F64, forward: float, strike: float, years: float, sigma: float, rate: float, sign: float
) -> None:
    """Write the price and every Greek of one option on a forward (Black-76) into `out (greek,)`."""
    greeks_of(out, forward, strike, years, sigma, rate, rate, sign)
    out[Greek.RHO] += out[Greek.CARRY_RHO]
    out[Greek.CARRY_RHO] = 0.0


@kernel
def fill_black_scholes(out: F64, terms: F64) -> None:
    """Price options, `terms (7, option)`: spot, strike, years, sigma, rate, dividend, sign."""
    for i in range(out.shape[0]):
        out[i] = black_scholes(
            terms[0, i], terms[1, i], terms[2, i], terms[3, i], terms[4, i], terms[5, i],
            terms[6, i],
        )  # fmt: skip


@kernel
def fill_black(out: F64, terms: F64) -> None:
    """Price options on forwards, `terms (6, option)`: forward, strike, years, sigma, rate, sign."""
    for i in range(out.shape[0]):
        discount = math.exp(-terms[4, i] * terms[2, i])
        out[i] = black(terms[0, i], terms[1, i], terms[2, i], terms[3, i], discount, terms[5, i])


@kernel
def fill_greeks(out: F64, terms: F64) -> None:
    """Write Greeks, `out (option, greek)`, of `terms` as in `fill_black_scholes`."""
    for i in range(out.shape[0]):
        greeks_of(
            out[i], terms[0, i], terms[1, i], terms[2, i], terms[3, i], terms[4, i], terms[5, i],
            terms[6, i],
        )  # fmt: skip


@kernel
def fill_forward_greeks(out: F64, terms: F64) -> None:
    """Write Greeks, `out (option, greek)`, of `terms` as in `fill_black`."""
    for i in range(out.shape[0]):
        greeks_on_forward(
            out[i], terms[0, i], terms[1, i], terms[2, i], terms[3, i], terms[4, i], terms[5, i]
        )


def black_scholes_price(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    sigma: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend: ArrayLike = 0.0,
    sign: ArrayLike = CALL,
) -> F64:
    """Price European options on an asset.

    Parameters
    ----------
    spot, strike : array-like
        USD, above 0.
    years, sigma : array-like
        To expiry; annualised volatility. At least 0.
    rate, dividend : array-like
        Interest and yield of the asset, per year, continuously compounded.
    sign : array-like
        +1 call, -1 put.

    Returns
    -------
    array of the broadcast shape
        USD.

    Raises
    ------
    InputError
        If a number lies outside its range.
    """
    shape, terms = broadcast(
        spot=spot, strike=strike, years=years, sigma=sigma, rate=rate, dividend=dividend, sign=sign
    )
    out = np.empty(terms.shape[1])
    fill_black_scholes(out, terms)
    return out.reshape(shape)


def black_price(
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    sigma: ArrayLike,
    rate: ArrayLike = 0.0,
    sign: ArrayLike = CALL,
) -> F64:
    """Price European options on forwards; arguments as for `black_scholes_price`."""
    shape, terms = broadcast(
        forward=forward, strike=strike, years=years, sigma=sigma, rate=rate, sign=sign
    )
    out = np.empty(terms.shape[1])
    fill_black(out, terms)
    return out.reshape(shape)


def black_scholes_greeks(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    sigma: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend: ArrayLike = 0.0,
    sign: ArrayLike = CALL,
) -> F64:
    """Compute price and Greeks, shape (broadcast shape, greek), columns of `Greek`."""
    shape, terms = broadcast(
        spot=spot, strike=strike, years=years, sigma=sigma, rate=rate, dividend=dividend, sign=sign
    )
    out = np.empty((terms.shape[1], N_GREEKS))
    fill_greeks(out, terms)
    return out.reshape(*shape, N_GREEKS)


def black_greeks(
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    sigma: ArrayLike,
    rate: ArrayLike = 0.0,
    sign: ArrayLike = CALL,
) -> F64:
    """Compute price and Greeks of options on forwards, shape (broadcast shape, greek)."""
    shape, terms = broadcast(
        forward=forward, strike=strike, years=years, sigma=sigma, rate=rate, sign=sign
    )
    out = np.empty((terms.shape[1], N_GREEKS))
    fill_forward_greeks(out, terms)
    return out.reshape(*shape, N_GREEKS)
