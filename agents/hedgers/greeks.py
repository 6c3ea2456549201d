"""Greeks of all options on a desk's book, under a rule for how volatility follows the price.

Formulas are those of `sim.options.black` and `sim.options.greeks` at rate 0. Options stand at the
volatilities of marks: one of the market; those of lognormal SABR, of which it is the level; or the
root of a mean-reverting variance's mean until expiry (from memory of Heston's model). The tests
compare them with what the environment marks.

A rule says which volatility a delta is computed at, and how that moves with the price:

- sticky strike: each option keeps its own, the practitioner's delta;
- Black-Scholes: all options have the one that marks would have without a smile, and keep it;
- Leland: each option has its own, raised by costs;
- sticky delta: the smile moves along with the price;
- Bartlett: SABR's smile and its level move with the price as they do on average;
- minimum variance: volatility moves by a quadratic in delta over the root of the time left;
- Corrado-Su: the return to expiry has a skewness and a kurtosis, as Black-Scholes otherwise.
"""

import math
from collections.abc import Sequence

import numpy as np

from agents.hedgers.hedger import Desk, Sight
from sim.kernel import F64, I64, inlined, kernel
from sim.options.black import N_GREEKS, Greek, greeks_of
from sim.options.greeks import (
    bartlett_delta,
    corrado_su,
    minimum_variance_delta,
    smile_delta,
)
from sim.options.marks import expected_volatility, lognormal_sabr

DELTA, GAMMA, VEGA, VALUE = range(4)
RULES = (
    "sticky_strike", "black_scholes", "leland", "sticky_delta", "bartlett", "minimum_variance",
    "corrado_su",
)  # fmt: skip
_LELAND_, _STICKY_DELTA = RULES.index("leland"), RULES.index("sticky_delta")
_BARTLETT, _MINIMUM = RULES.index("bartlett"), RULES.index("minimum_variance")
_CORRADO_SU, _BLACK_SCHOLES = RULES.index("corrado_su"), RULES.index("black_scholes")
_LELAND = 2.0 * math.sqrt(2.0 / math.pi)
_STEP = 1e-5  # in log strike, of the smile's slope


@inlined
def flat(years: float, level: float, marks: F64) -> float:
    """Volatility that options of one expiry would be marked at without a smile."""
    if marks[2] > 0.0:
        return expected_volatility(level, marks[2], marks[3] ** 2, marks[4] ** 2, years)
    return level


@inlined
def implied(price: float, strike: float, years: float, level: float, marks: F64) -> float:
    """Volatility that an option is marked at."""
    if marks[0] > 0.0 and not marks[2] > 0.0:
        return lognormal_sabr(level, marks[1], marks[0], math.log(price / strike), years)
    return flat(years, level, marks)


@inlined
def moved_delta(
    row: F64, price: float, strike: float, years: float, level: float, marks: F64, rule: int,
    numbers: F64,
) -> float:  # fmt: skip
    """Delta of an option when volatility follows the price as a rule says."""
    delta, vega = row[Greek.DELTA], row[Greek.VEGA]
    if rule == _STICKY_DELTA:
        up = implied(price, strike * math.exp(_STEP), years, level, marks)
        down = implied(price, strike * math.exp(-_STEP), years, level, marks)
        return smile_delta(delta, vega, price, (up - down) / (2.0 * _STEP), 1.0)
    if rule == _BARTLETT:
        nu, rho = marks[0], marks[1]
        return bartlett_delta(delta, vega, price, strike, years, level, 1.0, rho, nu)
    if rule == _MINIMUM:
        a, b, c = numbers[0], numbers[1], numbers[2]
        return minimum_variance_delta(delta, vega, price, years, a, b, c)
    return float(delta)


@kernel
def fill_greeks(
    strike: F64, expiry: F64, owed: F64, sign: F64, n_slots: I64, t: I64,
    price: F64, volatility: F64, period: float, inverse: float, marks: F64, rule: int,
    numbers: F64, row: F64, out: F64,
) -> None:  # fmt: skip
    """Fill `out (4, world)` with delta, gamma (per relative move), vega (per 1.0) and value.

    Parameters
    ----------
    strike, expiry, owed, sign : array (world, slot)
        Expiry in periods.
    n_slots, t : array (world,)
        Slots in use; the present period.
    price, volatility : array (world,)
        Cash; annual.
    period, inverse : float
        In years; whether books are kept in coin.
    marks : array (5,)
        As in `agents.hedgers.hedger.MARKS`.
    rule : int
        Place in `RULES`.
    numbers : array
        Of the rule. Leland: the cost of a trade. Minimum variance: a, b, c. Corrado-Su: skewness,
        then kurtosis, of the return to an expiry that is 0, 1, ... periods away; the last ones are
        those of all that is further.
    row : array (greek,)
        Scratch.
    """
    last = numbers.shape[0] // 2 - 1  # of Corrado-Su's periods
    for w in range(price.shape[0]):
        delta, gamma, vega, value, now = 0.0, 0.0, 0.0, 0.0, price[w]
        for k in range(n_slots[w]):
            left = expiry[w, k] - t[w]
            if left <= 0.0:
                continue
            years, level, kind, k_w = left * period, volatility[w], sign[w, k], strike[w, k]
            if rule == _CORRADO_SU:
                n, vol = min(int(left + 0.5), last), flat(years, level, marks)
                skew, kurtosis = numbers[n], numbers[last + 1 + n]
                corrado_su(row, now, k_w, years, vol, 0.0, 0.0, kind, skew, kurtosis)
            else:
                vol = flat(years, level, marks)
                if rule != _BLACK_SCHOLES:
                    vol = implied(now, k_w, years, level, marks)
                if rule == _LELAND_:
                    vol *= math.sqrt(1.0 + _LELAND * numbers[0] / (vol * math.sqrt(period)))
                greeks_of(row, now, k_w, years, vol, 0.0, 0.0, kind)
            first = moved_delta(row, now, k_w, years, level, marks, rule, numbers)
            unit, g, worth = 1.0, row[Greek.GAMMA] * now, row[Greek.PRICE]
            if inverse > 0.0:
                unit, worth = now, worth / now
                g += worth - row[Greek.DELTA]
                first -= worth
            delta += owed[w, k] * first
            gamma += owed[w, k] * g
            vega += owed[w, k] * row[Greek.VEGA] / unit
            value += owed[w, k] * worth
        out[0, w], out[1, w], out[2, w], out[3, w] = delta, gamma, vega, value


def greeks(
    desk: Desk, sight: Sight, rule: str = "sticky_strike", numbers: Sequence[float] | F64 = ()
) -> F64:
    """Greeks of the books, shape (4, world); see `fill_greeks`."""
    out = np.empty((4, sight.price.size))
    fill_greeks(
        sight.strike, sight.expiry, sight.owed, sight.sign, sight.n_slots, sight.t, sight.price,
        sight.volatility, desk.years_per_step, float(desk.inverse), np.array(desk.marks),
        RULES.index(rule), np.array(numbers, np.float64), np.empty(N_GREEKS), out,
    )  # fmt: skip
    return out


def listed_greeks(desk: Desk, sight: Sight) -> F64:
    """Greeks of one listed option (a call at the money), shape (4, world)."""
    n = sight.price.size
    one, slots = np.ones((n, 1)), np.ones(n, np.int64)
    listed = sight._replace(
        strike=sight.price[:, None].copy(), expiry=desk.listed_steps * one, owed=one, sign=one,
        n_slots=slots, t=np.zeros(n, np.int64),
    )  # fmt: skip
    return greeks(desk, listed)
