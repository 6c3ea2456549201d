"""Inverse (coin-settled) options as Deribit trades them, and their margin.

An inverse option on a coin is quoted, paid and settled in that coin. One contract is on one coin;
at delivery a call pays max(S - K, 0) / S and a put max(K - S, 0) / S coins, where S is the average
of the index over the last 30 minutes (300 samples, one every 6 s). Its price in coin is the linear
option's forward price in USD over the forward, because a coin at expiry is worth F in the measure
of dollars:

    c = C(F, K, T, sigma) / F,    call - put = 1 - K / F

A holder is paid in what he hedges with: the coins that keep a long call's dollar value still
against small moves are its delta less its price, N(d1) - c, the premium-adjusted delta.

Rules and figures: `deribit` in ../shared/vectors/hedging.json, which names Deribit's own support
pages on fees, inverse options and portfolio margin. Left out: the portfolio margin's extended price
moves (their damping is not stated there), and the liquidation engine.

Units: coin for prices, fees and margins; USD per coin for forward, index and strike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import ConfigError, InputError
from sim.kernel import F64, kernel
from sim.options.black import CALL, N_GREEKS, Greek, black, greeks_on_forward
from sim.options.terms import YEAR_SECONDS, broadcast


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseTerms:
    """Terms of Deribit's BTC and ETH options."""

    trade_fee: float = 0.0003  # coin per contract, makers and takers alike
    trade_fee_cap: float = 0.125  # of the option's price
    delivery_fee: float = 0.00015  # coin per contract
    delivery_fee_cap: float = 0.125  # of the option's value at delivery
    liquidation_fee: float = 0.0019  # coin per contract, of which 0.0016 go to the insurance fund
    delivery_samples: int = 300  # of the index
    delivery_seconds: float = 6.0  # between two samples

    def __post_init__(self) -> None:
        """Check every number."""
        for name in ("trade_fee", "delivery_fee", "liquidation_fee"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(
                    f"{name} must lie in [0, 1) coin, got {getattr(self, name)}; correct it"
                )
        for name in ("trade_fee_cap", "delivery_fee_cap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(
                    f"{name} must lie in [0, 1], got {getattr(self, name)}; correct it"
                )
        if self.delivery_samples < 1 or not self.delivery_seconds > 0.0:
            raise ConfigError(
                "delivery must average at least 1 sample, at a distance above 0 s, got "
                f"{self.delivery_samples} and {self.delivery_seconds}; correct it"
            )

    @property
    def delivery_window(self) -> float:
        """Length of the window that is averaged, seconds."""
        return self.delivery_samples * self.delivery_seconds


DERIBIT = InverseTerms()


@kernel
def inverse_price(forward: float, strike: float, years: float, sigma: float, sign: float) -> float:
    """Price of an inverse option in coin: Black-76 without discounting, over the forward."""
    return black(forward, strike, years, sigma, 1.0, sign) / forward


@kernel
def premium_adjusted_delta(
    forward: float, strike: float, years: float, sigma: float, sign: float, row: F64
) -> float:
    """Coins of the underlying that hedge the dollar value: N(d1) - c; `row (greek,)` is scratch."""
    greeks_on_forward(row, forward, strike, years, sigma, 0.0, sign)
    return float(row[Greek.DELTA] - row[Greek.PRICE] / forward)


@kernel
def inverse_greeks_of(
    out: F64, forward: float, strike: float, years: float, sigma: float, sign: float
) -> None:
    """Write coin price and Greeks of the coin price c = C / F into `out (greek,)`.

    Derivatives by the forward follow from those of C: c' = (C' - c) / F, and from n c^(n-1) +
    F c^(n) = C^(n) for the higher ones. Time and volatility leave F alone. The column
    `CARRY_RHO`, which means nothing here, holds the premium-adjusted delta.
    """
    greeks_on_forward(out, forward, strike, years, sigma, 0.0, sign)
    price = out[Greek.PRICE] / forward
    linear = out[Greek.DELTA]
    delta = (linear - price) / forward
    gamma = (out[Greek.GAMMA] - 2.0 * delta) / forward
    vega = out[Greek.VEGA] / forward
    vanna = (out[Greek.VANNA] - vega) / forward
    volga = out[Greek.VOLGA] / forward
    theta = out[Greek.THETA] / forward
    charm = (out[Greek.CHARM] - theta) / forward
    out[Greek.PRICE] = price
    out[Greek.DELTA] = delta
    out[Greek.GAMMA] = gamma
    out[Greek.VEGA] = vega
    out[Greek.THETA] = theta
    out[Greek.RHO] = 0.0
    out[Greek.VANNA] = vanna
    out[Greek.VOLGA] = volga
    out[Greek.CHARM] = charm
    out[Greek.VETA] /= forward
    out[Greek.SPEED] = (out[Greek.SPEED] - 3.0 * gamma) / forward
    out[Greek.ZOMMA] = (out[Greek.ZOMMA] - 2.0 * vanna) / forward
    out[Greek.COLOR] = (out[Greek.COLOR] - 2.0 * charm) / forward
    out[Greek.ULTIMA] /= forward
    out[Greek.STRIKE_DELTA] /= forward
    out[Greek.STRIKE_GAMMA] /= forward
    out[Greek.CARRY_RHO] = linear - price


@kernel
def payoff(delivery: float, strike: float, sign: float) -> float:
    """Coins that one contract pays at a delivery price."""
    return max(sign * (delivery - strike), 0.0) / delivery


@kernel
def trade_fee(price: float, fee: float, cap: float) -> float:
    """Coins of fee for one contract at `price` coin: min(fee, cap x price)."""
    return min(fee, cap * price)


@kernel
def delivery_average(samples: F64) -> float:
    """Delivery price: the plain mean of the index samples of the window, USD."""
    total = 0.0
    for i in range(samples.shape[0]):
        total += samples[i]
    return float(total / samples.shape[0])


@kernel
def fill_inverse_greeks(out: F64, terms: F64) -> None:
    """Write Greeks, `out (option, greek)`.

    Rows of `terms (5, option)`: forward, strike, years, sigma, sign.
    """
    for i in range(out.shape[0]):
        inverse_greeks_of(out[i], terms[0, i], terms[1, i], terms[2, i], terms[3, i], terms[4, i])


@kernel
def fill_inverse_prices(out: F64, terms: F64) -> None:
    """Price inverse options in coin, terms as for `fill_inverse_greeks`."""
    for i in range(out.shape[0]):
        out[i] = inverse_price(terms[0, i], terms[1, i], terms[2, i], terms[3, i], terms[4, i])


def inverse_option_price(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, sigma: ArrayLike,
    sign: ArrayLike = CALL,
) -> F64:  # fmt: skip
    """Price inverse options in coin; the arguments broadcast.

    Raises
    ------
    InputError
        If a number lies outside its range.
    """
    shape, terms = broadcast(forward=forward, strike=strike, years=years, sigma=sigma, sign=sign)
    out = np.empty(terms.shape[1])
    fill_inverse_prices(out, terms)
    return out.reshape(shape)


def inverse_option_greeks(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, sigma: ArrayLike,
    sign: ArrayLike = CALL,
) -> F64:  # fmt: skip
    """Compute Greeks of coin prices, shape (broadcast shape, greek); see `inverse_greeks_of`."""
    shape, terms = broadcast(forward=forward, strike=strike, years=years, sigma=sigma, sign=sign)
    out = np.empty((terms.shape[1], N_GREEKS))
    fill_inverse_greeks(out, terms)
    return out.reshape(*shape, N_GREEKS)


def settlement(
    samples: ArrayLike, strike: ArrayLike, sign: ArrayLike, terms: InverseTerms = DERIBIT
) -> tuple[F64, F64, F64]:
    """Settle contracts at the average of the index.

    Parameters
    ----------
    samples : array-like (..., sample)
        Index over the delivery window, USD.
    strike, sign : array-like
        Broadcast against the leading axes of the samples.
    terms : InverseTerms
        Fees and number of samples.

    Returns
    -------
    array
        Delivery price, USD.
    array
        Payoff per contract, coin.
    array
        Delivery fee per contract, coin.

    Raises
    ------
    InputError
        If the window does not hold its number of samples, or a price is not above 0.
    """
    index = np.asarray(samples, np.float64)
    if index.shape[-1:] != (terms.delivery_samples,):
        raise InputError(
            f"the delivery window must hold {terms.delivery_samples} samples on its last axis, got "
            f"shape {index.shape}; sample the index every {terms.delivery_seconds:g} s"
        )
    if not (np.isfinite(index).all() and (index > 0.0).all()):
        raise InputError("index samples must be above 0 USD, got others; correct them")
    delivery = index.mean(axis=-1)
    paid = np.maximum(np.asarray(sign) * (delivery - np.asarray(strike)), 0.0) / delivery
    fee = np.minimum(terms.delivery_fee, terms.delivery_fee_cap * paid)
    return delivery, paid, np.where(paid > 0.0, fee, 0.0)


def effective_years(years: ArrayLike, terms: InverseTerms = DERIBIT) -> F64:
    """Years that the volatility acts on, given the average at delivery.

    The log of the average has, to first order in the window, the variance of the mean of a Brownian
    motion at the samples T - i dt, i = 0, ..., n - 1: sigma^2 (T - dt (n - 1) (4 n + 1) / (6 n)),
    that is two thirds of the window less than T: 30 minutes take 20 off the clock. Once sampling
    has begun, part of the average is known and this measure no longer holds; it ends at 0.
    """
    step = terms.delivery_seconds / YEAR_SECONDS
    n = float(terms.delivery_samples)
    off = step * (n - 1.0) * (4.0 * n + 1.0) / (6.0 * n)
    return np.maximum(np.asarray(years, np.float64) - off, 0.0)
