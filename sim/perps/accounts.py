"""Margin accounts that hold one perpetual: hedgers on one side, all the others on the other.

P&L is settled at every mark price: what a hedger's position gains, the market loses, at once and in
cash, so that an account's cash is its equity and no entry price is needed. Fees go to the venue,
funding to the market (never to the venue), what a liquidation costs to the insurance fund.

Liquidation. Below its maintenance margin a position is closed at the price `fill`: lot after lot
until the rest is covered, or as a whole, as the terms say. The fee is taken as far as the account
can pay it. An account left with debt and no position is bankrupt: the insurance fund pays what it
can, and what it cannot is booked as `shortfall`, a claim of the market that nobody has backed.
Socialising it, or deleveraging winners, takes `shortfall` from there; neither happens here.

Invariants: cash of accounts + market + venue + insurance - shortfall changes by deposits alone; no
account without a position has negative cash after `liquidate`.

What is left out: an order book (trades are done at the price given), the market's own margin, and
margin in another currency than the contract's.
"""

import math
from typing import NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64, Bool, kernel
from sim.perps.quantities import (
    funding_rate,
    initial_margin,
    maintenance_margin,
    profit,
    value,
)
from sim.perps.terms import FUNDING_HOURS, PerpParams, PerpTerms
from sim.state import Arena


class PerpState(NamedTuple):
    """Balances in the settlement currency: coins if inverse, else dollars."""

    position: F64  # (world, account); dollars if inverse, else coins; negative if short
    cash: F64  # (world, account)
    funding: F64  # (world, account) received since the reset, negative if paid
    mark: F64  # (world,) price to which all P&L is settled, USD
    market: F64  # (world,) of the counterparties
    venue: F64  # (world,)
    insurance: F64  # (world,)
    shortfall: F64  # (world,)
    premium_sum: F64  # (world,) premium x seconds since the last payment
    clock: F64  # (world,) seconds since the last payment


@kernel
def settle(state: PerpState, mark: F64, terms: PerpTerms) -> None:
    """Pay all P&L up to new mark prices, `mark (world,)`."""
    for w in range(mark.shape[0]):
        for a in range(state.position.shape[1]):
            gain = profit(state.position[w, a], state.mark[w], mark[w], terms)
            state.cash[w, a] += gain
            state.market[w] -= gain
        state.mark[w] = mark[w]


@kernel
def trade(
    state: PerpState, size: F64, price: F64, maker: bool, terms: PerpTerms, done: Bool
) -> None:
    """Trade `size (world, account)` at `price (world,)`.

    A trade that makes a position larger, or turns it round, is refused unless the cash left covers
    the initial margin at the mark price; one that makes it smaller always passes.

    Parameters
    ----------
    size : array (world, account)
        Dollars if inverse, else coins; negative to sell. Not a number: refused.
    done : array (world, account)
        Written: whether the trade was done; a size of 0 is.
    """
    rate = terms.maker_fee if maker else terms.taker_fee
    for w in range(size.shape[0]):
        for a in range(size.shape[1]):
            before = state.position[w, a]
            after = before + size[w, a]
            gain = profit(size[w, a], price[w], state.mark[w], terms)
            fee = rate * abs(value(size[w, a], price[w], terms))
            cash = state.cash[w, a] + gain - fee
            smaller = abs(after) <= abs(before) and after * before >= 0.0
            covered = cash >= initial_margin(after, state.mark[w], terms)
            done[w, a] = math.isfinite(after) and (smaller or covered)
            if done[w, a]:
                state.position[w, a] = after
                state.cash[w, a] = cash
                state.market[w] -= gain
                state.venue[w] += fee


@kernel
def _pay_funding(state: PerpState, w: int, rate: float, share: float, terms: PerpTerms) -> None:
    """Pay a rate per 8 hours for a share of 8 hours; longs pay a positive one."""
    for a in range(state.position.shape[1]):
        paid = rate * share * value(state.position[w, a], state.mark[w], terms)
        state.cash[w, a] -= paid
        state.funding[w, a] -= paid
        state.market[w] += paid


@kernel
def accrue_funding(state: PerpState, premium: F64, seconds: float, terms: PerpTerms) -> None:
    """Let time pass with a premium, `premium (world,)`, and pay the funding that falls due.

    Continuous funding pays the rate of the present premium for the time that passed. Funding at
    intervals pays the rate of the time average of the premium, for a whole interval, to who holds
    the position when the interval ends.
    """
    unit = FUNDING_HOURS * 3600.0
    for w in range(premium.shape[0]):
        if terms.interval == 0.0:
            _pay_funding(state, w, funding_rate(premium[w], terms), seconds / unit, terms)
            continue
        left = seconds
        while left > 0.0:
            part = min(left, terms.interval - state.clock[w])
            state.premium_sum[w] += premium[w] * part
            state.clock[w] += part
            left -= part
            if state.clock[w] >= terms.interval - 1e-6:
                rate = funding_rate(state.premium_sum[w] / state.clock[w], terms)
                _pay_funding(state, w, rate, terms.interval / unit, terms)
                state.premium_sum[w] = 0.0
                state.clock[w] = 0.0


@kernel
def cash_after(
    position: float, closed: float, cash: float, mark: float, fill: float, terms: PerpTerms
) -> float:
    """Cash once the size `closed` of a position is closed at `fill`, the fee paid."""
    size = -math.copysign(closed, position)
    fee = terms.liquidation_fee * abs(value(closed, fill, terms))
    return cash + profit(size, fill, mark, terms) - fee


@kernel
def lots_to_close(
    position: float, cash: float, mark: float, fill: float, terms: PerpTerms
) -> float:
    """Size whose closing leaves the rest with its maintenance margin: whole lots, or everything."""
    if terms.full:
        return abs(position)
    low, high = 0, math.ceil(abs(position) / terms.lot - 1e-9)
    while high - low > 1:  # `high` is enough, or is all there is
        middle = (low + high) // 2
        closed = middle * terms.lot
        rest = math.copysign(abs(position) - closed, position)
        left = cash_after(position, closed, cash, mark, fill, terms)
        if left >= maintenance_margin(rest, mark, terms):
            high = middle
        else:
            low = middle
    return min(high * terms.lot, abs(position))


@kernel
def liquidate(state: PerpState, fill: F64, terms: PerpTerms, closed: F64) -> None:
    """Close what has too little margin at `fill (world,)`; mark prices must be settled.

    Parameters
    ----------
    closed : array (world, account)
        Written: size closed, of the sign of the position it was taken from.
    """
    for w in range(fill.shape[0]):
        for a in range(state.position.shape[1]):
            closed[w, a] = 0.0
            position, cash, mark = state.position[w, a], state.cash[w, a], state.mark[w]
            if position != 0.0 and cash < maintenance_margin(position, mark, terms):
                size = lots_to_close(position, cash, mark, fill[w], terms)
                gain = profit(-math.copysign(size, position), fill[w], mark, terms)
                fee = terms.liquidation_fee * abs(value(size, fill[w], terms))
                fee = min(fee, max(cash + gain, 0.0))
                closed[w, a] = math.copysign(size, position)
                state.position[w, a] -= closed[w, a]
                state.cash[w, a] += gain - fee
                state.market[w] -= gain
                state.insurance[w] += fee
            if state.position[w, a] == 0.0 and state.cash[w, a] < 0.0:
                debt = -state.cash[w, a]
                paid = min(debt, max(state.insurance[w], 0.0))
                state.cash[w, a] = 0.0
                state.insurance[w] -= paid
                state.shortfall[w] += debt - paid


class PerpAccounts:
    """State of one perpetual's accounts in many worlds; the kernels of this module act on it.

    Parameters
    ----------
    params : PerpParams
    n_worlds, n_accounts : int
        Hedging accounts in each world.
    cash : float
        What each account begins with, in the settlement currency.
    insurance : float
        What the insurance fund begins with.

    Attributes
    ----------
    state : PerpState
    terms : PerpTerms
    """

    def __init__(
        self,
        params: PerpParams,
        n_worlds: int,
        n_accounts: int = 1,
        *,
        cash: float = 0.0,
        insurance: float = 0.0,
    ) -> None:
        if n_worlds < 1 or n_accounts < 1:
            raise ConfigError(
                f"n_worlds and n_accounts must be at least 1, got {n_worlds} and {n_accounts}"
            )
        self.params = params
        self.terms = params.terms()
        shapes = {
            name: (n_accounts,) if name in ("position", "cash", "funding") else ()
            for name in PerpState._fields
        }
        self.arena = Arena(n_worlds, shapes)
        self.state = PerpState(**self.arena.views)
        self.state.cash[:] = cash
        self.state.insurance[:] = insurance
        self.state.mark[:] = 1.0
        self.arena.keep_as_initial()

    def reset(self, mask: Bool, mark: F64) -> None:
        """Return the worlds in the mask to the beginning, at mark prices `mark (world,)`."""
        self.arena.reset(mask)
        self.state.mark[mask] = mark[mask]

    def total(self) -> F64:
        """Add up what all parties hold, shape (world,): constant but for deposits."""
        s = self.state
        everybody = s.cash.sum(axis=1) + s.market + s.venue + s.insurance - s.shortfall
        return np.asarray(everybody)
