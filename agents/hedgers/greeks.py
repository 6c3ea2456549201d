"""Greeks of all options on a desk's book, with a smile's rule or a volatility raised by costs.

Prices are those of Black and Scholes (1973) at rate 0, at the volatilities of marks: one of the
market; those of lognormal SABR (Hagan, Kumar, Lesniewski and Woodward 2002, eq. 2.17a at beta 1,
from memory); or the root of a mean-reverting variance's mean until expiry. The tests compare them
with what the environment marks. A delta may
let volatility move with the price, sigma' = sigma + lift * d(log S): the part of the option's
change that the move of the price explains through volatility is then hedged as well,

    delta + vega lift / S,

the minimum-variance delta. Under SABR with exponent 1 Bartlett's (2006) lift at the money is half
of rho times the volatility of volatility: the level moves by all of it, and the smile, whose slope
in log strike is half of it, gives half back at a fixed strike (tests/experiments/
test_train_and_evaluate.py compares the costs with published ones). Of a smile with slope s in log
strike it is -s where smiles move with the price (sticky delta), 0 where they stay (sticky strike).
"""

import math

import numpy as np

from agents.hedgers.hedger import Desk, Sight
from sim.kernel import F64, I64, inlined, kernel
from sim.vector_math import exponential, logarithm, normal_distribution

DELTA, GAMMA, VEGA = range(3)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
_LELAND = 2.0 * math.sqrt(2.0 / math.pi)


@inlined
def implied(log_ratio: float, years: float, level: float, marks: F64) -> float:
    """Volatility that an option is marked at, from the log of price over strike."""
    nu, rho, alpha = marks[0], marks[1], marks[2]
    if alpha > 0.0:
        b, jumps = marks[3] * marks[3], marks[4] * marks[4]
        share = (1.0 - math.exp(-alpha * years)) / (alpha * years)
        return math.sqrt(b + (level * level - b) * share + jumps)
    if nu == 0.0:
        return level
    drift = 1.0 + (0.25 * rho * nu * level + (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu) * years
    z = nu / level * log_ratio
    if abs(z) < 1e-6:
        return float(level * drift * (1.0 - 0.5 * rho * z))
    x = math.log((math.sqrt(1.0 - 2.0 * rho * z + z * z) + z - rho) / (1.0 - rho))
    return float(level * drift * z / x)


@kernel
def fill_greeks(
    strike: F64, expiry: F64, owed: F64, sign: F64, n_slots: I64, t: I64,
    price: F64, volatility: F64, years: float, inverse: float, marks: F64, lift: float,
    rate: float, out: F64,
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
    years, inverse : float
        Of a period; whether books are kept in coin.
    marks : array (5,)
        As in `agents.hedgers.hedger.MARKS`.
    lift, rate : float
        See the module; cost of a trade by which Leland raises volatility, 0 for none.
    """
    for w in range(price.shape[0]):
        delta, gamma, vega, now = 0.0, 0.0, 0.0, price[w]
        for k in range(n_slots[w]):
            left = expiry[w, k] - t[w]
            if left <= 0.0:
                continue
            root = math.sqrt(left * years)
            ratio, kind, vol = now / strike[w, k], sign[w, k], volatility[w]
            log_ratio = logarithm(ratio)
            vol = implied(log_ratio, left * years, vol, marks)
            if rate > 0.0:
                vol *= math.sqrt(1.0 + _LELAND * rate / (vol * math.sqrt(years)))
            s = vol * root
            d1 = log_ratio / s + 0.5 * s
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


def greeks(desk: Desk, sight: Sight, *, lift: float = 0.0, rate: float = 0.0) -> F64:
    """Greeks of the books, shape (3, world); see `fill_greeks`."""
    out = np.empty((3, sight.price.size))
    fill_greeks(
        sight.strike, sight.expiry, sight.owed, sight.sign, sight.n_slots, sight.t, sight.price,
        sight.volatility, desk.years_per_step, float(desk.inverse), np.array(desk.marks),
        lift, rate, out,
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
        float(desk.inverse), np.array(desk.marks), 0.0, 0.0, out,
    )  # fmt: skip
    return out
