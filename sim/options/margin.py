"""Margin of Deribit's accounts: standard margin per position, and the portfolio's worst scenario.

Rules: `deribit` in ../shared/vectors/hedging.json (Deribit's support pages, and doc.tslab.pro for
the standard option margin). Margins are in coin per contract; a long option needs none beyond its
premium. `mark` is the option's mark price in coin, `underlying` the forward of its expiry.

The portfolio margin revalues all positions of a currency where the underlying moves to nine prices
evenly over +-16% and volatilities go up, stay and go down:

    up      max(sigma (1 + 0.5 (30 / days)^p), 0.5)
    down    sigma (1 - 0.25 (30 / days)^p)

with p = 0.3 below 30 days and 0.13 above (days at least 1), and asks for the worst loss. The
extended moves of the price are left out: the vectors do not state how they are damped.
"""

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.kernel import F64, kernel
from sim.options.black import black
from sim.options.terms import broadcast, flattened

INITIAL, INITIAL_FLOOR, MAINTENANCE = 0.15, 0.1, 0.075  # of the underlying, per short option
PRICE_RANGE = 0.16
N_PRICES = 9
VOL_UP, VOL_DOWN, MIN_VOL_UP = 0.5, 0.25, 0.5
SHORT_TERM_POWER, LONG_TERM_POWER = 0.3, 0.13


@kernel
def out_of_the_money(underlying: float, strike: float, sign: float) -> float:
    """How far an option is out of the money, as a fraction of the underlying."""
    return max(sign * (strike - underlying), 0.0) / underlying


@kernel
def short_option_margin(
    underlying: float, strike: float, mark: float, sign: float, most: float = INITIAL,
    least: float = INITIAL_FLOOR, kept: float = MAINTENANCE,
) -> tuple[float, float]:  # fmt: skip
    """Compute initial and maintenance margin of one short contract, coin.

    A call: max(most - OTM, least) + mark and kept + mark, at Deribit 0.15, 0.1 and 0.075. A put:
    maintenance is max(kept, kept mark) + mark, and the initial margin is the call's or, where
    larger, the maintenance margin.
    """
    initial = max(most - out_of_the_money(underlying, strike, sign), least) + mark
    if sign > 0.0:
        return initial, kept + mark
    maintenance = max(kept, kept * mark) + mark
    return max(initial, maintenance), maintenance


@kernel
def perpetual_margin(
    size: float, initial: float = 0.02, maintenance: float = 0.01, slope: float = 0.00005
) -> tuple[float, float]:
    """Compute initial and maintenance margin of a perpetual of `size` coins, coin.

    Shares of the position that grow by `slope` per coin of it; the defaults are Deribit's for BTC.
    """
    size = abs(size)
    return (initial + slope * size) * size, (maintenance + slope * size) * size


@kernel
def shocked_volatility(sigma: float, days: float, direction: int) -> float:
    """Volatility of a scenario: direction +1, 0 or -1; `days` to expiry."""
    if direction == 0:
        return sigma
    power = SHORT_TERM_POWER if days < 30.0 else LONG_TERM_POWER
    scale = (30.0 / max(days, 1.0)) ** power
    if direction > 0:
        return float(max(sigma * (1.0 + VOL_UP * scale), MIN_VOL_UP))
    return float(max(sigma * (1.0 - VOL_DOWN * scale), 0.0))


@kernel
def scenario_values(out: F64, terms: F64, futures: F64, index: float) -> None:
    """Write the portfolio's gain in every scenario, USD.

    Parameters
    ----------
    out : array (3, price)
        Written; first volatility down, then unchanged, then up.
    terms : array (6, position)
        Options: forward, strike, years, sigma, sign, contracts (negative when short).
    futures : array (future,)
        Coins of futures and perpetuals.
    index : float
        USD.
    """
    for v in range(out.shape[0]):
        for p in range(out.shape[1]):
            move = PRICE_RANGE * (2.0 * p / (out.shape[1] - 1) - 1.0)
            total = 0.0
            for j in range(futures.shape[0]):
                total += futures[j] * index * move
            for i in range(terms.shape[1]):
                forward, strike, years = terms[0, i], terms[1, i], terms[2, i]
                sigma, sign = terms[3, i], terms[4, i]
                moved = shocked_volatility(sigma, 365.0 * years, v - 1)
                now = black(forward, strike, years, sigma, 1.0, sign)
                then = black(forward * (1.0 + move), strike, years, moved, 1.0, sign)
                total += terms[5, i] * (then - now)
            out[v, p] = total


def standard_margin(
    underlying: ArrayLike, strike: ArrayLike, mark: ArrayLike, sign: ArrayLike
) -> tuple[F64, F64]:
    """Compute initial and maintenance margin per short contract, coin; the arguments broadcast."""
    shape, terms = broadcast(forward=underlying, strike=strike, mark=mark, sign=sign)
    pairs = [short_option_margin(*terms[:, i]) for i in range(terms.shape[1])]
    both = np.array(pairs, np.float64).reshape(-1, 2)
    return both[:, 0].reshape(shape), both[:, 1].reshape(shape)


def portfolio_margin(
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    sigma: ArrayLike,
    sign: ArrayLike,
    contracts: ArrayLike,
    futures: ArrayLike = (),
    index: float | None = None,
) -> tuple[float, F64]:
    """Find the worst loss over the scenarios of the portfolio margin.

    Parameters
    ----------
    forward, strike, years, sigma, sign, contracts : array-like (position,)
        Options; contracts are negative when short.
    futures : array-like (future,)
        Coins of futures and perpetuals, negative when short.
    index : float, optional
        USD; the first forward when left out.

    Returns
    -------
    float
        Loss in coin at the present index, at least 0.
    array (3, 9)
        Gain of each scenario, USD: volatility down, unchanged, up; prices from -16% to +16%.
    """
    _, terms = flattened(
        forward=forward, strike=strike, years=years, sigma=sigma, sign=sign, contracts=contracts
    )
    broadcast(forward=terms[0], strike=terms[1], years=terms[2], sigma=terms[3], sign=terms[4])
    held = np.atleast_1d(np.asarray(futures, np.float64)).ravel()
    if index is None and terms.shape[1] == 0:
        raise InputError("index must be given where there is no option to take a forward from")
    at = float(terms[0, 0]) if index is None else float(index)
    gains = np.empty((3, N_PRICES))
    scenario_values(gains, terms, held, at)
    return max(0.0, -float(gains.min())) / at, gains
