"""Greeks of all options on a desk's book, at a volatility of one's own and under a smile's rule.

Prices are those of Black and Scholes (1973) at rate 0, as the environment marks them. A delta may
let volatility move with the price, sigma' = sigma + lift * d(log S): the part of the option's
change that the move of the price explains through volatility is then hedged as well,

    delta + vega lift / S,

the minimum-variance delta. Under SABR with exponent 1 the lift is rho times the volatility of
volatility (Bartlett 2006; the formula as in `bartlett_delta` of `vectors`, with the sensitivity of
implied volatility to its level taken as 1); of a smile with slope s in log strike it is -s where
smiles move with the price (sticky delta) and 0 where they stay (sticky strike).
"""

import math

import numpy as np

from agents.hedgers.hedger import Desk, Sight
from sim.kernel import F64, I64, kernel
from sim.vector_math import exponential, logarithm, normal_distribution

DELTA, GAMMA, VEGA = range(3)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


@kernel
def fill_greeks(
    strike: F64, expiry: F64, owed: F64, sign: F64, n_slots: I64, t: I64,
    price: F64, volatility: F64, years: float, inverse: float, lift: float, out: F64,
) -> None:  # fmt: skip
    """Fill `out (3, world)` with delta, gamma (per relative move) and vega (per 1.0) of the books.

    Parameters
    ----------
    strike, expiry, owed, sign : array (world, slot)
        Expiry in periods.
    n_slots, t : array (world,)
        Slots in use; the present period.
    price, volatility : array (world,)
        Cash; annual.
    years, inverse, lift : float
        Of a period; whether books are kept in coin; see the module.
    """
    for w in range(price.shape[0]):
        delta, gamma, vega, now = 0.0, 0.0, 0.0, price[w]
        for k in range(n_slots[w]):
            left = expiry[w, k] - t[w]
            if left <= 0.0:
                continue
            root = math.sqrt(left * years)
            s, kind = volatility[w] * root, sign[w, k]
            ratio = now / strike[w, k]
            d1 = logarithm(ratio) / s + 0.5 * s
            bell = exponential(-0.5 * d1 * d1)
            first = kind * normal_distribution(kind * d1, bell)
            second = kind * normal_distribution(kind * (d1 - s), bell * ratio)
            g, v = _DENSITY * bell / s, _DENSITY * bell * root  # vega per unit of price
            if inverse > 0.0:
                value = first - second / ratio
                g += value - first
                first -= value
            delta += owed[w, k] * (first + lift * v)
            gamma += owed[w, k] * g
            vega += owed[w, k] * (v if inverse > 0.0 else v * now)
        out[0, w], out[1, w], out[2, w] = delta, gamma, vega


def greeks(desk: Desk, sight: Sight, volatility: F64, lift: float = 0.0) -> F64:
    """Greeks of the books, shape (3, world); see `fill_greeks`."""
    out = np.empty((3, sight.price.size))
    fill_greeks(
        sight.strike, sight.expiry, sight.owed, sight.sign, sight.n_slots, sight.t, sight.price,
        volatility, desk.years_per_step, float(desk.inverse), lift, out,
    )  # fmt: skip
    return out


def listed_greeks(desk: Desk, sight: Sight) -> F64:
    """Greeks of one listed option (a call at the money), shape (3, world)."""
    n = sight.price.size
    one, slots = np.ones((n, 1)), np.ones(n, np.int64)
    out = np.empty((3, n))
    fill_greeks(
        sight.price[:, None].copy(), desk.listed_steps * one, one, one, slots,
        np.zeros(n, np.int64), sight.price, sight.volatility, desk.years_per_step,
        float(desk.inverse), 0.0, out,
    )  # fmt: skip
    return out
