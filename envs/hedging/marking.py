"""What options are worth and how they move, at the volatilities that `terms.Mark` says."""

import math

from envs.hedging.state import STRETCH, HedgeState, Marks
from sim.kernel import F64, Record, inlined, kernel
from sim.options.marks import expected_volatility, lognormal_sabr
from sim.vector_math import (
    densities,
    exponential,
    logarithm,
    logarithms,
    normal_distribution,
    normal_distributions,
)

DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


@inlined
def option(
    price: float, strike: float, years: float, volatility: float, sign: float, inverse: float
) -> tuple[float, float, float, float]:
    """Value, delta, gamma and vega of one option at rate 0, years > 0 (Black and Scholes 1973).

    In the currency of the account: cash, or coin with the premium-adjusted delta. Gamma is per
    relative move of the price: delta changes by `gamma` when the price doubles. Without branches,
    so that loops over it become vector code.
    """
    root = math.sqrt(years)
    s = volatility * root
    d1 = logarithm(price / strike) / s + 0.5 * s
    density = exponential(-0.5 * d1 * d1)
    nd1 = normal_distribution(sign * d1, density)
    nd2 = normal_distribution(sign * (d1 - s), density * (price / strike))
    value, delta = sign * (price * nd1 - strike * nd2), sign * nd1
    density *= DENSITY
    gamma, vega = density / s, price * density * root
    coin = 1.0 / price
    value = value * coin if inverse > 0.0 else value
    vega = vega * coin if inverse > 0.0 else vega
    gamma = gamma - delta + value if inverse > 0.0 else gamma
    delta = delta - value if inverse > 0.0 else delta
    return value, delta, gamma, vega


@inlined
def payoff(price: float, strike: float, sign: float, inverse: float) -> float:
    """Worth of an option at its expiry, in the currency of the account."""
    inside = max(sign * (price - strike), 0.0)
    return inside / price if inverse > 0.0 else inside


@inlined
def implied(terms: Record, log_ratio: float, years: float, level: float) -> float:
    """Volatility that an option is marked at, from the log of price over strike (`terms.Mark`)."""
    nu, alpha = terms["nu"], terms["alpha_v"]
    if alpha > 0.0:
        return expected_volatility(level, alpha, terms["b_v"], terms["jump_v"], years)
    if nu > 0.0:
        return lognormal_sabr(level, terms["rho"], nu, log_ratio, years)
    return level


@inlined
def volatility_of(terms: Record, path: F64, w: int, t: int) -> float:
    """Volatility of marks at a step of a path."""
    vol = terms["volatility"]
    if vol < 0.0:
        vol = path[w, t, 1]
    return float(max(vol * terms["multiplier"], 1e-4))


@kernel
def mark(state: HedgeState, marks: Marks, terms: Record) -> None:
    """Mark all options of all worlds at the prices, volatilities and steps of `marks`.

    The same formulas as `option`, in loops over stretches of worlds that become vector code.
    """
    used = 1  # an empty slot is worth nothing, and begins the sums
    for w in range(marks.price.shape[0]):
        used = max(used, state.n_slots[w])
    for k in range(used):
        for first in range(0, marks.price.shape[0], STRETCH):
            mark_stretch(state, marks, terms, k, first)


@kernel
def mark_stretch(state: HedgeState, marks: Marks, terms: Record, k: int, first: int) -> None:
    """Mark the k-th options of the worlds from `first` on."""
    n = min(STRETCH, marks.price.shape[0] - first)
    years, inverse = terms["years"], terms["inverse"]
    ratio, log_ratio, s = marks.work[0, :n], marks.work[1, :n], marks.work[2, :n]
    d1, d2, density = marks.work[3, :n], marks.work[4, :n], marks.work[5, :n]
    nd1, nd2, other = marks.work[6, :n], marks.work[7, :n], marks.work[8, :n]
    root = marks.work[9, :n]
    for i in range(n):
        ratio[i] = marks.price[first + i] / state.strike[first + i, k]
    logarithms(ratio, log_ratio)
    for i in range(n):
        left = max(state.expiry[first + i, k] - marks.step[first + i], 0.5)
        root[i] = math.sqrt(left * years)
        s[i] = marks.volatility[first + i] * root[i]
    if terms["nu"] > 0.0 or terms["alpha_v"] > 0.0:
        for i in range(n):
            level = marks.volatility[first + i]
            s[i] = implied(terms, log_ratio[i], root[i] * root[i], level) * root[i]
    for i in range(n):
        d1[i] = (log_ratio[i] / s[i] + 0.5 * s[i]) * state.sign[first + i, k]
    densities(d1, density)
    for i in range(n):
        d2[i] = d1[i] - s[i] * state.sign[first + i, k]
        other[i] = density[i] * ratio[i]
    normal_distributions(d1, density, nd1)
    normal_distributions(d2, other, nd2)
    value, delta, gamma, vega = ratio, nd1, density, other
    for i in range(n):
        price, sign = marks.price[first + i], state.sign[first + i, k]
        value[i] = sign * (price * nd1[i] - state.strike[first + i, k] * nd2[i])
        delta[i] = sign * nd1[i]
    for i in range(n):
        vega[i] = DENSITY * density[i] * marks.price[first + i] * root[i]
        gamma[i] = DENSITY * density[i] / s[i]
    if inverse > 0.0:
        for i in range(n):
            coin = 1.0 / marks.price[first + i]
            value[i] *= coin
            vega[i] *= coin
            gamma[i] += value[i] - delta[i]
            delta[i] -= value[i]
    add_marks(state, marks, k, first, n)


@inlined
def add_marks(state: HedgeState, marks: Marks, k: int, first: int, n: int) -> None:
    """Add what the k-th options are worth and move; the first of a world begin the sums.

    `work` holds value, delta, gamma, vega of one option in its rows 0, 6, 5, 8.
    """
    owed, work = marks.work[1, :n], marks.work
    for i in range(n):
        left = state.expiry[first + i, k] - marks.step[first + i]
        owed[i] = state.owed[first + i, k] if left > 0.0 else 0.0
        ends = 1.0 if left == 0.0 else 0.0
        marks.expires[first + i] = ends if k == 0 else marks.expires[first + i] + ends
    sums(owed, work[0, :n], marks.value[first : first + n], k == 0)
    sums(owed, work[6, :n], marks.delta[first : first + n], k == 0)
    sums(owed, work[5, :n], marks.gamma[first : first + n], k == 0)
    sums(owed, work[8, :n], marks.vega[first : first + n], k == 0)
    short = marks.short[first : first + n]
    for i in range(n):
        short[i] = max(owed[i], 0.0) + (0.0 if k == 0 else short[i])


@inlined
def sums(owed: F64, each: F64, out: F64, begins: bool) -> None:
    """Add `owed * each` to `out`, or begin with it."""
    if begins:
        for i in range(owed.shape[0]):
            out[i] = owed[i] * each[i]
    else:
        for i in range(owed.shape[0]):
            out[i] += owed[i] * each[i]


@inlined
def slot(
    state: HedgeState, terms: Record, w: int, k: int, price: float, volatility: float
) -> tuple[float, float, float, float]:
    """Value, delta, gamma and vega of the option in a slot, which must live."""
    years, strike = (state.expiry[w, k] - state.t[w]) * terms["years"], state.strike[w, k]
    level = implied(terms, math.log(price / strike), years, volatility)
    return option(price, strike, years, level, state.sign[w, k], terms["inverse"])


@kernel
def mark_one(state: HedgeState, terms: Record, w: int) -> None:
    """Mark the options of one world at its present price: after trades in options."""
    now, vol, seen_vol = state.price[w], state.volatility[w], state.seen_volatility[w]
    seen = state.seen_price[w]
    stale = seen != now or seen_vol != vol
    value, delta, gamma, vega, short = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(state.n_slots[w]):
        left = state.expiry[w, k] - state.t[w]
        if left <= 0.0:
            continue
        owed = state.owed[w, k]
        v, d, g, s = slot(state, terms, w, k, now, vol)
        if stale:
            _, d, g, s = slot(state, terms, w, k, seen, seen_vol)
        value += owed * v
        delta += owed * d
        gamma += owed * g
        vega += owed * s
        short += max(owed, 0.0)
    state.value[w], state.delta[w], state.gamma[w] = value, delta, gamma
    state.vega[w], state.short[w] = vega, short
