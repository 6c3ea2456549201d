"""Implied volatility to the last digits that a price holds, in two steps for any option.

After Jaeckel (2015), Let's be rational, Wilmott 75: the price of the out-of-the-money option is
normalised to beta = price / (D sqrt(F K)) with x = ln(F / K) <= 0, which is a function of
s = sigma sqrt(T) alone. The inflection point s_c = sqrt(2 |x|) and the tangent there cut the range
of prices in four. In each, an interpolation by a rational cubic gives a first s:

    below b(s_l), s_l = s_c - b_c / b'_c    of  f = 2 pi |x| / (3 sqrt 3) Phi(-|x| / (sqrt 3 s))^3
    b_l .. b_c and b_c .. b_u               of  s itself, s_u = s_c + (b_max - b_c) / b'_c
    above b(s_u)                            of  f = Phi(-s / 2)

and two steps of Householder's method of third order on 1 / ln b, b or -ln(b_max - b) finish it. The
formulas were derived anew in terms of Mills's ratio (`sim.options.normal`), by which prices over
vega need no exponential; the structure and the map f of the lowest range are recalled from the
paper and were checked numerically.

How many digits come back is set by the price: an out-of-the-money option's volatility is known to
the relative precision of the price or better, while an in-the-money price hides it under the
intrinsic value. A price that holds no time value tells nothing and is refused.
"""

import math
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.kernel import F64, I64, inlined, kernel
from sim.options.black import CALL, log_ratio, price_over_vega
from sim.options.normal import INVERSE_SQRT_2PI, SQRT_2PI, SQRT_HALF_PI, mills
from sim.options.terms import flattened
from sim.streams import normal_quantile

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_SQRT_3 = math.sqrt(3.0)
_ROUNDING = 4.0 * 2.0**-53  # of a price with its intrinsic value


class Refusal(IntEnum):
    """Why a price has no implied volatility."""

    NONE = 0  # it has one
    NOT_A_NUMBER = 1  # a term is not finite, or forward, strike, years or discount is not above 0
    BELOW_INTRINSIC = 2
    NO_TIME_VALUE = 3  # equals the discounted intrinsic value: every small volatility gives it
    ABOVE_BOUND = 4  # a call of at least the discounted forward, a put of the discounted strike


_REASONS = {
    Refusal.NOT_A_NUMBER: "finite, with forward, strike, years and discount above 0",
    Refusal.BELOW_INTRINSIC: "at least the discounted intrinsic value",
    Refusal.NO_TIME_VALUE: "above the discounted intrinsic value",
    Refusal.ABOVE_BOUND: "below the discounted forward (call) or strike (put)",
}


@inlined
def _householder(newton: float, second: float, third: float) -> float:
    """Step of third order from Newton's and the ratios f''/f' and f'''/f'."""
    return (
        newton * (1.0 + 0.5 * newton * second)
        / (1.0 + newton * (second + newton * third / 6.0))
    )  # fmt: skip


@inlined
def _cubic(
    x: float, x0: float, x1: float, y0: float, y1: float, d0: float, d1: float, r: float
) -> float:
    """Rational cubic with values, slopes and shape r (Delbourgo and Gregory 1985)."""
    width = x1 - x0
    u = (x - x0) / width
    v = 1.0 - u
    top = (y1 * u + (r * y1 - width * d1) * v) * u * u + (
        y0 * v + (r * y0 + width * d0) * u
    ) * v * v
    return top / (1.0 + (r - 3.0) * u * v)


@inlined
def _shape_right(width: float, slope: float, d0: float, d1: float, second: float) -> float:
    """Shape r of the rational cubic with a given second derivative at its right end."""
    return max((0.5 * width * second + d1 - d0) / (d1 - slope), -0.99)


@inlined
def _shape_left(width: float, slope: float, d0: float, d1: float, second: float) -> float:
    """Shape r of the rational cubic with a given second derivative at its left end."""
    return max((0.5 * width * second + d1 - d0) / (slope - d0), -0.99)


@kernel
def _guess_low(beta: float, b_l: float, s_l: float, per_vega: float, size: float) -> float:
    """First s where beta < b_l; `size` is |x|, `per_vega` is 1 / b'(s_l)."""
    z = size / (_SQRT_3 * s_l)
    ratio = mills(z)
    scale = 2.0 * math.pi * size / (3.0 * _SQRT_3)
    phi = ratio * INVERSE_SQRT_2PI * math.exp(-0.5 * z * z)
    f = scale * phi * phi * phi
    slope = z * z * ratio * ratio * math.exp(0.125 * s_l * s_l)
    bend = 2.0 / s_l * (z / ratio - 1.0 - z * z) + 0.25 * s_l  # d ln f' / ds
    r = _shape_right(b_l, f / b_l, 1.0, slope, slope * bend * per_vega)
    guess = _cubic(beta, 0.0, b_l, 0.0, f, 1.0, slope, r)
    if not guess > 0.0:  # it overshot: the parabola of both values and the slope at 0
        u = beta / b_l
        guess = (f * u + b_l * (1.0 - u)) * u
    # Phi(-z)^3 = guess / scale: the quantile of Abramowitz and Stegun 26.2.23, to 4.5e-4
    t = math.sqrt(-2.0 / 3.0 * math.log(guess / scale))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    bottom = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    return size / (_SQRT_3 * (t - top / bottom))


@kernel
def _guess_high(
    beta: float, b_u: float, b_max: float, s_u: float, per_vega: float, size: float
) -> float:
    """First s where beta >= b_u; `per_vega` is 1 / b'(s_u)."""
    h2 = (size / s_u) ** 2
    f = mills(0.5 * s_u) * INVERSE_SQRT_2PI * math.exp(-0.125 * s_u * s_u)
    slope = -0.5 * math.exp(0.5 * h2)
    width = b_max - b_u
    guess = 0.0
    if width > 0.0:
        second = -slope * h2 / s_u * per_vega
        r = _shape_left(width, -f / width, slope, -0.5, second)
        guess = _cubic(beta, b_u, b_max, f, 0.0, slope, -0.5, r)
    if not guess > 0.0:
        guess = 0.5 * (b_max - beta)
    return -2.0 * normal_quantile(min(guess, 0.49999))


@kernel
def _step_low(s: float, log_beta: float, size: float, times: int) -> float:
    """Householder steps on 1 / ln b."""
    for _ in range(times):
        h, t = -size / s, 0.5 * s
        m = price_over_vega(h, t)
        log_b = math.log(m) - 0.5 * (h * h + t * t) - _LOG_SQRT_2PI
        i = 1.0 / log_b
        q = 1.0 / m
        b2 = h * h / s - 0.25 * s
        b3 = b2 * b2 - 3.0 * h * h / (s * s) - 0.25
        second = b2 - q * (1.0 + 2.0 * i)
        third = b3 - 3.0 * b2 * q * (1.0 + 2.0 * i) + q * q * (2.0 + 6.0 * i + 6.0 * i * i)
        s += _householder(m * log_b * (log_beta - log_b) / log_beta, second, third)
    return s


@kernel
def _step_middle(s: float, beta: float, size: float, b_max: float, times: int) -> float:
    """Householder steps on b itself."""
    for _ in range(times):
        h, t = -size / s, 0.5 * s
        per_vega = SQRT_2PI * math.exp(0.5 * (h * h + t * t))
        d1 = h + t
        if t < 0.03:
            m = price_over_vega(h, t)
        else:
            m = mills(abs(d1))
            if d1 > 0.0:
                m = per_vega * b_max - m
            m -= mills(t - h)
        b2 = h * h / s - 0.25 * s
        b3 = b2 * b2 - 3.0 * h * h / (s * s) - 0.25
        s += _householder(beta * per_vega - m, b2, b3)
    return s


@kernel
def _step_high(s: float, log_rest: float, size: float, times: int) -> float:
    """Householder steps on -ln(b_max - b), where d1 > 0."""
    for _ in range(times):
        h, t = -size / s, 0.5 * s
        m = mills(abs(h + t)) + mills(t - h)  # (b_max - b) / b'
        log_u = math.log(m) - 0.5 * (h * h + t * t) - _LOG_SQRT_2PI
        q = 1.0 / m
        b2 = h * h / s - 0.25 * s
        b3 = b2 * b2 - 3.0 * h * h / (s * s) - 0.25
        s += _householder(m * (log_u - log_rest), b2 + q, b3 + q * (3.0 * b2 + 2.0 * q))
    return s


@kernel
def implied_deviation(beta: float, rest: float, size: float, b_max: float) -> float:
    """Find s = sigma sqrt(T) of a normalised out-of-the-money price.

    Parameters
    ----------
    beta : float
        Price / (discount sqrt(F K)), in (0, b_max).
    rest : float
        b_max - beta, from its own source where that is more precise.
    size : float
        |ln(F / K)|.
    b_max : float
        exp(-size / 2), the bound of the price.
    """
    s_c = math.sqrt(2.0 * size)
    at_c = mills(s_c)
    vega_c = b_max * INVERSE_SQRT_2PI
    price_c = SQRT_HALF_PI - at_c  # b_c / b'_c
    b_c = vega_c * price_c
    if beta < b_c:
        s_l = s_c - price_c
        h, t = -size / s_l, 0.5 * s_l
        per_vega = SQRT_2PI * math.exp(0.5 * (h * h + t * t))
        b_l = max(mills(-h - t) - mills(t - h), 0.0) / per_vega
        if beta < b_l:
            s = _guess_low(beta, b_l, s_l, per_vega, size)
            return _step_low(s, math.log(beta), size, 2)
        width = b_c - b_l
        slope = (s_c - s_l) / width
        r = _shape_right(width, slope, per_vega, 1.0 / vega_c, 0.0)
        s = _cubic(beta, b_l, b_c, s_l, s_c, per_vega, 1.0 / vega_c, r)
        return _step_middle(s, beta, size, b_max, 2)
    s_u = s_c + SQRT_HALF_PI + at_c
    h, t = -size / s_u, 0.5 * s_u
    per_vega = SQRT_2PI * math.exp(0.5 * (h * h + t * t))
    b_u = b_max - (mills(h + t) + mills(t - h)) / per_vega
    if beta < b_u:
        width = b_u - b_c
        slope = (s_u - s_c) / width
        r = _shape_left(width, slope, 1.0 / vega_c, per_vega, 0.0)
        s = _cubic(beta, b_c, b_u, s_c, s_u, 1.0 / vega_c, per_vega, r)
        if 2.0 * beta < b_max:
            return _step_middle(s, beta, size, b_max, 2)
    else:
        s = _guess_high(beta, b_u, b_max, s_u, per_vega, size)
    return _step_high(s, math.log(rest), size, 2)


@kernel
def implied_volatility(
    price: float, forward: float, strike: float, years: float, discount: float, sign: float
) -> tuple[float, int]:
    """Implied volatility of one European option.

    Parameters
    ----------
    price, forward, strike : float
        USD.
    years : float
        To expiry.
    discount : float
        exp(-r T).
    sign : float
        +1 call, -1 put.

    Returns
    -------
    float
        Annualised volatility; nan where refused.
    int
        `Refusal`, 0 where there is a volatility.
    """
    sound = forward > 0.0 and strike > 0.0 and years > 0.0 and discount > 0.0
    total = price + forward + strike + years + discount
    if not (sound and total < math.inf and total > -math.inf):
        return math.nan, 1
    gain = sign * (forward - strike)
    value = price / discount
    bound = forward if sign > 0.0 else strike
    if not value < bound:
        return math.nan, 4
    low, high = min(forward, strike), max(forward, strike)
    if gain > 0.0:
        value -= gain
        noise = _ROUNDING * bound
        if value < -noise:
            return math.nan, 2
        if value <= noise:
            return math.nan, 3
    elif value <= 0.0:
        return math.nan, 2 if value < 0.0 else 3
    b_max = math.sqrt(low / high)
    scale = b_max / low
    s = implied_deviation(value * scale, (low - value) * scale, -log_ratio(low, high), b_max)
    return s / math.sqrt(years), 0


@kernel
def fill_implied(out: F64, codes: I64, terms: F64) -> None:
    """Write volatilities and `Refusal` codes of `terms (6, option)`.

    Rows of terms: price, forward, strike, years, discount, sign. Nothing is ever raised.
    """
    for i in range(out.shape[0]):
        out[i], codes[i] = implied_volatility(
            terms[0, i], terms[1, i], terms[2, i], terms[3, i], terms[4, i], terms[5, i]
        )


def implied_volatilities(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    sign: ArrayLike = CALL,
    discount: ArrayLike = 1.0,
    strict: bool = False,
) -> tuple[F64, I64]:
    """Compute implied volatilities of arrays that broadcast.

    Parameters
    ----------
    price, forward, strike : array-like
        USD (or all in coin).
    years : array-like
        To expiry.
    sign : array-like
        +1 call, -1 put.
    discount : array-like
        exp(-r T).
    strict : bool
        Whether the first price without a volatility raises.

    Returns
    -------
    array
        Annualised volatility, nan where refused.
    array of int
        `Refusal` of each.

    Raises
    ------
    InputError
        If `strict` and some price has no volatility, or if shapes do not fit.
    """
    shape, terms = flattened(
        price=price, forward=forward, strike=strike, years=years, discount=discount, sign=sign
    )
    out = np.empty(terms.shape[1])
    codes = np.empty(terms.shape[1], np.int64)
    fill_implied(out, codes, terms)
    if strict and codes.any():
        i = int(np.argmax(codes > 0))
        kind = "call" if terms[5, i] > 0.0 else "put"
        raise InputError(
            f"the price of option {i} must be {_REASONS[Refusal(int(codes[i]))]}, got {kind} price "
            f"{terms[0, i]:g}, forward {terms[1, i]:g}, strike {terms[2, i]:g}, years "
            f"{terms[3, i]:g}; correct or drop it"
        )
    return out.reshape(shape), codes.reshape(shape)
